"""Products of matrices.

On a GPU the ladder ends at mma.sync: wgmma, the instruction of Hopper alone, which is faster still,
is left out, because nothing but such a GPU could run it or test it.
"""

RUNGS = ["cpu_threads"]
CUDA_RUNGS = [
    "numba_naive",
    "numba_shared_tile",
    "k1_naive",
    "k2_coalesced",
    "k3_shared_tile",
    "k4_block_tile",
    "k5_warp_tile",
    "k6_mma",
]

"""softmax on the CPU and in CUDA."""

RUNGS = ["cpu_numba"]
CUDA_RUNGS = ["numba_shared", "k1_naive", "k2_warp", "k3_block"]

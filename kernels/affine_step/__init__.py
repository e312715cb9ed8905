"""affine_step on the CPU."""

RUNGS = ["cpu_numba"]
CUDA_RUNGS = ["numba_naive"]

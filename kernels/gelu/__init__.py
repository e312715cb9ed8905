"""gelu on the CPU and on a GPU."""

RUNGS = ["cpu_numba"]
CUDA_RUNGS = ["k1_elementwise"]

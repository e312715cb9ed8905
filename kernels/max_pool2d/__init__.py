"""The largest element of windows."""

RUNGS = ["cpu_numba"]
CUDA_RUNGS = ["k1_elementwise"]

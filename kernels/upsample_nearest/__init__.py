"""Images with repeated pixels."""

RUNGS = ["cpu_numba"]
CUDA_RUNGS = ["k1_elementwise"]

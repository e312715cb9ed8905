"""Pixels to channels."""

RUNGS = ["cpu_numba"]
CUDA_RUNGS = ["k1_elementwise"]

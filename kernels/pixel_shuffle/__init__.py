"""Channels to pixels."""

RUNGS = ["cpu_numba"]
CUDA_RUNGS = ["k1_elementwise"]

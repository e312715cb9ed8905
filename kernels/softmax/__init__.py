"""softmax on the CPU."""

RUNGS = ["cpu_numba"]

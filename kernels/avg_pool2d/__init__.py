"""avg_pool2d on the CPU."""

RUNGS = ["cpu_numba"]

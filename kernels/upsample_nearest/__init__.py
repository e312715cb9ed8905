"""upsample_nearest on the CPU."""

RUNGS = ["cpu_numba"]

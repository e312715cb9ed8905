"""gelu on the CPU."""

RUNGS = ["cpu_numba"]

"""space_to_depth on the CPU."""

RUNGS = ["cpu_numba"]

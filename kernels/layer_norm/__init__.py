"""layer_norm on the CPU."""

RUNGS = ["cpu_numba"]

"""affine_step on the CPU."""

RUNGS = ["cpu_numba"]

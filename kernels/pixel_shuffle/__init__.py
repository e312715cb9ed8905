"""pixel_shuffle on the CPU."""

RUNGS = ["cpu_numba"]

"""group_norm_silu on the CPU."""

RUNGS = ["cpu_numba"]

"""group_norm on the CPU: the kernel of group_norm_silu without its silu."""

RUNGS = ["cpu_numba"]

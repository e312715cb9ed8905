"""scaled_dot_product_attention on the CPU."""

RUNGS = ["cpu_numba"]

"""avg_pool2d_grad on the CPU."""

RUNGS = ["cpu_numba"]

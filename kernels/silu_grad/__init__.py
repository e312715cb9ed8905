"""silu_grad, the gradient of silu, on the CPU."""

RUNGS = ["cpu_numba"]

"""gated_tanh on the CPU."""

RUNGS = ["cpu_numba"]

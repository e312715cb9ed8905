"""matmul on the CPU."""

RUNGS = ["cpu_threads"]

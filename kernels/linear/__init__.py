"""linear on the CPU."""

RUNGS = ["cpu_threads"]

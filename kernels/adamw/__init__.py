"""adamw on the CPU."""

RUNGS = ["cpu_passes"]

"""ema on the CPU."""

RUNGS = ["cpu_passes"]

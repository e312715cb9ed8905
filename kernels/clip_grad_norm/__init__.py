"""clip_grad_norm on the CPU."""

RUNGS = ["cpu_passes"]

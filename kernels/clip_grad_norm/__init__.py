"""The joint length of all gradients, and gradients shortened to it."""

RUNGS = ["cpu_passes"]
CUDA_RUNGS = ["k1_two_stage"]

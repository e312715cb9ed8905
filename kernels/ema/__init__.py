"""The moving average of all weights."""

RUNGS = ["cpu_passes"]
CUDA_RUNGS = ["k1_many"]

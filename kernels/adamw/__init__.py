"""AdamW over all parameters."""

RUNGS = ["cpu_passes"]
CUDA_RUNGS = ["k1_each", "k2_many", "k3_all_in_one"]

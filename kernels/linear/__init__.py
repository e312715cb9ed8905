"""linear, x @ w + b."""

RUNGS = ["cpu_threads"]
CUDA_RUNGS = ["k1_shared_tile", "k2_warp_tile", "k3_mma"]

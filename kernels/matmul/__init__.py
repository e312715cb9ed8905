"""Products of matrices."""

RUNGS = ["cpu_threads"]
CUDA_RUNGS = ["k1_naive", "k3_shared_tile"]

"""scaled_dot_product_attention on the CPU and in CUDA."""

RUNGS = ["cpu_numba"]
CUDA_RUNGS = ["numba_naive", "k1_three_kernels", "k2_online", "k3_shared_kv", "k4_flash_mma"]

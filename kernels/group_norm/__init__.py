"""group_norm: the kernels of group_norm_silu without their silu."""

RUNGS = ["cpu_numba"]
CUDA_RUNGS = ["k1_two_pass", "k2_channels_last", "k3_chunked", "k4_one_read"]

"""conv2d(group_norm_silu(x), w, padding=1) with a 3x3 filter: half of a U-Net's block as one op."""

CUDA_RUNGS = ["k1_fused", "k2_fused_mma"]
BY_NAME = True  # "auto" takes the two ops: nobody has measured yet where one kernel is faster

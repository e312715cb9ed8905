"""One step of a sampler, with guidance and noise."""

CUDA_RUNGS = ["numba_naive", "k1_separate", "k2_fused", "k3_philox", "k4_vectors"]

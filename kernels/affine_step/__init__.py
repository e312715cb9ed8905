"""What every step of a sampler comes to, a x + b y + c z."""

RUNGS = ["cpu_numba"]
CUDA_RUNGS = ["numba_naive", "k1_elementwise"]

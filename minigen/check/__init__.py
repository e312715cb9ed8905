"""Is your kernel right? It is run beside the reference, and where it is wrong, what is the cause?

    import minigen as mg
    mg.check.matmul(my_matmul)          a function, here, in a notebook
    mg.check.matmul("my_kernel.py")     a file that defines `def matmul(a, b): return y`
    mg.check.matmul("my_kernel.cu")     a kernel in CUDA C++, or its text itself

    minigen check matmul my_kernel.cu
    minigen check matmul my_kernel.cu --device cuda           on a GPU, where there is one
    minigen check matmul --template cu > my_kernel.cu         a naive one, to start from

Each call runs the kernel at sizes around its tile, at primes, rectangles and views, in a process
of its own: a crash or an endless loop ends there. No GPU is needed. In a function or a .py file,
launches of Numba's CUDA kernels are simulated, in four orders of threads, and races and indices
outside of an array are told (minigen/kernels.py, simulator.py). A .cu file is built by g++ and run
in four orders, then once under AddressSanitizer and once under ThreadSanitizer. With device="cuda"
both run on the GPU as they are: what works there may still be a race, which only the CPU tells.

The causes: barrier, bounds, stride (also what is transposed or exchanged), dtype, uninitialised,
overflow, accumulation, formula, shape, arguments, error, endless, crash.
"""

from minigen.check.report import Report, check
from minigen.check.student import CheckError, Kernel

__all__ = [
    "CheckError",
    "Report",
    "affine_step",
    "conv2d",
    "group_norm_silu",
    "matmul",
    "scaled_dot_product_attention",
    "softmax",
]


def matmul(
    kernel: Kernel, *, tile: int | None = None, seconds: float = 30, device: str = "cpu"
) -> Report:
    """def matmul(a, b): a (M, K), b (K, N) -> (M, N).

    tile     sizes around this one are tried (a .cu file's block, else 16)
    seconds  how long one size may take
    device   "cpu", or "cuda": on a GPU, in the order in which its threads happen to run

    Raises: CheckError for what cannot be run at all, CompileError for what g++ or NVRTC does not
    take, GPUError where there is no GPU.
    """
    return check("matmul", kernel, tile, seconds, device)


def conv2d(
    kernel: Kernel, *, tile: int | None = None, seconds: float = 30, device: str = "cpu"
) -> Report:
    """def conv2d(x, w, *, stride, padding): x (N, H, W, C), w (KH, KW, C, O) -> (N, OH, OW, O)."""
    return check("conv2d", kernel, tile, seconds, device)


def softmax(
    kernel: Kernel, *, tile: int | None = None, seconds: float = 30, device: str = "cpu"
) -> Report:
    """def softmax(x): x (R, S) -> (R, S), each row sums to 1."""
    return check("softmax", kernel, tile, seconds, device)


def scaled_dot_product_attention(
    kernel: Kernel, *, tile: int | None = None, seconds: float = 30, device: str = "cpu"
) -> Report:
    """def scaled_dot_product_attention(q, k, v): q (B, L, DH), k, v (B, S, DH) -> (B, L, DH)."""
    return check("scaled_dot_product_attention", kernel, tile, seconds, device)


def group_norm_silu(
    kernel: Kernel, *, tile: int | None = None, seconds: float = 30, device: str = "cpu"
) -> Report:
    """def group_norm_silu(x, weight, bias, *, num_groups, eps): x (N, H, W, C) -> (N, H, W, C)."""
    return check("group_norm_silu", kernel, tile, seconds, device)


def affine_step(
    kernel: Kernel, *, tile: int | None = None, seconds: float = 30, device: str = "cpu"
) -> Report:
    """def affine_step(x, z, *, a, b): x (n,), z (n,) -> a x + b z."""
    return check("affine_step", kernel, tile, seconds, device)

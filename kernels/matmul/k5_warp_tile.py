"""matmul, 8 x 8 numbers for each thread, with the next tile on its way.

New since k4: four times the numbers for a thread, read four at a time, of a tile that belongs to a
warp; two tiles, so that one is filled while the other is read, with one barrier for each instead of
two; transposed matrices are read as they lie; and where y is too small to keep a GPU busy, the sums
are cut into parts, for which add_parts.cu is the last step.
Prediction: 4 float4 of shared memory for 64 multiplications, so that arithmetic is the limit: near
what a library reaches in float32 without tensor cores.
Measured: not yet on a GPU.

Shapes: a (..., M, K), b (K, N) or (..., K, N) -> (..., M, N), float32; leading axes broadcast.
Launch: blocks of 128 threads, four warps, for 128 x 64 numbers of y; z counts products and parts.
12.5 KB of shared memory.
Source: NVIDIA, CUTLASS: fast linear algebra in CUDA C++, 2017, for tiles of blocks, warps and
threads; Volkov and Demmel, Benchmarking GPUs to Tune Dense Linear Algebra, 2008.
Teaches: to hide the way from memory behind arithmetic.
"""

from minigen.kernels.launch import CudaFile, blocks, empty
from minigen.kernels.matmul.shapes import MOST, add_parts, as_views, by_lines, parts_of, supports

__all__ = ["launch", "product", "supports"]

kernels = CudaFile(__file__)


def launch(a, b):
    return product(a, b), None


def product(a, b, bias=None):
    """a @ b + bias; bias (N,) or None."""
    a, b, y, result = as_views(a, b)
    (B, M, N), K = y.shape, a.shape[2]
    (a, a_along_k), (b, b_across_k) = by_lines(a), by_lines(b)
    tiles = blocks(M, 128), blocks(N, 64)
    parts = parts_of(tiles[0] * tiles[1] * B, K)
    sums = y if parts == 1 else empty((B, parts, M, N), y)
    for z in range(0, B, MOST):
        some = slice(z, z + MOST)
        kernels.launch(
            "matmul", (*tiles, len(y[some]) * parts), (128,), a[some], b[some],
            bias if parts == 1 else None, sums[some], M, N, K, a_along_k, not b_across_k, parts,
        )  # fmt: skip
    if parts > 1:
        add_parts(sums, bias, y)
    return result

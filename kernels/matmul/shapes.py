"""What the CUDA rungs of matmul share: what they ask of their arrays, how those lie, the launch."""

import math

import numpy as np

from minigen.kernels.launch import CudaFile, blocks, contiguous, empty, module_of, only_cuda

MOST = 65535  # blocks along the y and the z of a grid
FULL = 256  # blocks with which a large GPU has work for all its multiprocessors
LEAST = 256  # terms of a sum that are worth a block of their own

add = CudaFile(__file__.replace("shapes.py", "add_parts.cu"))


def supports(a, b, dtype="float32"):
    if reason := only_cuda(a, b, dtype=dtype):
        return reason
    if min(a.ndim, b.ndim) < 2 or a.shape[-1] != b.shape[-2]:
        return "the shapes do not fit"
    if b.ndim > 2 and _leading(a, b) is None:
        return "the leading axes do not fit"
    if 0 in (*a.shape, *b.shape):
        return "an axis is empty"
    if b.shape[-1] > 16 * MOST:
        return "b has more columns than a grid has blocks for"
    return None


def _leading(a, b):
    try:
        return np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        return None


def as_products(a, b):
    """a (B, M, K), b (B, K, N) and y (B, M, N): B products of their own, and y as the caller's.

    All lie in memory row by row.
    """
    a, b, y, result = as_views(a, b)
    return contiguous(a), contiguous(b), y, result


def as_views(a, b):
    """As as_products, but a and b may be views."""
    M, K, N = a.shape[-2], *b.shape[-2:]
    if b.ndim == 2:  # the rows of all matrices of a are multiplied by the same b
        y = empty((*a.shape[:-1], N), a)
        a = a if a.ndim == 2 else a.reshape(-1, K)
        return a[None], b[None], y.reshape(1, -1, N), y
    lead, xp = _leading(a, b), module_of(a)
    y, B = empty((*lead, M, N), a), math.prod(lead)
    a = xp.broadcast_to(a, (*lead, M, K)).reshape(B, M, K)
    return a, xp.broadcast_to(b, (*lead, K, N)).reshape(B, K, N), y.reshape(B, M, N), y


def multiply(kernels, a, b, tile, block):
    """a @ b by blocks of `block` threads, each for `tile` = (rows, columns) of the result."""
    a, b, y, result = as_products(a, b)
    (B, M, N), K = y.shape, a.shape[2]
    for z in range(0, B, MOST):
        some = slice(z, z + MOST)
        grid = blocks(M, tile[0]), blocks(N, tile[1]), len(y[some])
        kernels.launch("matmul", grid, block, a[some], b[some], y[some], M, N, K)
    return result


def by_lines(x):
    """x (B, R, C), or (B, C, R) as it lies in memory, and whether its lines there are rows.

    That spares a transposed view, as backward makes them, its copy. Lines start where four numbers
    can be read at once, if their length allows it.
    """
    turned = x.transpose(0, 2, 1)
    by_rows = x.flags.c_contiguous or not turned.flags.c_contiguous
    x = contiguous(x if by_rows else turned)
    return (x if address(x) % 16 == 0 else x.copy()), by_rows


def address(x):
    return x.ctypes.data if isinstance(x, np.ndarray) else x.data.ptr


def parts_of(tiles, K):
    """In how many parts K terms are summed, where y has so few tiles that they leave a GPU idle.

    The sums of a gradient of weights are long, and its result is small.
    """
    return max(1, min(FULL // tiles, K // LEAST))


def add_parts(sums, bias, y):
    """y (B, M, N) = the sum of `sums` (B, parts, M, N) over the parts, + bias (N,) or None."""
    add.launch("add_parts", (blocks(y.size, 256),), (256,), sums, bias, y, y.size,
               sums.shape[1], y[0].size, y.shape[2])  # fmt: skip

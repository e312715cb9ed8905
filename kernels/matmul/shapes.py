"""What the CUDA rungs of matmul ask of their arrays, and how they lay them out."""

import math

from minigen.kernels.launch import contiguous, empty, only_cuda


def supports(a, b, dtype="float32"):
    if reason := only_cuda(a, b, dtype=dtype):
        return reason
    if min(a.ndim, b.ndim) < 2 or a.shape[-1] != b.shape[-2]:
        return "the shapes do not fit"
    if b.ndim > 2 and a.shape[:-2] != b.shape[:-2]:
        return "the leading axes differ"
    if 0 in (*a.shape, *b.shape):
        return "an axis is empty"
    return None


def as_products(a, b):
    """a (B, M, K), b (B, K, N) and y (B, M, N): B products of their own, and y as the caller's."""
    M, K, N = a.shape[-2], *b.shape[-2:]
    y = empty((*a.shape[:-1], N), a)
    if b.ndim == 2:  # the rows of all matrices of a are multiplied by the same b
        return contiguous(a).reshape(1, -1, K), contiguous(b)[None], y.reshape(1, -1, N), y
    B = math.prod(b.shape[:-2])
    return contiguous(a).reshape(B, M, K), contiguous(b).reshape(B, K, N), y.reshape(B, M, N), y

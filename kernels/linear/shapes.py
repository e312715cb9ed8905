"""What the CUDA rungs of linear share: what they ask of their arrays, and the way back."""

import math

from minigen.kernels.launch import only_cuda
from minigen.kernels.matmul.shapes import MOST


def supports(x, w, b):
    if reason := only_cuda(x, w, b):
        return reason
    if x.ndim < 1 or w.ndim != 2 or b.shape != w.shape[1:] or x.shape[-1] != w.shape[0]:
        return "the shapes do not fit"
    if 0 in (*x.shape, *w.shape):
        return "an axis is empty"
    if w.shape[1] > 16 * MOST:
        return "w has more columns than a grid has blocks for"
    return None


def as_rows(x):
    """(..., K) -> (N, K)."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def backward_by(product, x, w):
    """gx = g w^T, gw = x^T g by a product of two matrices, and gb, the sum of the rows of g."""

    def backward(g, needs):
        rows = as_rows(g)
        return (
            product(rows, w.T).reshape(x.shape) if needs[0] else None,
            product(as_rows(x).T, rows) if needs[1] else None,
            rows.sum(0) if needs[2] else None,
        )

    return backward

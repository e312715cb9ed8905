"""linear, x @ w + b, on all cores.

New since the reference: the longest axis of each product is cut into a piece for each thread, with
one BLAS thread in it: rows, columns, or the summed axis, whose sums are added up in the order of
the threads. The bias is added by a compiled loop in the thread that has just made the rows; its
gradient, a sum of rows, is the product 1^T g, which reads g four times as fast as NumPy's sum.
The gradients gx = g w^T and gw = x^T g are products of the same kind.

Shapes: x (..., K), w (K, M), b (M,) -> (..., M). Every size; small ones run in the calling thread,
which is woken up faster than another one.
Error: that of a sum in another order, as the reference (tests/kernels/test_kernels_linear.py).
Source: Goto and van de Geijn, Anatomy of High-Performance Matrix Multiplication, 2008, section 4:
the products themselves are those of the BLAS under NumPy.
"""

import math

import numpy as np

from minigen.kernels import pool
from minigen.kernels.arrays import only_floats
from minigen.kernels.jit import jit
from minigen.kernels.threads import one_blas_thread, spread, width

GRAIN = 1 << 23  # multiplications that are worth a thread of their own: 0.1 ms
ALONE = 1 << 18  # multiplications of two matrices, up to which BLAS keeps to one thread by itself
FEW = 4  # rows, up to which BLAS spends more time on rearranging w than on the product
LARGE = 1 << 16  # elements, from which on pooled memory is faster than new memory


def supports(x, w, b):
    if reason := only_floats(x, w, b):
        return reason
    if x.ndim < 1 or w.ndim != 2 or b.shape != w.shape[1:] or x.shape[-1] != w.shape[0]:
        return "the shapes do not fit"
    return None


def launch(x, w, b):
    def backward(g, needs):
        g = as_rows(g)
        gx = product(g, w.T).reshape(x.shape) if needs[0] else None
        gw = product(rows.T, g) if needs[1] else None
        gb = product(np.ones((1, len(g)), g.dtype), g)[0] if needs[2] else None
        return gx, gw, gb

    rows = as_rows(x)
    return product(rows, w, b).reshape(*x.shape[:-1], w.shape[1]), backward


def as_rows(x):
    """(..., K) -> (n, K)."""
    return x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def product(x, w, b=None):
    """x @ w + b: (n, K), (K, M), (M,) or None -> (n, M)."""
    (n, K), M = x.shape, w.shape[1]
    x = x if x.flags.forc else np.ascontiguousarray(x)  # others are not for BLAS
    w = w if w.flags.forc else np.ascontiguousarray(w)
    if n * K * M <= ALONE and n > 1 and M > 1:
        y = x @ w
    else:
        y = (pool if n * M > LARGE else np).empty((n, M), x.dtype)
        grain = least_share(n, K, M)
        if max(n, K, M) >= 2 * grain and width() > 1:
            if b is None and max(n, M) < K:
                by_summed_axis(x, w, y, grain)
            else:
                by_rows_or_columns(x, w, b, y, grain)
            return y
        if n <= FEW and x.flags.c_contiguous and w.flags.c_contiguous:
            few_rows(x, w, y)
        else:
            with one_blas_thread():
                np.matmul(x, w, out=y)
    if b is not None:
        add_row(y, b)
    return y


def least_share(n, K, M):
    """Of the longest axis, how much is worth a thread of its own.

    Where an axis is short, to read and write the matrices takes longer than to multiply.
    """
    shortest, longest = min(n, K, M), max(n, K, M)
    return 1 + GRAIN * longest // (n * K * M // shortest * max(shortest, 24)) if shortest else 1


def by_rows_or_columns(x, w, b, y, grain):
    """y = x @ w + b, each thread some rows of y, or some columns where it has more of those."""
    n, M = y.shape

    def work(first, last):
        part = slice(first, last)
        of_x, of_w, of_y = (x[part], w, y[part]) if n >= M else (x, w[:, part], y[:, part])
        np.matmul(of_x, of_w, out=of_y)
        if b is not None:
            add_row(of_y, b if n >= M else b[part])

    spread(work, max(n, M), grain)


def by_summed_axis(x, w, y, grain):
    """y = x @ w, each thread some terms of every sum."""
    sums = {}  # by the first term

    def work(first, last):
        sums[first] = x[:, first:last] @ w[first:last]

    spread(work, len(w), grain)
    first, *others = [sums[i] for i in sorted(sums)]
    np.copyto(y, first)
    for other in others:
        y += other


@jit
def few_rows(x, w, y):
    """y = x @ w, w read once, four of its rows at a time: as fast as memory gives them."""
    n, K = x.shape
    y[:] = 0
    for k in range(0, K - K % 4, 4):
        for i in range(n):
            a, b, c, d = x[i, k], x[i, k + 1], x[i, k + 2], x[i, k + 3]
            for j in range(w.shape[1]):
                y[i, j] += a * w[k, j] + b * w[k + 1, j] + c * w[k + 2, j] + d * w[k + 3, j]
    for k in range(K - K % 4, K):
        for i in range(n):
            for j in range(w.shape[1]):
                y[i, j] += x[i, k] * w[k, j]


@jit
def add_row(y, b):
    """y += b in place: (n, M), (M,)."""
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            y[i, j] += b[j]


def warmup():
    for dtype in (np.float32, np.float64):
        y, b = np.zeros((3, 4), dtype), np.zeros(8, dtype)
        for rows in (y, y[:, :2]):
            for row in (b[: rows.shape[1]], b[::2][: rows.shape[1]]):
                add_row(rows, row)
        few_rows(y, np.ones((4, 4), dtype), y.copy())

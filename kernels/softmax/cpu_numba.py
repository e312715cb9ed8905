"""softmax along the last axis, a row at a time while it is in the innermost cache, on all cores.

New since the reference: the passes over a row (its maximum, the exponentials and their sum, the
division) follow each other directly, so memory is read once and written once; the maximum is that
of whole numbers, which compare as the floats do and which a vector instruction compares.

The last axis, of any length. Error: that of exp and of a sum in another order
(tests/kernels/test_kernels_activations.py).
Source: Milakov and Gimelshein, 2018, arXiv 1805.02867, algorithm 2 (the three passes).
"""

import numpy as np

from minigen.kernels import pool
from minigen.kernels.arrays import only_floats, share
from minigen.kernels.exponential import exp, largest
from minigen.kernels.jit import jit


def supports(x, *, axis=-1):
    if reason := only_floats(x):
        return reason
    if x.ndim == 0 or x.size == 0:
        return "it takes arrays that have elements and axes"
    return None if axis in (-1, x.ndim - 1) else "it takes the last axis only"


def launch(x, *, axis=-1):
    y = _by_rows(_softmax, x)
    return y, lambda g, needs: (_by_rows(_softmax_grad, g, y),)


def _by_rows(function, *xs):
    """A new array filled by the compiled function(*xs, y), all as (rows, C)."""
    y, C = pool.empty(xs[0].shape, xs[0].dtype), xs[0].shape[-1]
    rows = [np.ascontiguousarray(x).reshape(-1, C) for x in xs]
    rows.append(y.reshape(-1, C))

    def work(first, last):
        function(*(a[first:last] for a in rows))

    share(work, len(rows[0]), C)
    return y


@jit
def _softmax(x, y):
    for r in range(x.shape[0]):
        top, total = largest(x, r), x.dtype.type(0)
        for c in range(x.shape[1]):
            e = exp(x[r, c] - top)
            y[r, c] = e
            total += e
        share = x.dtype.type(1) / total
        for c in range(x.shape[1]):
            y[r, c] *= share


@jit
def _softmax_grad(g, y, gx):
    for r in range(y.shape[0]):
        total = y.dtype.type(0)
        for c in range(y.shape[1]):
            total += g[r, c] * y[r, c]
        for c in range(y.shape[1]):
            gx[r, c] = y[r, c] * (g[r, c] - total)


def warmup():
    for dtype in (np.float32, np.float64):
        _, backward = launch(np.zeros((1, 1), dtype))
        backward(np.zeros((1, 1), dtype), (True,))

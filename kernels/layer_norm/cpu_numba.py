"""layer_norm a row at a time while it is in the innermost cache, on all cores.

New since the reference: memory is read once and written once. Kept for the way back are the mean
and 1 / sigma of each row. There each thread adds up the gradients of weight and bias over its rows;
these sums are added in the order of the threads.

Shapes: x (..., C), weight and bias (C,) -> (..., C). Every size.
Error: that of sums in another order (tests/kernels/test_kernels_norm.py).
Source: Ba, Kiros and Hinton, 2016, arXiv 1607.06450; the gradient as in minigen/ops/norm.py.
"""

import math

import numpy as np

from minigen.kernels import pool
from minigen.kernels.arrays import only_floats, share
from minigen.kernels.jit import jit


def supports(x, weight, bias, *, eps):
    if reason := only_floats(x, weight, bias):
        return reason
    fits = x.size and x.ndim and weight.shape == bias.shape == x.shape[-1:]
    return None if fits else "the shapes do not fit"


def launch(x, weight, bias, *, eps):
    C = x.shape[-1]
    rows, weight = np.ascontiguousarray(x).reshape(-1, C), np.ascontiguousarray(weight)
    y, n = pool.empty(x.shape, x.dtype), len(rows)
    out, stats = y.reshape(-1, C), np.empty((2, n), x.dtype)  # mean and rstd
    bias = np.ascontiguousarray(bias)
    share(lambda i, end: _forward(rows, weight, bias, stats, eps, out, i, end), n, C)

    def backward(g, needs):
        g, gx, sums = np.ascontiguousarray(g).reshape(-1, C), pool.empty(x.shape, x.dtype), {}
        out = gx.reshape(-1, C)

        def work(i, end):
            sums[i] = _backward(rows, weight, stats, g, out, i, end)

        share(work, n, C)
        gweight, gbias = sum(sums[i] for i in sorted(sums))
        return gx, gweight, gbias

    return y, backward


@jit
def _forward(x, weight, bias, stats, eps, y, first, last):
    """Rows first .. last - 1."""
    C, one, rest = x.shape[1], x.dtype.type(1), x.dtype.type(eps)
    for n in range(first, last):
        row, out = x[n], y[n]
        total = x.dtype.type(0)
        for c in range(C):
            total += row[c]
        mean = total / x.dtype.type(C)
        total = x.dtype.type(0)
        for c in range(C):
            total += (row[c] - mean) * (row[c] - mean)
        rstd = one / math.sqrt(total / x.dtype.type(C) + rest)
        stats[0, n], stats[1, n] = mean, rstd
        for c in range(C):
            out[c] = (row[c] - mean) * rstd * weight[c] + bias[c]


@jit
def _backward(x, weight, stats, g, gx, first, last):
    """Rows first .. last - 1. Returns (2, C): their sums of g * z and g."""
    C = x.shape[1]
    sums = np.zeros((2, C), x.dtype)
    of_gz, of_g = sums[0], sums[1]
    for n in range(first, last):
        row, up, out, mean, rstd = x[n], g[n], gx[n], stats[0, n], stats[1, n]
        h, hz = x.dtype.type(0), x.dtype.type(0)
        for c in range(C):
            h += up[c] * weight[c]
            hz += up[c] * weight[c] * ((row[c] - mean) * rstd)
        h, hz = h / x.dtype.type(C), hz / x.dtype.type(C)
        for c in range(C):
            out[c] = rstd * (up[c] * weight[c] - h - (row[c] - mean) * rstd * hz)
        for c in range(C):
            of_gz[c] += up[c] * ((row[c] - mean) * rstd)
        for c in range(C):
            of_g[c] += up[c]
    return sums


def warmup():
    for dtype in (np.float32, np.float64):
        x, w = np.zeros((1, 1), dtype), np.zeros(1, dtype)
        _, backward = launch(x, w, w, eps=1e-5)
        backward(x, (True, True, True))

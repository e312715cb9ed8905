"""silu(group_norm(x)), an image at a time while it is in the core's cache, on all cores.

New since the reference: an image is read from memory once and written once; its statistics, the
norm and the silu follow each other in the cache. Kept for the way back are the mean and 1 / sigma
of each group; all else is computed again from x, which costs less than to store it.

A line is so many pixels that it has about `LINE` numbers, whatever C is: the loops are over lines,
sums are kept for each place in a line, and added up over the pixels at the end.

With rstd = 1 / sqrt(var + eps), d = x - mean, u = d * rstd * weight + bias, gu = g * silu'(u):

    gx = gu * (rstd * weight) - d * (rstd^3 * mean(gu * weight * d)) - rstd * mean(gu * weight)

Shapes: x (N, ..., C), weight and bias (C,) or (N, C) -> (N, ..., C). Every size.
Error: that of sums in another order, and of exp (tests/kernels/test_kernels_norm.py).
Source: Wu and He, 2018, arXiv 1803.08494; the gradient as in minigen/ops/norm.py.
"""

import math
from functools import cache

import numpy as np

from minigen.kernels import pool
from minigen.kernels.arrays import only_floats, share
from minigen.kernels.exponential import sigmoid
from minigen.kernels.jit import jit

LINE = 256  # numbers
COST = 2  # of an element, that of an elementwise op is 1


def supports(x, weight, bias, *, num_groups, eps):
    if reason := only_floats(x, weight, bias):
        return reason
    if x.size == 0 or x.ndim < 2 or x.shape[-1] % num_groups:
        return "the shapes do not fit"
    fits = ((x.shape[-1],), (x.shape[0], x.shape[-1]))
    return None if weight.shape in fits and bias.shape in fits else "the shapes do not fit"


def launch(x, weight, bias, *, num_groups, eps):
    return run(x, weight, bias, num_groups, eps, silu=True)


def run(x, weight, bias, num_groups, eps, silu):
    """(y, backward) of group_norm, followed by silu or not."""
    N, C = x.shape[0], x.shape[-1]
    P = x.size // (N * C)
    lines = (N, -1, line(P, C) * C)
    flat, rows = np.ascontiguousarray(x).reshape(lines), (_rows(weight), _rows(bias))
    y = pool.empty(x.shape, x.dtype)
    stats = np.empty((2, N, C), x.dtype)  # mean and rstd, the same for the channels of a group
    out = y.reshape(lines)
    how = (flat, *rows, stats, num_groups)
    share(lambda n, end: _forward(*how, eps, silu, out, n, end), N, COST * P * C)

    def backward(g, needs):
        g = np.ascontiguousarray(g).reshape(lines)
        gx = pool.empty(x.shape, x.dtype)
        sums = np.empty((2, N, C), x.dtype)  # over the pixels: gu and gu * d * rstd
        out = gx.reshape(lines)
        share(lambda n, end: _backward(*how, silu, g, out, sums, n, end), N, COST * P * C)
        gbias, gweight = (s if a.ndim == 2 else s.sum(0) for s, a in zip(sums, (bias, weight)))
        return gx, gweight, gbias

    return y, backward


def _rows(a):
    return np.ascontiguousarray(a).reshape(-1, a.shape[-1])


@cache
def line(P, C):
    """Pixels of a line: the largest divisor of P that keeps it within LINE numbers, or 1."""
    return max(k for k in range(1, max(1, min(P, LINE // C)) + 1) if P % k == 0)


@jit
def _forward(x, weight, bias, stats, groups, eps, silu, y, first, last):
    """Images first .. last - 1; x and y (N, lines, L), stats (2, N, C)."""
    _, lines, L = x.shape
    C = weight.shape[1]
    sums, channels, rest = np.empty((L // C, C), x.dtype), np.empty(C, x.dtype), x.dtype.type(eps)
    m, a, b = np.empty(L, x.dtype), np.empty(L, x.dtype), np.empty(L, x.dtype)
    share = x.dtype.type(groups / (lines * L))
    for n in range(first, last):
        image, out, mean, rstd = x[n], y[n], stats[0, n], stats[1, n]
        sum_lines(image, sums.reshape(L))
        fold(sums, mean)
        group_means(mean, groups, share)
        tile(mean, m.reshape(sums.shape))
        sum_squares(image, m, sums.reshape(L))
        fold(sums, rstd)
        group_means(rstd, groups, share)
        w, shift = weight[n % len(weight)], bias[n % len(bias)]
        for c in range(C):
            rstd[c] = x.dtype.type(1) / math.sqrt(rstd[c] + rest)
            channels[c] = w[c] * rstd[c]
        tile(channels, a.reshape(sums.shape))
        tile(shift, b.reshape(sums.shape))
        for i in range(lines):
            if silu:
                for j in range(L):
                    u = (image[i, j] - m[j]) * a[j] + b[j]
                    out[i, j] = u * sigmoid(u)
            else:
                for j in range(L):
                    out[i, j] = (image[i, j] - m[j]) * a[j] + b[j]


@jit
def _backward(x, weight, bias, stats, groups, silu, g, gx, sums, first, last):
    """Images first .. last - 1; sums (2, N, C) of gu and of gu * d * rstd over the pixels."""
    _, lines, L = x.shape
    C = weight.shape[1]
    size, channels = (L // C, C), np.empty((2, C), x.dtype)
    m, a, b = np.empty(size, x.dtype), np.empty(size, x.dtype), np.empty(size, x.dtype)
    of_g, of_gd = np.empty(size, x.dtype), np.empty(size, x.dtype)
    share = x.dtype.type(groups / (lines * L))
    for n in range(first, last):
        image, gy, out, rstd = x[n], g[n], gx[n], stats[1, n]
        w, of_image, of_image_d = weight[n % len(weight)], sums[0, n], sums[1, n]
        for c in range(C):
            channels[0, c] = w[c] * rstd[c]
        tile(stats[0, n], m)
        tile(channels[0], a)
        tile(bias[n % len(bias)], b)
        through_silu(image, m.reshape(L), a.reshape(L), b.reshape(L), gy, silu, out)
        sum_lines(out, of_g.reshape(L))
        sum_products(out, image, m.reshape(L), of_gd.reshape(L))
        fold(of_g, of_image)
        fold(of_gd, of_image_d)
        for c in range(C):
            of_image_d[c] *= rstd[c]
            channels[0, c], channels[1, c] = of_image[c] * w[c], of_image_d[c] * w[c]
        group_means(channels[0], groups, share)
        group_means(channels[1], groups, share)
        for c in range(C):
            channels[0, c] *= rstd[c]
            channels[1, c] *= rstd[c] * rstd[c]
        tile(channels[0], b)
        tile(channels[1], of_gd)
        combine(image, m.reshape(L), a.reshape(L), of_gd.reshape(L), b.reshape(L), out)


@jit
def through_silu(x, m, a, b, g, silu, gu):
    """gu = g * silu'(u) with u = (x - m) * a + b; without silu, gu = g."""
    lines, L = x.shape
    one = x.dtype.type(1)
    for i in range(lines):
        if silu:
            for j in range(L):
                u = (x[i, j] - m[j]) * a[j] + b[j]
                s = sigmoid(u)
                gu[i, j] = g[i, j] * (s * (one + u * (one - s)))
        else:
            for j in range(L):
                gu[i, j] = g[i, j]


@jit
def combine(x, m, a, slope, shift, gx):
    """gx = gu * a - (x - m) * slope - shift, where gu stands in gx."""
    lines, L = x.shape
    for i in range(lines):
        for j in range(L):
            gx[i, j] = gx[i, j] * a[j] - (x[i, j] - m[j]) * slope[j] - shift[j]


@jit
def sum_lines(x, sums):
    """The sum of each place of the lines, four lines at a time."""
    lines, L = x.shape
    four = lines - lines % 4
    sums[:] = 0
    for i in range(0, four, 4):
        for j in range(L):
            sums[j] += (x[i, j] + x[i + 1, j]) + (x[i + 2, j] + x[i + 3, j])
    for i in range(four, lines):
        for j in range(L):
            sums[j] += x[i, j]


@jit
def sum_squares(x, m, sums):
    """The sum of (x - m)^2 at each place of the lines."""
    lines, L = x.shape
    sums[:] = 0
    for i in range(lines):
        for j in range(L):
            d = x[i, j] - m[j]
            sums[j] += d * d


@jit
def sum_products(g, x, m, sums):
    """The sum of g * (x - m) at each place of the lines."""
    lines, L = x.shape
    sums[:] = 0
    for i in range(lines):
        for j in range(L):
            sums[j] += g[i, j] * (x[i, j] - m[j])


@jit
def fold(places, channels):
    """A line (pixels, C) -> (C,): the sum over its pixels."""
    channels[:] = 0
    for q in range(places.shape[0]):
        for c in range(len(channels)):
            channels[c] += places[q, c]


@jit
def tile(channels, places):
    """(C,) -> a line (pixels, C), the same for each pixel."""
    for q in range(places.shape[0]):
        for c in range(len(channels)):
            places[q, c] = channels[c]


@jit
def group_means(channels, groups, share):
    """Each channel gets the sum over the channels of its group, times share."""
    width = len(channels) // groups
    for k in range(groups):
        total = channels[k * width]
        for c in range(1, width):
            total += channels[k * width + c]
        for c in range(width):
            channels[k * width + c] = total * share


def warmup():
    for dtype in (np.float32, np.float64):
        x, w = np.zeros((1, 1, 1), dtype), np.zeros(1, dtype)
        for silu in (True, False):
            _, backward = run(x, w, w, 1, 1e-5, silu)
            backward(x, (True, True, True))

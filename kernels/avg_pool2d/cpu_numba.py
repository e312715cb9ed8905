"""avg_pool2d and its gradient in one pass over memory, on all cores.

New since the reference: NumPy goes over the output once for each place in the window, and over the
input to pad it; a compiled loop gathers a window while its output pixel is in registers, and leaves
out what the padding would add. The threads share the images out.

Shapes: x (N, H, W, C) -> (N, OH, OW, C). Every size. Error: that of a sum in another order
(tests/kernels/test_kernels_resample.py).
"""

import numpy as np

from minigen.kernels import pool
from minigen.kernels.arrays import only_floats, share
from minigen.kernels.conv2d.cpu_columns import pair
from minigen.kernels.jit import jit


def supports(x, *, kernel_size, stride, padding):
    return only_floats(x) or misfit(x, kernel_size, stride, padding)


def misfit(x, kernel_size, stride, padding):
    """None, or that there is no such pooling: the reference says what is wrong."""
    if x.ndim == 4:
        windows = list(zip(x.shape[1:3], pair(kernel_size), pair(padding)))
        if all(n + 2 * p >= k >= 2 * p for n, k, p in windows):
            return None
    return "the shapes do not fit"


def launch(x, *, kernel_size, stride, padding):
    steps = (*pair(kernel_size), *pair(stride), *pair(padding))
    size, share_of_one = x.shape[1:3], 1 / (steps[0] * steps[1])

    def backward(g, needs):
        return (scatter(g, size, steps, share_of_one),)

    return gather(x, steps, share_of_one), backward


def pooled(x, steps):
    """An empty output (N, OH, OW, C) for x (N, H, W, C)."""
    (N, H, W, C), (KH, KW, SH, SW, PH, PW) = x.shape, steps
    size = (N, (H + 2 * PH - KH) // SH + 1, (W + 2 * PW - KW) // SW + 1, C)
    return pool.empty(size, x.dtype)


def gather(x, steps, factor):
    """factor times the sum of each window; steps = (KH, KW, SH, SW, PH, PW)."""
    x, y = np.ascontiguousarray(x), pooled(x, steps)

    def work(first, last):
        _gather(x[first:last], y[first:last], *steps, factor)

    share(work, len(x), x[:1].size)
    return y


def scatter(g, size, steps, factor):
    """factor times the gradient of each window, added to every pixel of it: as x (N, H, W, C)."""
    g, gx = np.ascontiguousarray(g), pool.empty((len(g), *size, g.shape[3]), g.dtype)

    def work(first, last):
        _scatter(g[first:last], gx[first:last], *steps, factor)

    share(work, len(g), gx[:1].size)
    return gx


@jit
def _gather(x, y, KH, KW, SH, SW, PH, PW, factor):
    factor = x.dtype.type(factor)
    N, H, W, C = x.shape
    for k in range(N):
        for p in range(y.shape[1]):
            for q in range(y.shape[2]):
                of_y = y[k, p, q]
                of_y[:] = 0
                for h in range(max(0, p * SH - PH), min(H, p * SH - PH + KH)):
                    for v in range(max(0, q * SW - PW), min(W, q * SW - PW + KW)):
                        of_x = x[k, h, v]
                        for c in range(C):
                            of_y[c] += of_x[c]
                for c in range(C):
                    of_y[c] *= factor


@jit
def _scatter(g, gx, KH, KW, SH, SW, PH, PW, factor):
    factor = g.dtype.type(factor)
    N, H, W, C = gx.shape
    gx[:] = 0
    for k in range(N):
        for p in range(g.shape[1]):
            for q in range(g.shape[2]):
                of_g = g[k, p, q]
                for h in range(max(0, p * SH - PH), min(H, p * SH - PH + KH)):
                    for v in range(max(0, q * SW - PW), min(W, q * SW - PW + KW)):
                        of_x = gx[k, h, v]
                        for c in range(C):
                            of_x[c] += of_g[c] * factor


def warmup():
    for dtype in (np.float32, np.float64):
        y, backward = launch(np.ones((1, 2, 2, 1), dtype), kernel_size=2, stride=2, padding=0)
        backward(y, (True,))

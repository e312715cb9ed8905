"""max_pool2d and its gradient in one pass over memory, on all cores.

New since the reference: as avg_pool2d/cpu_numba.py. The way back looks for the first pixel of each
window that equals its maximum, and keeps no list of winners.

Shapes: x (N, H, W, C) -> (N, OH, OW, C). Every size. A NaN wins, and its window's gradient goes
nowhere. Error: none (tests/kernels/test_kernels_resample.py).
"""

import numpy as np

from minigen.kernels import pool
from minigen.kernels.arrays import only_floats, share
from minigen.kernels.avg_pool2d.cpu_numba import misfit, pooled
from minigen.kernels.conv2d.cpu_columns import pair
from minigen.kernels.jit import jit


def supports(x, *, kernel_size, stride, padding):
    return only_floats(x) or misfit(x, kernel_size, stride, padding)


def launch(x, *, kernel_size, stride, padding):
    steps = (*pair(kernel_size), *pair(stride), *pair(padding))
    x = np.ascontiguousarray(x)
    y = pooled(x, steps)

    def forward(first, last):
        _largest(x[first:last], y[first:last], *steps)

    def backward(g, needs):
        g, gx = np.ascontiguousarray(g), pool.empty(x.shape, g.dtype)

        def work(first, last):
            part = slice(first, last)
            _to_the_first(g[part], x[part], y[part], gx[part], *steps)

        share(work, len(x), x[:1].size)
        return (gx,)

    share(forward, len(x), x[:1].size)
    return y, backward


@jit
def _largest(x, y, KH, KW, SH, SW, PH, PW):
    N, H, W, C = x.shape
    for k in range(N):
        for p in range(y.shape[1]):
            for q in range(y.shape[2]):
                of_y = y[k, p, q]
                of_y[:] = -np.inf
                for h in range(max(0, p * SH - PH), min(H, p * SH - PH + KH)):
                    for v in range(max(0, q * SW - PW), min(W, q * SW - PW + KW)):
                        of_x = x[k, h, v]
                        for c in range(C):
                            a, b = of_x[c], of_y[c]
                            of_y[c] = a if a > b or a != a else b  # a NaN is unequal to itself


@jit
def _to_the_first(g, x, y, gx, KH, KW, SH, SW, PH, PW):
    N, H, W, C = x.shape
    none = g.dtype.type(0)
    free = np.empty(C, g.dtype)  # 1 where the gradient has not been given away
    gx[:] = 0
    for k in range(N):
        for p in range(y.shape[1]):
            for q in range(y.shape[2]):
                of_g, of_y = g[k, p, q], y[k, p, q]
                free[:] = 1
                for h in range(max(0, p * SH - PH), min(H, p * SH - PH + KH)):
                    for v in range(max(0, q * SW - PW), min(W, q * SW - PW + KW)):
                        of_x, of_gx = x[k, h, v], gx[k, h, v]
                        for c in range(C):
                            won = of_x[c] == of_y[c] and free[c] > none
                            of_gx[c] += of_g[c] if won else none
                            free[c] = none if won else free[c]


def warmup():
    for dtype in (np.float32, np.float64):
        y, backward = launch(np.ones((1, 2, 2, 1), dtype), kernel_size=2, stride=2, padding=0)
        backward(y, (True,))

"""silu in one pass over memory, on all cores.

New since the reference: NumPy goes over memory once for each operation of the formula; a compiled
loop does all of them on eight elements at a time while they are in registers. The way back redoes
the sigmoid, which takes less time than to read it again.

Every shape. Error: that of exp and of some roundings (tests/kernels/test_kernels_activations.py).
Source: Elfwing et al., 2017, arXiv 1702.03118, eq. 5.
"""

import numpy as np

from minigen.kernels.arrays import elementwise, only_floats
from minigen.kernels.exponential import sigmoid
from minigen.kernels.jit import jit


def supports(x):
    return only_floats(x)


def launch(x):
    return elementwise(_silu, x), lambda g, needs: (gradient(g, x),)


def gradient(g, x):
    """g * silu'(x)."""
    return elementwise(_slope, g, x)


@jit
def _silu(x, y):
    for i in range(len(x)):
        y[i] = x[i] * sigmoid(x[i])


@jit
def _slope(g, x, y):
    one = x.dtype.type(1)
    for i in range(len(x)):
        s = sigmoid(x[i])
        y[i] = g[i] * (s * (one + x[i] * (one - s)))


def warmup():
    for dtype in (np.float32, np.float64):
        _, backward = launch(np.zeros(1, dtype))
        backward(np.zeros(1, dtype), (True,))

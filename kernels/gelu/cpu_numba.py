"""gelu, exact or by tanh, in one pass over memory, on all cores: see silu.

New since the reference: as silu; and the exact form has its distribution function Phi in the same
loop. With a = |x| and t = 1 / (1 + a / 4), Phi(-a) = exp(-a^2 / 2) t p(2 t - 1); p is the
polynomial of normal_cdf in minigen/ops/elementwise.py, which says how good it is.

Every shape. Error: as the reference (tests/kernels/test_kernels_activations.py).
Source: Hendrycks and Gimpel, 2016, arXiv 1606.08415, section 2.
"""

import math

import numpy as np
from numba import types
from numba.extending import overload
from numpy.polynomial.chebyshev import cheb2poly

from minigen.kernels.arrays import elementwise, only_floats
from minigen.kernels.exponential import exp, sigmoid
from minigen.kernels.jit import jit

ROOT = 2 * math.sqrt(2 / math.pi)
CUBIC = ROOT * 0.044715
DENSITY = 1 / math.sqrt(2 * math.pi)  # of N(0, 1) at 0
TAIL = (  # Chebyshev coefficients of p
    0.24261280114151915,
    0.18792720420989265,
    0.05554838891881276,
    0.012129438315111521,
    0.0017314801240606202,
    8.014961859953749e-05,
    -2.5136847908026697e-05,
    -4.725842254926741e-06,
    2.5258922136865774e-07,
    1.536333687349456e-07,
    -8.452550300172939e-10,
    -5.171627015435708e-09,
    -2.8206509081173767e-11,
    1.9435038070971737e-10,
    -2.485356047851177e-12,
    -7.936207374645758e-12,
    4.606201711176235e-13,
    3.2821541166777413e-13,
    -4.353840663163703e-14,
    -1.2268185079261061e-14,
    3.232846081541394e-15,
    3.0451658804315853e-16,
    -2.0130368431552333e-16,
    7.151235360654053e-18,
)
POWERS32 = tuple(np.float32(c) for c in cheb2poly(TAIL[:10])[::-1])  # the highest first
POWERS64 = tuple(float(c) for c in cheb2poly(TAIL)[::-1])


def supports(x, *, approximate="none"):
    if approximate not in ("none", "tanh"):
        return 'approximate is neither "none" nor "tanh"'
    return only_floats(x)


def launch(x, *, approximate="none"):
    forward, slope = (_exact, _exact_slope) if approximate == "none" else (_tanh, _tanh_slope)
    return elementwise(forward, x), lambda g, needs: (elementwise(slope, g, x),)


@jit
def _tanh(x, y):
    root, cubic = x.dtype.type(ROOT), x.dtype.type(CUBIC)
    for i in range(len(x)):
        y[i] = x[i] * sigmoid(x[i] * (root + cubic * (x[i] * x[i])))


@jit
def _tanh_slope(g, x, y):
    one, root, cubic = x.dtype.type(1), x.dtype.type(ROOT), x.dtype.type(CUBIC)
    steep = x.dtype.type(3 * CUBIC)
    for i in range(len(x)):
        square = x[i] * x[i]
        s = sigmoid(x[i] * (root + cubic * square))
        y[i] = g[i] * (s + x[i] * s * (one - s) * (root + steep * square))


@jit
def _tail32(s):
    p = POWERS32[0]
    for c in POWERS32[1:]:
        p = p * s + c
    return p


@jit
def _tail64(s):
    p = POWERS64[0]
    for c in POWERS64[1:]:
        p = p * s + c
    return p


def tail(s):
    """p(s), inside compiled text."""
    raise NotImplementedError("tail: for compiled text only")


@overload(tail)
def _tail(s):
    if s == types.float32:
        return lambda s: _tail32(s)
    return lambda s: _tail64(s)


@jit
def normal_cdf(x, bell):
    """Phi(x), where bell = exp(-x^2 / 2)."""
    one = type(x)(1)
    t = one / (one + abs(x) * type(x)(0.25))
    y = tail(t + t - one) * t * bell
    return one - y if x > type(x)(0) else y


@jit
def _exact(x, y):
    half = x.dtype.type(-0.5)
    for i in range(len(x)):
        y[i] = x[i] * normal_cdf(x[i], exp(half * (x[i] * x[i])))


@jit
def _exact_slope(g, x, y):
    half, density = x.dtype.type(-0.5), x.dtype.type(DENSITY)
    for i in range(len(x)):
        bell = exp(half * (x[i] * x[i]))
        y[i] = g[i] * (normal_cdf(x[i], bell) + x[i] * (density * bell))


def warmup():
    for dtype in (np.float32, np.float64):
        for approximate in ("none", "tanh"):
            _, backward = launch(np.zeros(1, dtype), approximate=approximate)
            backward(np.zeros(1, dtype), (True,))

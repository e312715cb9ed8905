"""Ops that work on each element by itself.

Inputs of different shapes broadcast as in NumPy.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minigen.autograd import Tensor, primitive, sum_to
from minigen.backend import Array, array_module


def as_tensor(x: Any) -> Tensor:
    """`x` itself where it is a Tensor, else a Tensor of it."""
    return x if isinstance(x, Tensor) else Tensor(x)


def plain(x: Any) -> Any:
    """The array of a Tensor; anything else as it is."""
    return x.data if isinstance(x, Tensor) else x


PIECE = 1 << 15  # elements


def in_pieces(f: Callable[..., Array], *xs: Array) -> Array:
    """f(*xs) for an f of several steps, all elementwise, on arrays of one shape.

    NumPy makes a whole array at each step, and moving it from and to memory takes longer than the
    arithmetic. A piece at a time they stay in the core's cache: 3 times as fast for silu.
    """
    xp = array_module(xs[0])
    if xp is not np:
        return f(*xs)
    y = np.empty(xs[0].shape, xs[0].dtype)
    out, flat = y.reshape(-1), [x.reshape(-1) for x in xs]
    for start in range(0, out.size, PIECE):
        piece = slice(start, start + PIECE)
        out[piece] = f(*(x[piece] for x in flat))
    return y


# ------------------------------------------------------------------------------- functions


@primitive
def exp(x: Array) -> Array:
    """e ** x."""
    return array_module(x).exp(x)


@exp.backward
def exp_backward(g, y, x):
    return g * y


@primitive
def log(x: Array) -> Array:
    """The natural logarithm."""
    return array_module(x).log(x)


@log.backward
def log_backward(g, y, x):
    return g / x


@primitive
def sqrt(x: Array) -> Array:
    """The square root; its gradient at 0 is infinite."""
    return array_module(x).sqrt(x)


@sqrt.backward
def sqrt_backward(g, y, x):
    return g / (y * 2)


@primitive
def sin(x: Array) -> Array:
    """The sine of x in radians."""
    return array_module(x).sin(x)


@sin.backward
def sin_backward(g, y, x):
    return g * cos(x)


@primitive
def cos(x: Array) -> Array:
    """The cosine of x in radians."""
    return array_module(x).cos(x)


@cos.backward
def cos_backward(g, y, x):
    return -g * sin(x)


@primitive
def tanh(x: Array) -> Array:
    """The hyperbolic tangent."""
    return array_module(x).tanh(x)


@tanh.backward
def tanh_backward(g, y, x):
    return g * (1 - y * y)


@primitive
def abs_(x: Array) -> Array:
    """|x|; the gradient at 0 is 0."""
    return array_module(x).abs(x)


@abs_.backward
def abs_backward(g, y, x):
    return g * array_module(x.data).sign(x.data)


# ----------------------------------------------------------------------------- activations


@primitive
def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)). Where exp(-x) overflows, below -88 in float32, the result is 0."""
    return in_pieces(_sigmoid, x)


def _sigmoid(x: Array) -> Array:
    with np.errstate(over="ignore"):
        return 1 / (1 + array_module(x).exp(-x))


@sigmoid.backward
def sigmoid_backward(g, y, x):
    return g * (y * (1 - y))


@primitive
def relu(x: Array) -> Array:
    """max(x, 0); the gradient at 0 is 0."""
    return array_module(x).maximum(x, 0)


@relu.backward
def relu_backward(g, y, x):
    return masked(g, mask=y.data > 0)


@primitive
def leaky_relu(x: Array, *, negative_slope: float = 0.01) -> Array:
    """x where x > 0, else negative_slope * x."""
    xp, slope = array_module(x), float(negative_slope)
    return (xp.maximum if slope <= 1 else xp.minimum)(x, x * slope)


@leaky_relu.backward
def leaky_relu_backward(g, y, x, *, negative_slope=0.01):
    slope = float(negative_slope)
    return g * ((x.data > 0).astype(x.dtype) * (1 - slope) + slope)


@primitive
def silu(x: Array) -> Array:
    """x * sigmoid(x).

    Source: Elfwing et al., 2017, arXiv 1702.03118, eq. 5. The name swish is younger.
    """
    return in_pieces(lambda x: x * _sigmoid(x), x)


@silu.backward
def silu_backward(g, y, x):
    return silu_grad(g, x)


@primitive
def silu_grad(g: Array, x: Array) -> Array:
    """g * silu'(x), where with s = sigmoid(x), silu'(x) = s * (1 + x * (1 - s))."""

    def slope(g: Array, x: Array) -> Array:
        s = _sigmoid(x)
        return g * (s * (1 + x * (1 - s)))

    return in_pieces(slope, g, x)


@silu_grad.backward
def silu_grad_backward(h, y, g, x):
    s = sigmoid(x)
    bend = s * (1 - s) * (2 + x * (1 - s * 2))  # silu''
    return silu_grad(h, x) if g.requires_grad else None, h * g * bend


@primitive
def gelu(x: Array, *, approximate: str = "none") -> Array:
    """x * Phi(x), Phi the distribution function of N(0, 1).

    approximate  "none", or "tanh" for x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))),
                 computed as x * sigmoid(2 u), which is the same for u = what tanh is taken of
    Source: Hendrycks and Gimpel, 2016, arXiv 1606.08415, section 2.
    """
    if approximate == "none":
        return in_pieces(lambda x: x * _normal_cdf(x), x)
    if approximate == "tanh":
        return in_pieces(lambda x: x * _sigmoid(x * (_GELU + _GELU * 0.044715 * (x * x))), x)
    raise ValueError(f'gelu: approximate is {approximate!r}, expected "none" or "tanh"')


@gelu.backward
def gelu_backward(g, y, x, *, approximate="none"):
    if approximate == "none":
        return g * (normal_cdf(x) + x * normal_pdf(x))
    x2 = x * x
    s = sigmoid(x * (x2 * (_GELU * 0.044715) + _GELU))
    return g * (s + y * (1 - s) * (x2 * (3 * _GELU * 0.044715) + _GELU))


_GELU = 2 * math.sqrt(2 / math.pi)


@primitive
def normal_cdf(x: Array) -> Array:
    """Phi(x), the probability that a draw from N(0, 1) is below x.

    With a = |x| and t = 1 / (1 + a / 4) the tail is exp(-a^2 / 2) * t * p(2 t - 1), p a polynomial:
    the ratio of tail to density is smooth in t from a = 0 to infinity, so that one fit serves all x
    and small probabilities keep their digits.

    Error: relative, in float32 5e-7 for x >= -1 and 1.5e-6 down to -6, in float64 2e-15 and 1e-14
    (test_normal_cdf_is_accurate_in_its_tail). NumPy has no erf.
    """
    return in_pieces(_normal_cdf, x)


def _normal_cdf(x: Array) -> Array:
    xp = array_module(x)
    a = xp.abs(x)
    t = 1 / (1 + a * 0.25)
    s = 2 * t - 1
    first, *rest = _tail_polynomial(x.dtype.itemsize)
    y = xp.full_like(x, first)
    for c in rest:  # Horner
        y *= s
        y += c
    y *= t
    y *= xp.exp(a * a * -0.5)
    return y + (x > 0) * (1 - 2 * y)  # 1 - tail on the right


@normal_cdf.backward
def normal_cdf_backward(g, y, x):
    return g * normal_pdf(x)


def normal_pdf(x: Tensor) -> Tensor:
    """exp(-x^2 / 2) / sqrt(2 pi), the density of N(0, 1)."""
    return exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))


@functools.cache
def _tail_polynomial(itemsize: int) -> tuple[float, ...]:
    """Coefficients of p, highest power first, for float32 (4 bytes) or float64 (8)."""
    from numpy.polynomial.chebyshev import cheb2poly

    return tuple(map(float, cheb2poly(_TAIL[: 10 if itemsize == 4 else 24])[::-1]))


_TAIL = (  # Chebyshev coefficients of Phi(-a) exp(a^2 / 2) / t in s = 2 t - 1, made with 50 digits
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


# --------------------------------------------------------------------------------- choices


@primitive
def masked(x: Array, *, mask: Array) -> Array:
    """x where `mask` is True, else 0: the derivative of every op that picks elements.

    It multiplies: in NumPy 10 times as fast as where(mask, x, 0).
    """
    return x * mask


@masked.backward
def masked_backward(g, y, x, *, mask):
    return sum_to(masked(g, mask=mask), x.shape)


def where(condition: Any, a: Any, b: Any) -> Tensor:
    """a where `condition` is True, else b."""
    return where_(a, b, condition=plain(condition))


@primitive
def where_(a: Array, b: Array, *, condition: Array) -> Array:
    """a where `condition` is True, else b."""
    return array_module(a).where(condition, a, b)


@where_.backward
def where_backward(g, y, a, b, *, condition):
    return (
        sum_to(masked(g, mask=condition), a.shape) if a.requires_grad else None,
        sum_to(masked(g, mask=~condition), b.shape) if b.requires_grad else None,
    )


@primitive
def clip(x: Array, *, minimum: float | None = None, maximum: float | None = None) -> Array:
    """x kept between two numbers; the gradient passes where minimum <= x <= maximum."""
    low, high = (None if bound is None else float(bound) for bound in (minimum, maximum))
    return array_module(x).clip(x, low, high)


@clip.backward
def clip_backward(g, y, x, *, minimum=None, maximum=None):
    return masked(g, mask=x.data == y.data)


@primitive
def maximum(a: Array, b: Array) -> Array:
    """The larger of both; where they are equal each gets half of the gradient."""
    return array_module(a).maximum(a, b)


@primitive
def minimum(a: Array, b: Array) -> Array:
    """The smaller of both; where they are equal each gets half of the gradient."""
    return array_module(a).minimum(a, b)


@maximum.backward
@minimum.backward
def maximum_backward(g, y, a, b):
    wins_a, wins_b = ((x.data == y.data).astype(y.dtype) for x in (a, b))
    share = wins_a / (wins_a + wins_b)
    return sum_to(g * share, a.shape), sum_to(g * (1 - share), b.shape)

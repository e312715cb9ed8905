"""Ops that work on each element by itself.

Shapes: all inputs broadcast as in NumPy; the gradient of an input that was repeated is summed back to its shape.
"""

import math
from typing import Any

import numpy as np

from minigen.autograd import Tensor, primitive, sum_to
from minigen.backend import Array, array_module


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
    """The square root."""
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
def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)); where exp(-x) overflows the result is 0, its limit."""
    xp = array_module(x)
    with np.errstate(over="ignore"):
        y = xp.exp(-x)
    y += 1
    return xp.reciprocal(y, out=y)


@sigmoid.backward
def sigmoid_backward(g, y, x):
    return g * (y * (1 - y))


@primitive
def masked(x: Array, *, mask: Array) -> Array:
    """x where `mask` is True, else 0: the derivative of every op that lets some elements pass."""
    return array_module(x).where(mask, x, x.dtype.type(0))


@masked.backward
def masked_backward(g, y, x, *, mask):
    return sum_to(masked(g, mask=mask), x.shape)


@primitive
def relu(x: Array) -> Array:
    """max(x, 0); the gradient at 0 is 0."""
    return array_module(x).maximum(x, 0)


@relu.backward
def relu_backward(g, y, x):
    return masked(g, mask=x.data > 0)


@primitive
def leaky_relu(x: Array, *, negative_slope: float = 0.01) -> Array:
    """x where x > 0, else negative_slope * x."""
    return array_module(x).where(x > 0, x, x * float(negative_slope))


@leaky_relu.backward
def leaky_relu_backward(g, y, x, *, negative_slope=0.01):
    return where(x.data > 0, g, g * float(negative_slope))


@primitive
def silu(x: Array) -> Array:
    """x * sigmoid(x), also called swish."""
    y = sigmoid.forward(x)
    y *= x
    return y


@silu.backward
def silu_backward(g, y, x):
    return g * (sigmoid(x) * (x - y + 1))


@primitive
def gelu(x: Array, *, approximate: str = "none") -> Array:
    """x * Phi(x), Phi the distribution function of the normal distribution."""
    return x * _phi(x, approximate)


@gelu.backward
def gelu_backward(g, y, x, *, approximate="none"):
    if approximate == "tanh":
        t = tanh((x + x * x * x * 0.044715) * _GELU)
        return g * ((t + 1) * 0.5 + x * (1 - t * t) * (x * x * (3 * 0.044715) + 1) * (0.5 * _GELU))
    return g * (erf(x * math.sqrt(0.5)) * 0.5 + 0.5 + x * exp(x * x * -0.5) * (2 * math.pi) ** -0.5)


_GELU = math.sqrt(2 / math.pi)


def _phi(x: Array, approximate: str) -> Array:
    if approximate == "tanh":
        return 0.5 * (1 + array_module(x).tanh(_GELU * (x + 0.044715 * (x * x * x))))
    return 0.5 * (1 + erf.forward(x * math.sqrt(0.5)))


@primitive
def erf(x: Array) -> Array:
    """2 / sqrt(pi) * integral of exp(-t * t) from 0 to x."""
    return np.vectorize(math.erf, otypes=[x.dtype])(x)


@erf.backward
def erf_backward(g, y, x):
    return g * (exp(-(x * x)) * (2 / math.sqrt(math.pi)))


@primitive
def clip(x: Array, *, minimum: float | None = None, maximum: float | None = None) -> Array:
    """x kept between two numbers; the gradient passes where minimum <= x <= maximum."""
    low = None if minimum is None else float(minimum)
    high = None if maximum is None else float(maximum)
    return array_module(x).clip(x, low, high)


@clip.backward
def clip_backward(g, y, x, *, minimum=None, maximum=None):
    return masked(g, mask=x.data == y.data)


def where(condition: Any, a: Any, b: Any) -> Tensor:
    """a where `condition` is True, else b."""
    return where_(a, b, condition=condition.data if isinstance(condition, Tensor) else condition)


@primitive
def where_(a: Array, b: Array, *, condition: Array) -> Array:
    return array_module(a).where(condition, a, b)


@where_.backward
def where_backward(g, y, a, b, *, condition):
    return (
        sum_to(masked(g, mask=condition), a.shape) if a.requires_grad else None,
        sum_to(masked(g, mask=~condition), b.shape) if b.requires_grad else None,
    )


@primitive
def abs_(x: Array) -> Array:
    """|x|; the gradient at 0 is 0."""
    return array_module(x).abs(x)


@abs_.backward
def abs_backward(g, y, x):
    return g * Tensor(array_module(x.data).sign(x.data))


@primitive
def maximum(a: Array, b: Array) -> Array:
    """The larger of both; where they are equal each gets half of the gradient."""
    return array_module(a).maximum(a, b)


@maximum.backward
def maximum_backward(g, y, a, b):
    share = ((a > b) + 0.5 * (a.data == b.data)).astype(y.dtype)
    return sum_to(g * share, a.shape), sum_to(g * (1 - share), b.shape)


@primitive
def minimum(a: Array, b: Array) -> Array:
    """The smaller of both; where they are equal each gets half of the gradient."""
    return array_module(a).minimum(a, b)


@minimum.backward
def minimum_backward(g, y, a, b):
    share = ((a < b) + 0.5 * (a.data == b.data)).astype(y.dtype)
    return sum_to(g * share, a.shape), sum_to(g * (1 - share), b.shape)

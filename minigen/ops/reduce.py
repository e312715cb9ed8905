"""Ops that fold an axis: sums, means, maxima, and the softmax family. `axis` and `keepdims` are NumPy's."""

import math
from typing import Any

from minigen.autograd import Tensor, primitive, sum_
from minigen.backend import Array, array_module

Axis = int | tuple[int, ...] | None


def kept_shape(shape: tuple[int, ...], axis: Axis) -> tuple[int, ...]:
    """The shape after a reduction with keepdims=True.

    >>> kept_shape((2, 3, 4), (0, -1))
    (1, 3, 1)
    """
    axes = range(len(shape)) if axis is None else (axis,) if isinstance(axis, int) else axis
    folded = {a % len(shape) for a in axes}
    return tuple(1 if i in folded else n for i, n in enumerate(shape))


def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Sum over `axis` divided by the number of elements that it folds."""
    x = x if isinstance(x, Tensor) else Tensor(x)
    return x.mean(axis, keepdims)


@primitive
def var(x: Array, *, axis: Axis = None, keepdims: bool = False, correction: int = 0) -> Array:
    """sum((x - mean)^2) / (n - correction) over the n elements that `axis` folds."""
    return array_module(x).asarray(x.var(axis=axis, keepdims=keepdims, ddof=correction))


@var.backward
def var_backward(g, y, x, *, axis=None, keepdims=False, correction=0):
    kept = kept_shape(x.shape, axis)
    n = x.size // math.prod(kept)
    return (x - x.mean(axis, keepdims=True)) * (g.reshape(kept) * (2 / (n - correction)))


@primitive
def max_(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """The largest element; where several are, they share the gradient equally, as in torch.amax."""
    return array_module(x).asarray(x.max(axis=axis, keepdims=keepdims))


@max_.backward
def max_backward(g, y, x, *, axis=None, keepdims=False):
    kept = kept_shape(x.shape, axis)
    hit = x.data == y.data.reshape(kept)
    share = hit / hit.sum(axis=axis, keepdims=True).astype(x.dtype)
    return g.reshape(kept) * share.astype(x.dtype)


@primitive
def logsumexp(x: Array, *, axis: Axis = -1, keepdims: bool = False) -> Array:
    """log(sum(exp(x))), the maximum taken out first so that nothing overflows."""
    xp = array_module(x)
    top = x.max(axis=axis, keepdims=True)
    y = xp.log(xp.exp(x - top).sum(axis=axis, keepdims=True)) + top
    return y if keepdims else y.reshape(x.sum(axis=axis).shape)


@logsumexp.backward
def logsumexp_backward(g, y, x, *, axis=-1, keepdims=False):
    from minigen.ops.elementwise import exp

    kept = kept_shape(x.shape, axis)
    return exp(x - y.reshape(kept)) * g.reshape(kept)


@primitive
def softmax(x: Array, *, axis: int = -1) -> Array:
    """exp(x) / sum(exp(x)) along one axis."""
    y = x - x.max(axis=axis, keepdims=True)
    array_module(x).exp(y, out=y)
    y /= y.sum(axis=axis, keepdims=True)
    return y


@softmax.backward
def softmax_backward(g, y, x, *, axis=-1):
    return y * (g - sum_(g * y, axis=axis, keepdims=True))


@primitive
def log_softmax(x: Array, *, axis: int = -1) -> Array:
    """x - logsumexp(x) along one axis."""
    xp = array_module(x)
    y = x - x.max(axis=axis, keepdims=True)
    y -= xp.log(xp.exp(y).sum(axis=axis, keepdims=True))
    return y


@log_softmax.backward
def log_softmax_backward(g, y, x, *, axis=-1):
    from minigen.ops.elementwise import exp

    return g - exp(y) * sum_(g, axis=axis, keepdims=True)


@primitive
def cumsum(x: Array, *, axis: int, reverse: bool = False) -> Array:
    """y[i] = x[0] + .. + x[i] along one axis; with `reverse`, x[i] + .. + x[-1]."""
    xp = array_module(x)
    return xp.flip(xp.flip(x, axis).cumsum(axis), axis) if reverse else x.cumsum(axis)


@cumsum.backward
def cumsum_backward(g, y, x, *, axis, reverse=False):
    return cumsum(g, axis=axis, reverse=not reverse)

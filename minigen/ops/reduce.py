"""Ops that fold axes: sums, means, maxima and the softmax family.

`axis` is a number, a tuple or None (all axes), and with `keepdims` a folded axis stays with length
1, as in NumPy.
"""

import functools
import math
import operator
from typing import Any

import numpy as np

from minigen.autograd import Tensor, broadcast_to, primitive
from minigen.backend import Array, array_module
from minigen.ops.elementwise import as_tensor, exp

Axis = int | tuple[int, ...] | None


def _folded(ndim: int, axis: Axis) -> set[int]:
    axes = range(ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    return {a % ndim for a in axes}


def kept_shape(shape: tuple[int, ...], axis: Axis) -> tuple[int, ...]:
    """The shape after a reduction with keepdims=True.

    >>> kept_shape((2, 3, 4), (0, -1))
    (1, 3, 1)
    """
    folded = _folded(len(shape), axis)
    return tuple(1 if i in folded else n for i, n in enumerate(shape))


def folded_shape(shape: tuple[int, ...], axis: Axis) -> tuple[int, ...]:
    """The shape after a reduction with keepdims=False.

    >>> folded_shape((2, 3, 4), (0, -1))
    (3,)
    """
    folded = _folded(len(shape), axis)
    return tuple(n for i, n in enumerate(shape) if i not in folded)


@primitive
def sum_product(*xs: Array, axis: Axis) -> Array:
    """sum(a * b), or sum(a), over `axis`, which is kept with length 1.

    Shapes: one array, or two of one shape.
    Cost: one pass in NumPy, and no product in memory: three times as fast as (a * b).sum(axis).
    """
    xp, shape = array_module(xs[0]), xs[0].shape
    if xp is not np:  # CuPy's einsum makes small matrix products of it, which no CUDA graph takes
        return functools.reduce(operator.mul, xs).sum(axis=axis, keepdims=True)
    kept = kept_shape(shape, axis)
    axes = "abcdefgh"[: len(shape)]
    left = "".join(a for a, n, m in zip(axes, shape, kept) if n == m)
    y = xp.einsum(f"{','.join(axes for _ in xs)}->{left}", *xs)
    return y.reshape(kept)


@sum_product.backward
def sum_product_backward(g, y, *xs, axis):
    if len(xs) == 1:
        return broadcast_to(g, shape=xs[0].shape)
    a, b = xs
    return g * b if a.requires_grad else None, g * a if b.requires_grad else None


def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The sum over `axis`, divided by the number of elements that it folds."""
    return as_tensor(x).mean(axis, keepdims)


@primitive
def var(x: Array, *, axis: Axis = None, keepdims: bool = False, correction: int = 0) -> Array:
    """sum((x - mean)^2) / (n - correction) over the n elements that `axis` folds.

    Raises: ValueError where n <= correction.
    """
    kept = kept_shape(x.shape, axis)
    n = x.size // math.prod(kept)
    if n <= correction:
        raise ValueError(
            f"var: {n} elements with correction {correction} leave nothing to divide by"
        )
    d = x - sum_product.forward(x, axis=axis) * (1 / n)
    y = sum_product.forward(d, d, axis=axis) * (1 / (n - correction))
    return y if keepdims else y.reshape(folded_shape(x.shape, axis))


@var.backward
def var_backward(g, y, x, *, axis=None, keepdims=False, correction=0):
    kept = kept_shape(x.shape, axis)
    n = x.size // math.prod(kept)
    return (x - sum_product(x, axis=axis) * (1 / n)) * (g.reshape(kept) * (2 / (n - correction)))


@primitive
def max_(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """The largest element; where several are, they share the gradient equally, as in torch.amax."""
    return array_module(x).asarray(x.max(axis=axis, keepdims=keepdims))


@max_.backward
def max_backward(g, y, x, *, axis=None, keepdims=False):
    kept = kept_shape(x.shape, axis)
    hit = (x.data == y.data.reshape(kept)).astype(x.dtype)
    return g.reshape(kept) * (hit / hit.sum(axis=axis, keepdims=True))


@primitive
def logsumexp(x: Array, *, axis: Axis = -1, keepdims: bool = False) -> Array:
    """log(sum(exp(x))), the maximum taken out first so that nothing overflows."""
    xp = array_module(x)
    top = x.max(axis=axis, keepdims=True)
    y = xp.log(sum_product.forward(xp.exp(x - top), axis=axis)) + top
    return y if keepdims else y.reshape(folded_shape(x.shape, axis))


@logsumexp.backward
def logsumexp_backward(g, y, x, *, axis=-1, keepdims=False):
    kept = kept_shape(x.shape, axis)
    return exp(x - y.reshape(kept)) * g.reshape(kept)


@primitive
def softmax(x: Array, *, axis: int = -1) -> Array:
    """exp(x) / sum(exp(x)) along one axis, the maximum taken out first."""
    y = x - x.max(axis=axis, keepdims=True)
    array_module(x).exp(y, out=y)
    y /= sum_product.forward(y, axis=axis)
    return y


@softmax.backward
def softmax_backward(g, y, x, *, axis=-1):
    return y * (g - sum_product(g, y, axis=axis))


@primitive
def log_softmax(x: Array, *, axis: int = -1) -> Array:
    """x - logsumexp(x) along one axis."""
    xp = array_module(x)
    y = x - x.max(axis=axis, keepdims=True)
    y -= xp.log(sum_product.forward(xp.exp(y), axis=axis))
    return y


@log_softmax.backward
def log_softmax_backward(g, y, x, *, axis=-1):
    return g - exp(y) * sum_product(g, axis=axis)


@primitive
def cumsum(x: Array, *, axis: int, reverse: bool = False) -> Array:
    """y[i] = x[0] + .. + x[i] along one axis; with `reverse`, x[i] + .. + x[-1]."""
    xp = array_module(x)
    return xp.flip(xp.flip(x, axis).cumsum(axis), axis) if reverse else x.cumsum(axis)


@cumsum.backward
def cumsum_backward(g, y, x, *, axis, reverse=False):
    return cumsum(g, axis=axis, reverse=not reverse)

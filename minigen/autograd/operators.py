"""The primitives behind Python's operators and NumPy's methods; all other ops stand in `ops/`.

Each forward function is followed by its backward rule, which takes the gradient `g` of the output,
the output `y` and the inputs, and gives the gradient of each input:

    gx[i] = sum_j g[j] * d y[j] / d x[i]
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minigen.autograd.graph import primitive
from minigen.backend import Array, array_module

if TYPE_CHECKING:
    from minigen.autograd.tensor import Tensor


def sum_to(g: "Tensor", shape: tuple[int, ...]) -> "Tensor":
    """Undo a broadcast: sum `g` over the axes along which an input of `shape` was repeated."""
    if g.data.shape == shape:
        return g
    lead = g.ndim - len(shape)
    stretched = [lead + i for i, n in enumerate(shape) if n == 1 and g.shape[lead + i] != 1]
    return reshape(sum_(g, axis=(*range(lead), *stretched)), shape=shape)


# --------------------------------------------------------------------------------------- arithmetic


@primitive
def add(a: Array, b: Array) -> Array:
    """a + b."""
    return a + b


@add.backward
def add_backward(g, y, a, b):
    return (
        sum_to(g, a.data.shape) if a.requires_grad else None,
        sum_to(g, b.data.shape) if b.requires_grad else None,
    )


@primitive
def subtract(a: Array, b: Array) -> Array:
    """a - b."""
    return a - b


@subtract.backward
def subtract_backward(g, y, a, b):
    return (
        sum_to(g, a.data.shape) if a.requires_grad else None,
        sum_to(-g, b.data.shape) if b.requires_grad else None,
    )


@primitive
def negative(x: Array) -> Array:
    """-x."""
    return -x


@negative.backward
def negative_backward(g, y, x):
    return -g


@primitive
def multiply(a: Array, b: Array) -> Array:
    """a * b."""
    return a * b


@multiply.backward
def multiply_backward(g, y, a, b):
    return (
        sum_to(g * b, a.data.shape) if a.requires_grad else None,
        sum_to(g * a, b.data.shape) if b.requires_grad else None,
    )


@primitive
def divide(a: Array, b: Array) -> Array:
    """a / b."""
    return a / b


@divide.backward
def divide_backward(g, y, a, b):
    ga = g / b  # d(a / b) / da = 1 / b,  d(a / b) / db = -a / b^2 = -y / b
    return (
        sum_to(ga, a.data.shape) if a.requires_grad else None,
        sum_to(-(ga * y), b.data.shape) if b.requires_grad else None,
    )


@primitive
def power(x: Array, *, exponent: float) -> Array:
    """x ** exponent, the exponent a number."""
    return x**exponent


@power.backward
def power_backward(g, y, x, *, exponent):
    if exponent in (0, 1):  # also at x = 0, where x ** (exponent - 1) is infinite or NaN
        return g * float(exponent)
    return g * (x ** (exponent - 1) * exponent)


@primitive
def matmul(a: Array, b: Array) -> Array:
    """(..., L, K) @ (..., K, M) -> (..., L, M); leading axes broadcast as in numpy.matmul."""
    if min(a.ndim, b.ndim) < 2:
        raise ValueError(f"matmul: needs at least 2 axes on both sides, got {a.shape} @ {b.shape}")
    if b.ndim == 2 and a.ndim > 2:  # one product of many rows is faster than many small ones
        return (_rows(a) @ b).reshape(*a.shape[:-1], b.shape[-1])
    return a @ b


@matmul.backward
def matmul_backward(g, y, a, b):
    ga = sum_to(g @ b.mT, a.data.shape) if a.requires_grad else None
    if not b.requires_grad:
        return ga, None
    if b.ndim == 2:
        return ga, _rows(a).mT @ _rows(g)
    return ga, sum_to(a.mT @ g, b.data.shape)


def _rows(x: Any) -> Any:
    """(..., K) -> (N, K), of an array or a Tensor."""
    return x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


# ------------------------------------------------------------------------------ sums and broadcasts


@primitive
def sum_(x: Array, *, axis: Any = None, keepdims: bool = False) -> Array:
    """Sum over `axis` (all of them for None), as numpy.sum."""
    return array_module(x).asarray(x.sum(axis=axis, keepdims=keepdims))


@sum_.backward
def sum_backward(g, y, x, *, axis=None, keepdims=False):
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, Sequence) else (axis,)
    summed = {a % x.ndim for a in axes}
    kept = tuple(1 if i in summed else n for i, n in enumerate(x.shape))
    return broadcast_to(reshape(g, shape=kept), shape=x.shape)


@primitive
def broadcast_to(x: Array, *, shape: tuple[int, ...]) -> Array:
    """Repeat axes of length 1: a view, no copy."""
    return array_module(x).broadcast_to(x, shape)


@broadcast_to.backward
def broadcast_to_backward(g, y, x, *, shape):
    return sum_to(g, x.shape)


# ------------------------------------------------------------------------- the same elements, moved


@primitive
def reshape(x: Array, *, shape: Any) -> Array:
    """The same elements in row-major order."""
    return x.reshape(shape)


@reshape.backward
def reshape_backward(g, y, x, *, shape):
    return reshape(g, shape=x.shape)


@primitive
def transpose(x: Array, *, axes: tuple[int, ...]) -> Array:
    """y.shape[i] = x.shape[axes[i]]."""
    return x.transpose(axes)


@transpose.backward
def transpose_backward(g, y, x, *, axes):
    axes = [a % x.ndim for a in axes]
    return transpose(g, axes=tuple(axes.index(i) for i in range(x.ndim)))  # the inverse permutation


@primitive
def astype(x: Array, *, dtype: Any) -> Array:
    """x in another float type; its gradient comes back in x's own."""
    return x.astype(dtype)


astype.keeps_dtype = False


@astype.backward
def astype_backward(g, y, x, *, dtype):
    return astype(g, dtype=x.dtype)


@primitive
def getitem(x: Array, *, index: Any) -> Array:
    """x[index], with NumPy's basic and advanced indexing."""
    return array_module(x).asarray(x[index])


@getitem.backward
def getitem_backward(g, y, x, *, index):
    return put(g, index=index, shape=x.shape)


@primitive
def put(g: Array, *, index: Any, shape: tuple[int, ...]) -> Array:
    """Zeros of `shape` with `g` added at `index`; an element that occurs twice gets both."""
    xp = array_module(g)
    z = xp.zeros(shape, g.dtype)
    parts = index if isinstance(index, tuple) else (index,)
    if all(isinstance(i, int | np.integer | slice | type(None) | type(...)) for i in parts):
        z[index] = g  # no element twice
    else:
        xp.add.at(z, index, g)
    return z


@put.backward
def put_backward(h, y, g, *, index, shape):
    return getitem(h, index=index)

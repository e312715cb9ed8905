"""Ops that move elements and compute nothing."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigen.autograd import Tensor, getitem, primitive
from minigen.backend import Array, array_module


def concat(xs: Sequence[Any], axis: int = -1) -> Tensor:
    """Join Tensors along an axis that they have."""
    return concat_(*xs, axis=axis)


@primitive
def concat_(*xs: Array, axis: int) -> Array:
    return array_module(xs[0]).concatenate(xs, axis=axis)


@concat_.backward
def concat_backward(g, y, *xs, axis):
    starts = np.cumsum([0, *(x.shape[axis] for x in xs)])
    return tuple(
        slice_(g, int(a), int(b), axis) if x.requires_grad else None
        for x, a, b in zip(xs, starts[:-1], starts[1:])
    )


def stack(xs: Sequence[Any], axis: int = 0) -> Tensor:
    """Join Tensors along a new axis."""
    xs = [x if isinstance(x, Tensor) else Tensor(x) for x in xs]
    axis = axis % (xs[0].ndim + 1)
    return concat([x.reshape(*x.shape[:axis], 1, *x.shape[axis:]) for x in xs], axis)


def slice_(x: Tensor, start: int, stop: int, axis: int = -1) -> Tensor:
    """x[start:stop] along one axis."""
    index = [slice(None)] * x.ndim
    index[axis] = slice(start, stop)
    return getitem(x, index=tuple(index))


def split(x: Tensor, sections: int | Sequence[int], axis: int = -1) -> list[Tensor]:
    """Cut one axis into `sections` equal parts, or before each of the given indices (numpy.split)."""
    n = x.shape[axis]
    if isinstance(sections, int):
        if n % sections:
            raise ValueError(f"split: axis {axis} has {n} elements, not divisible by {sections}")
        sections = range(n // sections, n, n // sections)
    cuts = [0, *sections, n]
    return [slice_(x, a, b, axis) for a, b in zip(cuts[:-1], cuts[1:])]


@primitive
def pad(x: Array, *, pad_width: Sequence[tuple[int, int]], value: float = 0) -> Array:
    """Put `value` around x; `pad_width` holds (before, after) for each axis."""
    return array_module(x).pad(x, pad_width, constant_values=float(value))


@pad.backward
def pad_backward(g, y, x, *, pad_width, value=0):
    index = tuple(slice(a, a + n) for (a, _), n in zip(pad_width, x.shape))
    return getitem(g, index=index)


@primitive
def flip(x: Array, *, axis: int | tuple[int, ...]) -> Array:
    """Reverse the order along `axis`."""
    return array_module(x).flip(x, axis)


@flip.backward
def flip_backward(g, y, x, *, axis):
    return flip(g, axis=axis)


@primitive
def take(x: Array, *, indices: Array, axis: int = 0) -> Array:
    """The entries of one axis that `indices` name; with axis 0, the rows of an embedding table.

    Shapes: x (.., n, ..), indices any shape I -> (.., *I, ..).
    """
    return x.take(indices, axis=axis)


@take.backward
def take_backward(g, y, x, *, indices, axis=0):
    return take_grad(g, indices=indices, axis=axis, size=x.shape[axis])


@primitive
def take_grad(g: Array, *, indices: Array, axis: int, size: int) -> Array:
    """Add each slice of g to the entry that it was taken from."""
    xp = array_module(g)
    indices, axis = xp.asarray(indices), axis % (g.ndim - np.ndim(indices) + 1)
    shape = (*g.shape[:axis], size, *g.shape[axis + indices.ndim :])
    gx = xp.zeros(shape, g.dtype)
    xp.add.at(gx, (slice(None),) * axis + (indices,), g)
    return gx


@take_grad.backward
def take_grad_backward(h, y, g, *, indices, axis, size):
    return take(h, indices=indices, axis=axis)

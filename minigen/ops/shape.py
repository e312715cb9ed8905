"""Ops that move elements and compute nothing."""

import itertools
from collections.abc import Sequence
from typing import Any

from minigen.autograd import Tensor, getitem, primitive
from minigen.backend import Array, array_module
from minigen.ops.elementwise import as_tensor, plain


def concat(xs: Sequence[Any], axis: int = -1) -> Tensor:
    """Join Tensors along an axis that they have.

    Raises: ValueError where they differ along another axis.
    """
    return concat_(*xs, axis=axis)


@primitive
def concat_(*xs: Array, axis: int) -> Array:
    """Join arrays along an axis that they have."""
    shapes = {x.shape[: axis % x.ndim] + x.shape[axis % x.ndim + 1 :] for x in xs}
    if len(shapes) > 1:
        raise ValueError(
            f"concat: expected shapes that differ along axis {axis} only, "
            f"got {', '.join(str(x.shape) for x in xs)}"
        )
    return array_module(xs[0]).concatenate(xs, axis=axis)


@concat_.backward
def concat_backward(g, y, *xs, axis):
    ends = itertools.accumulate(x.shape[axis] for x in xs)
    return tuple(
        slice_(g, end - x.shape[axis], end, axis) if x.requires_grad else None
        for x, end in zip(xs, ends)
    )


def stack(xs: Sequence[Any], axis: int = 0) -> Tensor:
    """Join Tensors of one shape along a new axis."""
    tensors = [as_tensor(x) for x in xs]
    axis = axis % (tensors[0].ndim + 1)
    return concat([x.reshape(*x.shape[:axis], 1, *x.shape[axis:]) for x in tensors], axis)


def slice_(x: Any, start: int, stop: int, axis: int = -1) -> Tensor:
    """x[start:stop] along one axis."""
    x = as_tensor(x)
    index = [slice(None)] * x.ndim
    index[axis] = slice(start, stop)
    return getitem(x, index=tuple(index))


def split(x: Any, sections: int | Sequence[int], axis: int = -1) -> list[Tensor]:
    """Cut one axis into `sections` equal parts, or before each of the indices, as numpy.split.

    Raises: ValueError where the parts would not be equal.
    """
    n = plain(x).shape[axis]
    if isinstance(sections, int):
        if n % sections:
            raise ValueError(
                f"split: axis {axis} has {n} elements, expected a multiple of {sections}"
            )
        sections = range(n // sections, n, n // sections)
    return [slice_(x, a, b, axis) for a, b in itertools.pairwise([0, *sections, n])]


@primitive
def pad(x: Array, *, pad_width: Sequence[tuple[int, int]], value: float = 0) -> Array:
    """Put `value` around x; `pad_width` holds (before, after) for each axis."""
    if len(pad_width) != x.ndim:
        raise ValueError(f"pad: x has {x.ndim} axes, pad_width is for {len(pad_width)}")
    return array_module(x).pad(x, pad_width, constant_values=float(value))


@pad.backward
def pad_backward(g, y, x, *, pad_width, value=0):
    inside = tuple(slice(before, before + n) for (before, _), n in zip(pad_width, x.shape))
    return getitem(g, index=inside)


@primitive
def flip(x: Array, *, axis: int | tuple[int, ...]) -> Array:
    """Reverse the order along one or more axes."""
    return array_module(x).flip(x, axis)


@flip.backward
def flip_backward(g, y, x, *, axis):
    return flip(g, axis=axis)


def take(x: Any, indices: Any, axis: int = 0) -> Tensor:
    """The entries of one axis that `indices` name; along axis 0, the rows of an embedding table.

    Shapes: x (.., n, ..), indices I -> (.., *I, ..).
    Raises: IndexError for an index outside of the axis.
    """
    return take_(x, indices=array_module(plain(x)).asarray(plain(indices)), axis=axis)


@primitive
def take_(x: Array, *, indices: Array, axis: int) -> Array:
    """The entries of one axis that `indices` name."""
    return x.take(indices, axis=axis)


@take_.backward
def take_backward(g, y, x, *, indices, axis):
    return take_grad(g, indices=indices, axis=axis % x.ndim, size=x.shape[axis])


@primitive
def take_grad(g: Array, *, indices: Array, axis: int, size: int) -> Array:
    """gx[i] = the sum of the slices of g that were taken from entry i.

    Cost: sorting brings equal indices together, then one pass adds them: in NumPy 5 times as fast
    as add.at for 1,000 tokens, and without the memory of a one-hot matrix.
    """
    xp = array_module(g)
    rows = xp.moveaxis(g.reshape(*g.shape[:axis], -1, *g.shape[axis + indices.ndim :]), axis, 0)
    gx = xp.zeros((size, *rows.shape[1:]), g.dtype)
    if indices.size:
        flat = indices.reshape(-1) % size
        order = flat.argsort()
        found, starts = xp.unique(flat[order], return_index=True)
        gx[found] = xp.add.reduceat(rows[order], starts, axis=0)
    return xp.moveaxis(gx, 0, axis)


@take_grad.backward
def take_grad_backward(h, y, g, *, indices, axis, size):
    return take_(h, indices=indices, axis=axis)

"""Tensor, an array that knows how it was made; grad, derivatives by anything in the graph."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minigen.autograd import operators as op
from minigen.autograd.graph import Node, key, recording, results_of_ops, walk_back
from minigen.backend import Array, array_module, as_array, move


@results_of_ops
class Tensor:
    """An array that knows how it was made.

    data           numpy.ndarray or cupy.ndarray; Python numbers and lists become float32 (integers
                   stay integers), arrays keep their type and are not copied
    requires_grad  whether backward() leaves a gradient in .grad (leaves only)
    grad           a Tensor of the same shape and type, or None
    node           the op that made this Tensor, with its inputs; None for a leaf
    """

    __slots__ = ("__weakref__", "data", "grad", "node", "requires_grad")
    __array_ufunc__ = None  # so that array * Tensor asks the Tensor: NumPy reads this line,
    __array_priority__ = 100  # and CuPy this one

    def __init__(self, data: Any, requires_grad: bool = False):
        if type(data) is not np.ndarray:
            data = as_array(data.data if isinstance(data, Tensor) else data)
        if requires_grad and data.dtype.kind != "f":
            raise TypeError(f"Tensor: requires_grad needs a float type, got {data.dtype}")
        self.data: Array = data
        self.requires_grad = requires_grad
        self.grad: Tensor | None = None
        self.node: Node | None = None

    shape = property(lambda self: self.data.shape)
    ndim = property(lambda self: self.data.ndim)
    size = property(lambda self: self.data.size)
    dtype = property(lambda self: self.data.dtype)
    device = property(lambda self: "cpu" if array_module(self.data) is np else "gpu")

    def __repr__(self) -> str:
        text = np.array2string(self.numpy(), separator=", ", prefix="Tensor(")
        return f"Tensor({text}, dtype={self.dtype}{', requires_grad=True' * self.requires_grad})"

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator["Tensor"]:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self.data)

    def __float__(self) -> float:
        return float(self.data)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if self.requires_grad:
            raise TypeError(
                "Tensor: a NumPy function would cut it off from the graph; use an op, or .numpy()"
            )
        return np.array(self.numpy(), dtype, copy=copy)

    def item(self) -> float:
        """The one element, as a Python number."""
        return self.data.item()

    def numpy(self) -> np.ndarray:
        """The array on the CPU, cut off from the graph; no copy where it is there already."""
        return move(self.data, "cpu")

    def detach(self) -> "Tensor":
        """The same data, cut off from the graph."""
        return Tensor(self.data)

    def to(self, device: str) -> "Tensor":
        """Itself where it is on `device`, "cpu" or "gpu", already; else a leaf with the same data.

        Raises: RuntimeError for the result of an op, whose history would be lost: move its inputs.
        """
        data = move(self.data, device)
        if data is self.data:
            return self
        if self.node is not None:
            raise RuntimeError(f"to: the result of {self.node.op.name} came, expected a leaf")
        return Tensor(data, requires_grad=self.requires_grad)

    def backward(
        self, gradient: Any = None, create_graph: bool = False, retain_graph: bool | None = None
    ) -> None:
        """Add d(sum of gradient * self) / d(leaf) to the .grad of every leaf that requires it.

        gradient      of the final result by this Tensor; 1 where it is a scalar
        create_graph  record the backward pass, so that gradients can be differentiated again
        retain_graph  keep the graph for another backward (as create_graph does), else it is freed

        Raises: RuntimeError for a non-scalar without `gradient`, a graph that was freed, an array
            that was written to since its op.
        """
        retain = create_graph if retain_graph is None else retain_graph
        gradients = leaf_gradients(self, gradient, create_graph, retain)
        with recording(create_graph):
            for leaf, g in gradients:
                leaf.grad = g if leaf.grad is None else leaf.grad + g

    # Python's operators

    def __add__(self, other: Any) -> "Tensor":
        return op.add(self, other)

    def __radd__(self, other: Any) -> "Tensor":
        return op.add(other, self)

    def __sub__(self, other: Any) -> "Tensor":
        return op.subtract(self, other)

    def __rsub__(self, other: Any) -> "Tensor":
        return op.subtract(other, self)

    def __mul__(self, other: Any) -> "Tensor":
        return op.multiply(self, other)

    def __rmul__(self, other: Any) -> "Tensor":
        return op.multiply(other, self)

    def __truediv__(self, other: Any) -> "Tensor":
        return op.divide(self, other)

    def __rtruediv__(self, other: Any) -> "Tensor":
        return op.divide(other, self)

    def __matmul__(self, other: Any) -> "Tensor":
        return op.matmul(self, other)

    def __rmatmul__(self, other: Any) -> "Tensor":
        return op.matmul(other, self)

    def __pow__(self, exponent: float) -> "Tensor":
        if isinstance(exponent, Tensor | np.ndarray):
            raise TypeError("**: the exponent must be a number; write exp(b * log(a)) for Tensors")
        if isinstance(exponent, np.generic):  # a numpy.float64 would make float64 of float32
            exponent = exponent.item()
        return op.power(self, exponent=exponent)

    def __neg__(self) -> "Tensor":
        return op.negative(self)

    def __getitem__(self, index: Any) -> "Tensor":
        return op.getitem(self, index=_plain(index))

    # comparisons give arrays of bools, which have no gradient

    __hash__ = object.__hash__

    def __eq__(self, other: Any) -> Array:  # type: ignore[override]
        return self.data == _plain(other)

    def __ne__(self, other: Any) -> Array:  # type: ignore[override]
        return self.data != _plain(other)

    def __gt__(self, other: Any) -> Array:
        return self.data > _plain(other)

    def __lt__(self, other: Any) -> Array:
        return self.data < _plain(other)

    def __ge__(self, other: Any) -> Array:
        return self.data >= _plain(other)

    def __le__(self, other: Any) -> Array:
        return self.data <= _plain(other)

    # methods with NumPy's names and arguments

    def sum(self, axis: Any = None, keepdims: bool = False) -> "Tensor":
        return op.sum_(self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> "Tensor":
        y = self.sum(axis, keepdims)
        return y * (max(y.size, 1) / self.size)

    def reshape(self, *shape: Any) -> "Tensor":
        return op.reshape(self, shape=shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> "Tensor":
        if len(axes) == 1 and isinstance(axes[0], Sequence):
            axes = tuple(axes[0])
        return op.transpose(self, axes=axes or tuple(reversed(range(self.ndim))))

    def swapaxes(self, a: int, b: int) -> "Tensor":
        axes = list(range(self.ndim))
        axes[a], axes[b] = axes[b], axes[a]
        return op.transpose(self, axes=tuple(axes))

    def astype(self, dtype: Any) -> "Tensor":
        return self if self.dtype == dtype else op.astype(self, dtype=np.dtype(dtype))

    T = property(lambda self: self.transpose())
    mT = property(lambda self: self.swapaxes(-1, -2))  # noqa: N815, NumPy's name


def _plain(x: Any) -> Any:
    """An array in the place of a Tensor, also inside the tuple of an index."""
    if isinstance(x, tuple):
        return tuple(_plain(i) for i in x)
    return x.data if isinstance(x, Tensor) else x


def leaf_gradients(
    y: Tensor, gradient: Any = None, create_graph: bool = False, retain_graph: bool = False
) -> list[tuple[Tensor, Tensor]]:
    """(leaf, its gradient) for every leaf: backward() that sets no `.grad`, as threads need it.

    Without create_graph each gradient has an array of its own, which may be written to: the rule of
    a + b hands both the same one, that of sum() a read-only view.
    """
    found = walk_back(y, gradient, create_graph, retain_graph).values()
    return [(leaf, g if create_graph else Tensor(g.data.copy())) for leaf, g in found]


def grad(
    y: Tensor, xs: Sequence[Tensor], gradient: Any = None, create_graph: bool = False
) -> list[Tensor]:
    """d(sum of gradient * y) / d(x) for each x, leaves or not; keeps the graph, sets no `.grad`.

    Raises: RuntimeError where y does not depend on one of xs.
    """
    if isinstance(xs, Tensor):
        raise TypeError("grad: xs is a Tensor, expected a list of them: grad(y, [x])")
    found = walk_back(y, gradient, create_graph, True, {key(x) for x in xs})
    for i, x in enumerate(xs):
        if key(x) not in found:
            raise RuntimeError(f"grad: y does not depend on input {i}")
    return [found[key(x)][1] for x in xs]

"""Reverse-mode automatic differentiation: a Tensor, a primitive, and the walk back through the graph.

An op is up to three plain functions that stand below each other:

    forward  (x, w, *, stride)        arrays  -> array              NumPy or CuPy, the same text
    backward (g, y, x, w, *, stride)  Tensors -> Tensors            one for each input, None where there is none
    kernel   (x, w, *, stride)        arrays  -> (y, backward or None)     found in `kernels/`, see backend.py

Backward rules are made of ops, so a gradient can be differentiated again: backward(create_graph=True).

    >>> x = Tensor(3.0, requires_grad=True)
    >>> y = x ** 3
    >>> (gx,) = grad(y, [x], create_graph=True)     # 3 x^2
    >>> grad(gx, [x])[0].item()                     # 6 x
    18.0

Source: Griewank and Walther, Evaluating Derivatives, 2nd ed., 2008, chapter 3. Derivation: docs/derivations/autograd.md.
"""

import functools
import inspect
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from minigen.backend import Array, array_module, as_array, move, select

_recording: ContextVar[bool] = ContextVar("recording", default=True)
_watchers: list[Callable[[str, tuple[Array, ...], Array], None]] = []  # see trace.py
_ages = itertools.count()


@contextmanager
def recording(on: bool) -> Iterator[None]:
    """Inside the block, ops enter the graph only if `on`."""
    token = _recording.set(on)
    try:
        yield
    finally:
        _recording.reset(token)


def no_grad() -> Any:
    """Inside the block no graph is recorded: for sampling, evaluation and optimiser steps."""
    return recording(False)


class Node:
    """One application of an op: what backward needs to go from the output's gradient to the inputs'."""

    __slots__ = ("age", "fingerprints", "fused", "inputs", "op", "params", "y")

    def __init__(
        self, op: "Primitive", inputs: list["Tensor"], params: dict[str, Any], y: Array, fused: Any
    ):
        self.op, self.inputs, self.params, self.y, self.fused = op, inputs, params, y, fused
        self.fingerprints = [_fingerprint(x.data) for x in inputs]
        self.age = next(_ages)  # an input is always older than what was made from it

    def output(self) -> "Tensor":
        y = Tensor(self.y, requires_grad=True)
        y.node = self
        return y

    def pull_back(self, g: "Tensor", create_graph: bool) -> Sequence["Tensor | None"]:
        for i, (x, before) in enumerate(zip(self.inputs, self.fingerprints, strict=True)):
            if _fingerprint(x.data) != before:
                raise RuntimeError(
                    f"{self.op.name}: input {i} was written to after the op had used it; copy it first"
                )
        if self.fused is not None and not create_graph:
            return [None if a is None else Tensor(a) for a in self.fused(g.data)]
        gradients = self.op.rule(g, self.output(), *self.inputs, **self.params)
        return gradients if isinstance(gradients, tuple) else (gradients,)

    def free(self) -> None:
        self.inputs, self.fused, self.y = [], None, None


def _fingerprint(a: Array) -> bytes | None:
    """A few bytes that change with (nearly) any in-place write: up to 9 elements spread over the array."""
    if type(a) is not np.ndarray or a.size == 0:
        return None  # on the GPU a look would stall the stream
    return a.flat[:: a.size // 8 or 1].tobytes()


# ------------------------------------------------------------------------------------------------------- primitive


class Primitive:
    """An op: called with Tensors it runs forward (or a kernel) and remembers how to go back.

    The parameters of `forward` before the `*` are the arrays to differentiate by; those after it are settings. A caller
    may pass settings by position too, as in torch.nn.functional: conv2d(x, w, 2, 1).
    """

    rule: Callable[..., Any]

    def __init__(self, forward: Callable[..., Array]):
        functools.update_wrapper(self, forward)
        self.forward, self.name = forward, forward.__name__.strip("_")
        parameters = inspect.signature(forward).parameters.values()
        self.settings = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
        self.arity = len(parameters) - len(self.settings)
        self.variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)  # concat(*xs, axis)

    def backward(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: `rule(g, y, *inputs, **settings)` gives one gradient for each input."""
        self.rule = rule
        return rule

    def __call__(self, *args: Any, **params: Any) -> "Tensor":
        if not self.variadic and len(args) > self.arity:
            extra = args[self.arity :]
            if len(extra) > len(self.settings):
                raise TypeError(
                    f"{self.name}: takes {self.arity} arrays and the settings {self.settings}, got {len(args)}"
                )
            params = dict(zip(self.settings, extra, strict=False)) | params
            args = args[: self.arity]
        inputs = _as_tensors(self.name, args)
        arrays = tuple(x.data for x in inputs)
        launch = select(self.name, arrays, params)
        y, fused = launch(*arrays, **params) if launch else (self.forward(*arrays, **params), None)
        if y.dtype != arrays[0].dtype and self is not astype:
            raise TypeError(f"{self.name}: {arrays[0].dtype} went in, {y.dtype} came out")
        out = Tensor(y)
        if _recording.get() and any(x.requires_grad for x in inputs):
            out.requires_grad = True
            out.node = Node(self, inputs, params, y, fused)
        for watch in _watchers:
            watch(self.name, arrays, y)
        return out

    def __repr__(self) -> str:
        return f"<op {self.name}>"


primitive = Primitive


def _as_tensors(name: str, xs: Sequence[Any]) -> list["Tensor"]:
    """All as Tensors of one float type: Python numbers take the type of the arrays beside them."""
    dtypes = {
        x.dtype
        for x in xs
        if isinstance(x, Tensor | np.ndarray) and x.dtype.kind == "f" and x.shape != ()
    }
    dtypes = dtypes or {x.dtype for x in xs if isinstance(x, Tensor)}
    if len(dtypes) > 1:
        raise TypeError(
            f"{name}: inputs of different types, {sorted(map(str, dtypes))}; convert one with .astype"
        )
    dtype = next(iter(dtypes), None)
    return [
        x if isinstance(x, Tensor) and dtype in (None, x.dtype) else _as_tensor(x, dtype)
        for x in xs
    ]


def _as_tensor(x: Any, dtype: Any) -> "Tensor":
    if isinstance(x, Tensor):
        return x.astype(dtype)
    return Tensor(as_array(x, dtype))


# ---------------------------------------------------------------------------------------------------------- Tensor


class Tensor:
    """An array that knows how it was made.

    data           numpy.ndarray or cupy.ndarray; Python numbers and lists become float32, arrays keep their dtype
    requires_grad  whether backward() leaves a gradient in .grad (leaves only)
    """

    __slots__ = ("__weakref__", "data", "grad", "node", "requires_grad")
    __array_priority__ = 100  # so that array * Tensor asks the Tensor
    __array_ufunc__ = None

    def __init__(self, data: Any, requires_grad: bool = False):
        self.data: Array = as_array(data.data if isinstance(data, Tensor) else data)
        if requires_grad and self.data.dtype.kind != "f":
            raise TypeError(f"Tensor: requires_grad needs a float type, got {self.data.dtype}")
        self.requires_grad = requires_grad
        self.grad: Tensor | None = None
        self.node: Node | None = None

    shape = property(lambda self: self.data.shape)
    ndim = property(lambda self: self.data.ndim)
    size = property(lambda self: self.data.size)
    dtype = property(lambda self: self.data.dtype)
    device = property(lambda self: "cpu" if array_module(self.data) is np else "gpu")

    def __repr__(self) -> str:
        text = (
            repr(self.data)
            .removeprefix("array(")
            .removesuffix(")")
            .replace(f", dtype={self.dtype}", "")
        )
        return f"Tensor({text}, dtype={self.dtype}{', requires_grad=True' if self.requires_grad else ''})"

    def __len__(self) -> int:
        return len(self.data)

    def __bool__(self) -> bool:
        return bool(self.data)

    def __float__(self) -> float:
        return float(self.data)

    def item(self) -> float:
        """The one element, as a Python number."""
        return self.data.item()

    def numpy(self) -> np.ndarray:
        """The array on the CPU, cut off from the graph."""
        return move(self.data, "cpu")

    def detach(self) -> "Tensor":
        """The same data, cut off from the graph."""
        return Tensor(self.data)

    def to(self, device: str) -> "Tensor":
        """A leaf with the same data on "cpu" or "gpu"."""
        return Tensor(move(self.data, device), requires_grad=self.requires_grad)

    def backward(
        self, gradient: Any = None, create_graph: bool = False, retain_graph: bool | None = None
    ) -> None:
        """Add d(sum of gradient * self) / d(leaf) to the .grad of every leaf that requires it.

        gradient      of the result with respect to this Tensor; 1 where it is a scalar
        create_graph  record the backward pass, so that gradients can be differentiated again
        retain_graph  keep the graph for a second backward (as create_graph does); else it is freed on the way

        Raises: RuntimeError for a non-scalar without `gradient`, a graph that was freed, an input that was written to.
        """
        leaves = _walk_back(
            self, gradient, create_graph, create_graph if retain_graph is None else retain_graph
        )
        for leaf, g in leaves.values():
            with recording(create_graph):
                leaf.grad = g if leaf.grad is None else leaf.grad + g

    # operators; their primitives stand below
    def __add__(self, other: Any) -> "Tensor":
        return add(self, other)

    def __sub__(self, other: Any) -> "Tensor":
        return subtract(self, other)

    def __mul__(self, other: Any) -> "Tensor":
        return multiply(self, other)

    def __truediv__(self, other: Any) -> "Tensor":
        return divide(self, other)

    def __pow__(self, exponent: float) -> "Tensor":
        if isinstance(exponent, Tensor | np.ndarray):
            raise TypeError("**: the exponent must be a number; write exp(b * log(a)) for Tensors")
        return power(self, exponent=exponent)

    def __matmul__(self, other: Any) -> "Tensor":
        return matmul(self, other)

    def __radd__(self, other: Any) -> "Tensor":
        return add(other, self)

    def __rsub__(self, other: Any) -> "Tensor":
        return subtract(other, self)

    def __rmul__(self, other: Any) -> "Tensor":
        return multiply(other, self)

    def __rtruediv__(self, other: Any) -> "Tensor":
        return divide(other, self)

    def __rmatmul__(self, other: Any) -> "Tensor":
        return matmul(other, self)

    def __neg__(self) -> "Tensor":
        return negative(self)

    def __getitem__(self, index: Any) -> "Tensor":
        return getitem(self, index=_plain(index))

    def __gt__(self, other: Any) -> Array:
        return self.data > _plain(other)

    def __lt__(self, other: Any) -> Array:
        return self.data < _plain(other)

    def __ge__(self, other: Any) -> Array:
        return self.data >= _plain(other)

    def __le__(self, other: Any) -> Array:
        return self.data <= _plain(other)

    # methods with NumPy's names
    def sum(self, axis: Any = None, keepdims: bool = False) -> "Tensor":
        return sum_(self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> "Tensor":
        y = self.sum(axis, keepdims)
        return y * (max(y.size, 1) / self.size)

    def reshape(self, *shape: Any) -> "Tensor":
        return reshape(self, shape=shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> "Tensor":
        axes = axes[0] if len(axes) == 1 else axes
        return transpose(self, axes=tuple(axes) if axes else tuple(reversed(range(self.ndim))))

    def swapaxes(self, a: int, b: int) -> "Tensor":
        axes = list(range(self.ndim))
        axes[a], axes[b] = axes[b], axes[a]
        return transpose(self, axes=tuple(axes))

    def astype(self, dtype: Any) -> "Tensor":
        return self if self.dtype == dtype else astype(self, dtype=np.dtype(dtype))

    T = property(lambda self: self.transpose())
    mT = property(lambda self: self.swapaxes(-1, -2))  # noqa: N815, NumPy's name


def _plain(index: Any) -> Any:
    """The arrays in the place of Tensors."""
    if isinstance(index, tuple):
        return tuple(_plain(i) for i in index)
    return index.data if isinstance(index, Tensor) else index


# ---------------------------------------------------------------------------------------------- the walk backwards


def grad(
    y: Tensor, xs: Sequence[Tensor], gradient: Any = None, create_graph: bool = False
) -> list[Tensor]:
    """d(sum of gradient * y) / d(x) for each x, leaves `.grad` alone and keeps the graph.

    Raises: RuntimeError where y does not depend on one of xs.
    """
    found = _walk_back(y, gradient, create_graph, True, {_key(x): x for x in xs})
    missing = [i for i, x in enumerate(xs) if _key(x) not in found]
    if missing:
        raise RuntimeError(f"grad: y does not depend on input {missing[0]}")
    return [found[_key(x)][1] for x in xs]


def leaf_gradients(y: Tensor) -> list[tuple[Tensor, Tensor]]:
    """(leaf, gradient) for every leaf under the scalar `y`: backward() that leaves `.grad` alone, for threads that share
    their leaves. The graph is freed."""
    return list(_walk_back(y, None, create_graph=False, retain=False).values())


def _key(x: Tensor) -> int:
    return id(x) if x.node is None else id(x.node)


def _walk_back(
    root: Tensor,
    gradient: Any,
    create_graph: bool,
    retain: bool,
    wanted: dict[int, Tensor] | None = None,
) -> dict[int, tuple[Tensor, Tensor]]:
    """Visit every op from the youngest to the oldest. Returns key -> (Tensor, its gradient), of leaves or of `wanted`."""
    if not root.requires_grad:
        raise RuntimeError("backward: nothing that this Tensor was made from requires a gradient")
    if gradient is None:
        if root.size != 1:
            raise RuntimeError(
                f"backward: a Tensor of shape {root.shape} needs a gradient of that shape; a loss is a scalar"
            )
        gradient = array_module(root.data).ones_like(root.data)
    g = gradient if isinstance(gradient, Tensor) else Tensor(as_array(gradient, root.dtype))
    _check(root, g, "backward")
    gradients: dict[int, Tensor] = {_key(root): g}
    found: dict[int, tuple[Tensor, Tensor]] = {}
    if root.node is None or (wanted and _key(root) in wanted):
        found[_key(root)] = (root, g)
    for node in _youngest_first(root):
        g = gradients.pop(id(node), None)
        if g is None:
            continue  # every rule above it said None
        if not node.inputs:
            raise RuntimeError(
                f"backward: the graph of {node.op.name} was freed by an earlier backward; pass retain_graph=True"
            )
        with recording(create_graph):
            for x, gx in zip(node.inputs, node.pull_back(g, create_graph), strict=True):
                if gx is None or not x.requires_grad:
                    continue
                _check(x, gx, node.op.name)
                gradients[_key(x)] = total = gradients[_key(x)] + gx if _key(x) in gradients else gx
                if (x.node is None) if wanted is None else (_key(x) in wanted):
                    found[_key(x)] = (x, total)
        if not retain:
            node.free()
    return found


def _youngest_first(root: Tensor) -> list[Node]:
    """Every node that root was made from; a loop, not a recursion, so that graphs may be deep."""
    nodes, stack = {}, [root.node]
    while stack:
        node = stack.pop()
        if node is not None and id(node) not in nodes:
            nodes[id(node)] = node
            stack.extend(x.node for x in node.inputs)
    return sorted(nodes.values(), key=lambda node: -node.age)


def _check(x: Tensor, gx: Tensor, name: str) -> None:
    if gx.shape != x.shape or gx.dtype != x.dtype:
        raise RuntimeError(
            f"{name}: the gradient is {gx.dtype}{gx.shape}, its input {x.dtype}{x.shape}"
        )


# ------------------------------------------------------------------------------- the primitives behind the operators


def sum_to(g: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Undo a broadcast: sum `g` over the axes along which an input of `shape` was repeated."""
    if g.shape == shape:
        return g
    lead = g.ndim - len(shape)
    stretched = tuple(lead + i for i, n in enumerate(shape) if n == 1 and g.shape[lead + i] != 1)
    return reshape(sum_(g, axis=(*range(lead), *stretched), keepdims=False), shape=shape)


@primitive
def add(a: Array, b: Array) -> Array:
    """a + b."""
    return a + b


@add.backward
def add_backward(g, y, a, b):
    return sum_to(g, a.shape), sum_to(g, b.shape)


@primitive
def subtract(a: Array, b: Array) -> Array:
    """a - b."""
    return a - b


@subtract.backward
def subtract_backward(g, y, a, b):
    return sum_to(g, a.shape), sum_to(-g, b.shape)


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
        sum_to(g * b, a.shape) if a.requires_grad else None,
        sum_to(g * a, b.shape) if b.requires_grad else None,
    )


@primitive
def divide(a: Array, b: Array) -> Array:
    """a / b."""
    return a / b


@divide.backward
def divide_backward(g, y, a, b):
    ga = g / b
    return sum_to(ga, a.shape), sum_to(-ga * y, b.shape) if b.requires_grad else None


@primitive
def power(x: Array, *, exponent: float) -> Array:
    """x ** exponent, the exponent a number."""
    return x**exponent


@power.backward
def power_backward(g, y, x, *, exponent):
    return g if exponent == 1 else g * (x ** (exponent - 1) * exponent)


@primitive
def matmul(a: Array, b: Array) -> Array:
    """a @ b, (..., L, K) @ (..., K, M) -> (..., L, M); leading axes broadcast as in numpy.matmul."""
    if min(a.ndim, b.ndim) < 2:
        raise ValueError(f"matmul: needs at least 2 axes on both sides, got {a.shape} @ {b.shape}")
    if b.ndim == 2:  # one product of many rows, not many small ones
        return (a.reshape(-1, a.shape[-1]) @ b).reshape(*a.shape[:-1], b.shape[-1])
    return a @ b


@matmul.backward
def matmul_backward(g, y, a, b):
    ga = sum_to(g @ b.mT, a.shape) if a.requires_grad else None
    if not b.requires_grad:
        return ga, None
    if b.ndim == 2:
        return ga, a.reshape(-1, a.shape[-1]).T @ g.reshape(-1, g.shape[-1])
    return ga, sum_to(a.mT @ g, b.shape)


@primitive
def sum_(x: Array, *, axis: Any = None, keepdims: bool = False) -> Array:
    """Sum over `axis` (all of them for None), as numpy.sum."""
    return array_module(x).asarray(x.sum(axis=axis, keepdims=keepdims))


@sum_.backward
def sum_backward(g, y, x, *, axis=None, keepdims=False):
    axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    kept = tuple(1 if i in {a % x.ndim for a in axes} else n for i, n in enumerate(x.shape))
    return broadcast_to(reshape(g, shape=kept), shape=x.shape)


@primitive
def broadcast_to(x: Array, *, shape: tuple[int, ...]) -> Array:
    """Repeat axes of length 1 (a view, no copy)."""
    return array_module(x).broadcast_to(x, shape)


@broadcast_to.backward
def broadcast_to_backward(g, y, x, *, shape):
    return sum_to(g, x.shape)


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
    return transpose(g, axes=tuple(int(i) for i in np.argsort([a % x.ndim for a in axes])))


@primitive
def astype(x: Array, *, dtype: Any) -> Array:
    """x in another float type; its gradient comes back in x's own."""
    return x.astype(dtype)


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
    """Zeros of `shape` with `g` added at `index`; an index that occurs twice gets both."""
    xp = array_module(g)
    z = xp.zeros(shape, g.dtype)
    parts = index if isinstance(index, tuple) else (index,)
    if all(isinstance(i, int | slice | type(None) | type(...)) for i in parts):
        z[index] = g
    else:
        xp.add.at(z, index, g)
    return z


@put.backward
def put_backward(h, y, g, *, index, shape):
    return getitem(h, index=index)

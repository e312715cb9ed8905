"""How ops are recorded and how gradients flow back: Primitive, Node and walk_back.

The graph has one Node for each application of an op to something that requires a gradient:

    Tensor --.node--> Node --.inputs--> Tensors --.node--> ... to Tensors without a node, the leaves

References point backwards only, so dropping the last result frees the whole graph.
"""

import functools
import inspect
import itertools
import operator
import time
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minigen.backend import Array, Kernel, array_module, as_array, in_use, select, wait_for

if TYPE_CHECKING:
    from minigen.autograd.tensor import Tensor
else:
    Tensor = None  # results_of_ops puts the class here


def results_of_ops(cls: type) -> type:
    """Decorator of the class Tensor, which stands on this file: ops make their results of it."""
    globals()["Tensor"] = cls
    return cls


_recording: ContextVar[bool] = ContextVar("recording", default=True)
_rule: ContextVar[str] = ContextVar("rule", default="")  # of which op the rule is running
_ages = itertools.count()


@contextmanager
def recording(on: bool) -> Iterator[None]:
    """Inside the block, in this thread, ops enter the graph only if `on`."""
    token = _recording.set(on)
    try:
        yield
    finally:
        _recording.reset(token)


def no_grad() -> AbstractContextManager[None]:
    """Inside the block no graph is recorded: for sampling, evaluation and optimiser steps."""
    return recording(False)


class Call(NamedTuple):
    """What an observer is told after each run of an op; see trace.py."""

    name: str
    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]  # several only from the fused backward of a kernel
    rung: str  # "reference" or the name of the kernel
    seconds: float
    rule: str  # the op whose gradient is being computed, "" on the way forward


_observers: ContextVar[tuple[Callable[[Call], None], ...]] = ContextVar("observers", default=())


@contextmanager
def observe(observer: Callable[[Call], None]) -> Iterator[None]:
    """Inside the block, in this thread, `observer(call)` follows every op, those of backward too.

    What it raises ends the op. Threads that run in a copy of this context call it as well.
    """
    token = _observers.set((*_observers.get(), observer))
    try:
        yield
    finally:
        _observers.reset(token)


# ------------------------------------------------------------------------------ an op, applied once


class Node:
    """One application of an op: what it takes to go from the output's gradient to the inputs'."""

    __slots__ = ("age", "fingerprints", "inputs", "kernel", "op", "params", "pull", "y")

    def __init__(
        self,
        op: "Primitive",
        inputs: Sequence["Tensor"],
        params: dict[str, Any],
        y: Array,
        kernel: Kernel | None,
        pull: Callable[..., Any] | None,
    ):
        self.op, self.inputs, self.params, self.y = op, inputs, params, y
        self.kernel, self.pull = kernel, pull  # pull: the kernel's own backward
        self.fingerprints = [_fingerprint(x.data) for x in inputs]
        self.fingerprints.append(_fingerprint(y))
        self.age = next(_ages)  # an input is always older than what was made from it

    def pull_back(self, g: "Tensor", create_graph: bool) -> Sequence["Tensor | None"]:
        """The gradient of each input, from the gradient of the output."""
        name, inputs = self.op.name, self.inputs
        if not inputs:
            raise RuntimeError(
                f"backward: the graph of {name} was freed by an earlier backward; "
                "pass retain_graph=True to that one"
            )
        for i, a in enumerate([*[x.data for x in inputs], self.y]):
            if _fingerprint(a) != self.fingerprints[i]:
                what = f"input {i}" if i < len(inputs) else "the output"
                raise RuntimeError(
                    f"backward: {what} of {name} was written to after the op; write to a copy"
                )
        if self.pull is not None and not create_graph:
            return self._fused(g)
        y = Tensor(self.y, requires_grad=True)
        y.node = self
        if self.op.rule is None:
            raise RuntimeError(f"backward: {name} has no backward rule")
        gradients = self.op.rule(g, y, *inputs, **self.params)
        if gradients is None or isinstance(gradients, Tensor):
            gradients = (gradients,)
        if len(gradients) != len(inputs):
            raise RuntimeError(
                f"{name}: its rule gave {len(gradients)} gradients, expected {len(inputs)}"
            )
        return gradients

    def _fused(self, g: "Tensor") -> Sequence["Tensor | None"]:
        """By the kernel's own backward, on arrays."""
        assert self.pull is not None
        start = time.perf_counter()
        gradients = self.pull(g.data, tuple([x.requires_grad for x in self.inputs]))
        if _observers.get():
            outputs = tuple(a for a in gradients if a is not None)
            _report(f"{self.op.name}_backward", (g.data,), outputs, self.kernel, start)
        return [None if a is None else Tensor(a) for a in gradients]

    def free(self) -> None:
        """Let go of all that only backward needs."""
        self.inputs, self.params, self.y, self.pull = (), {}, None, None


def _fingerprint(a: Array) -> bytes | None:
    """Some bytes of `a`: all of a small array, 8 or 9 elements spread over a large one.

    They change when all of it is overwritten, as an optimiser does; a write to a few elements of a
    large array goes unseen. No look at arrays on the GPU, which would wait for it.
    """
    if type(a) is not np.ndarray:
        return None
    return a.tobytes() if a.size <= 64 else a.flat[:: a.size // 8].tobytes()


def _report(
    name: str,
    inputs: tuple[Array, ...],
    outputs: tuple[Array, ...],
    kernel: Kernel | None,
    start: float,
) -> None:
    for y in outputs:
        wait_for(y)
    seconds = time.perf_counter() - start
    rung = "reference" if kernel is None else kernel.rung
    call = Call(name, inputs, outputs, rung, seconds, _rule.get())
    for observer in _observers.get():
        observer(call)


# ------------------------------------------------------------------------------------------ an op


class Primitive:
    """An op: called with Tensors it runs forward (or a kernel) and remembers how to go back.

    The parameters of `forward` before the `*` are the arrays to differentiate by; those after it
    are settings. A caller may pass settings by position too, as in torch.nn.functional, and arrays
    by name: conv2d(x, w, 2, 1), layer_norm(x, weight=w, bias=b).
    """

    keeps_dtype = True
    rule: Callable[..., Any] | None = None

    def __init__(self, forward: Callable[..., Array]):
        functools.update_wrapper(self, forward)
        self.forward, self.name = forward, forward.__name__.strip("_")
        parameters = list(inspect.signature(forward).parameters.values())
        self.variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)  # concat(*xs, axis)
        self.settings = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
        self.arrays = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]

    def backward(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: `rule(g, y, *inputs, **settings)` gives one gradient for each input."""
        self.rule = rule
        return rule

    def __call__(self, *args: Any, **params: Any) -> "Tensor":
        if len(args) != len(self.arrays) or self.variadic:
            args, params = self._bind(args, params)
        inputs = _as_tensors(self.name, args)
        if in_use.get() != "cpu":
            inputs = _on_one_side(inputs)
        arrays = tuple([x.data for x in inputs])
        kernel = select(self.name, arrays, params)
        observed = _observers.get()
        start = time.perf_counter() if observed else 0.0
        if kernel is None:
            y, pull = self.forward(*arrays, **params), None
        else:
            y, pull = kernel.launch(*arrays, **params)
        out = Tensor(y)
        if out.data.dtype != arrays[0].dtype and self.keeps_dtype:
            raise TypeError(
                f"{self.name}: {arrays[0].dtype} went in, {y.dtype} came out; "
                "a numpy.float64 among the settings does this, use float()"
            )
        if observed:
            _report(self.name, arrays, (out.data,), kernel, start)
        if _recording.get() and _any_requires_grad(inputs):
            out.requires_grad = True
            out.node = Node(self, inputs, params, out.data, kernel, pull)
        return out

    def _bind(
        self, args: tuple[Any, ...], params: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Sort settings passed by position and arrays passed by name into arrays and settings."""
        if self.variadic:
            if not args:
                raise TypeError(f"{self.name}: got no arrays")
            return args, params
        names = self.arrays + self.settings
        if len(args) > len(names):
            raise TypeError(f"{self.name}: takes {', '.join(names)}; got {len(args)} values")
        given = dict(zip(names, args, strict=False))
        if twice := given.keys() & params.keys():
            raise TypeError(f"{self.name}: got {sorted(twice)} twice, by position and by name")
        given |= params
        missing = [name for name in self.arrays if name not in given]
        if missing:
            raise TypeError(f"{self.name}: the inputs {missing} are missing")
        return tuple(given.pop(name) for name in self.arrays), given

    def __reduce__(self) -> str:  # copied and pickled by name, as functions are
        return self.forward.__qualname__

    def __repr__(self) -> str:
        return f"<op {self.name}>"


primitive = Primitive


def _any_requires_grad(xs: Sequence["Tensor"]) -> bool:
    for x in xs:  # noqa: SIM110, any() takes three times as long
        if x.requires_grad:
            return True
    return False


def _as_tensors(name: str, xs: Sequence[Any]) -> Sequence["Tensor"]:
    """All as Tensors of one type; quickly where all are so already, or are Python numbers."""
    like, numbers = None, False
    for x in xs:
        if isinstance(x, Tensor):
            if like is None:
                like = x.data
            elif x.data.dtype is not like.dtype:
                break
        elif type(x) is float or type(x) is int:
            numbers = True
        else:
            break
    else:
        if not numbers:
            return xs
        if like is not None and like.dtype.kind == "f":
            asarray, dtype = array_module(like).asarray, like.dtype
            return [x if isinstance(x, Tensor) else Tensor(asarray(x, dtype)) for x in xs]
    dtype = _common_type(name, xs)
    return [_as_tensor(name, i, x, dtype) for i, x in enumerate(xs)]


def _common_type(name: str, xs: Sequence[Any]) -> Any:
    """Numbers, 0-d arrays and integers take the type of the float arrays beside them."""
    typed = [x for x in xs if hasattr(x, "dtype")]
    floats = [x for x in typed if x.dtype.kind == "f"]
    dtypes = (
        {x.dtype for x in floats if x.ndim > 0}
        or {x.dtype for x in floats if isinstance(x, Tensor)}
        or {x.dtype for x in typed if isinstance(x, Tensor)}
    )
    if len(dtypes) > 1:
        raise TypeError(
            f"{name}: inputs of different types, {sorted(map(str, dtypes))}; convert with .astype"
        )
    return next(iter(dtypes), None)


def _as_tensor(name: str, i: int, x: Any, dtype: Any) -> "Tensor":
    if isinstance(x, Tensor):
        return x if dtype is None or x.dtype == dtype else x.astype(dtype)
    if x is None:
        raise TypeError(f"{name}: input {i} is None, expected a Tensor, an array or a number")
    if dtype is not None and dtype.kind != "f" and as_array(x).dtype.kind == "f":
        raise TypeError(f"{name}: input {i} is a float beside {dtype}; convert with .astype")
    return Tensor(as_array(x, dtype))


def _on_one_side(xs: Sequence["Tensor"]) -> Sequence["Tensor"]:
    """Where one lies on the GPU, NumPy's constants follow it, inside `use_device`."""
    if len({type(x.data) for x in xs}) < 2:
        return xs
    return [x if x.requires_grad else x.detach().to("gpu") for x in xs]


# ------------------------------------------------------------------------------ the walk backwards


def key(x: "Tensor") -> int:
    """Under which a gradient is collected: two Tensors of one Node are one place in the graph."""
    return id(x) if x.node is None else id(x.node)


def walk_back(
    root: "Tensor", gradient: Any, create_graph: bool, retain: bool, wanted: Container[int] = ()
) -> dict[int, tuple["Tensor", "Tensor"]]:
    """Visit every op that `root` was made by, from the youngest to the oldest; hand gradients down.

    An op is visited when all its consumers, which are younger, have been: its gradient is complete.
    Returns key -> (Tensor, its gradient) for the leaves and for the keys in `wanted`.
    """
    totals = {key(root): (root, _upstream(root, gradient, create_graph))}
    found = {}
    before = _rule.set("")
    try:
        with recording(create_graph):
            for node in _youngest_first(root):
                entry = totals.pop(id(node), None)
                if entry is None:
                    continue  # every rule above it said None
                if id(node) in wanted:
                    found[id(node)] = entry
                _rule.set(node.op.name)
                gradients = node.pull_back(entry[1], create_graph)
                for x, gx in zip(node.inputs, gradients, strict=True):
                    if gx is not None and x.requires_grad:
                        _check(node.op.name, x, gx)
                        k = key(x)
                        totals[k] = (x, totals[k][1] + gx if k in totals else gx)
                if not retain:
                    node.free()
    finally:
        _rule.reset(before)
    return totals | found


def _upstream(root: "Tensor", gradient: Any, create_graph: bool) -> "Tensor":
    """The gradient to start from, checked."""
    if not root.requires_grad:
        raise RuntimeError("backward: nothing that this Tensor was made from requires a gradient")
    if gradient is None:
        if root.size != 1:
            raise RuntimeError(
                f"backward: a Tensor of shape {root.shape} needs a gradient of that shape; "
                "without one it must be a scalar, as a loss is"
            )
        gradient = array_module(root.data).ones_like(root.data)
    g = gradient if isinstance(gradient, Tensor) else Tensor(as_array(gradient, root.dtype))
    _check("backward", root, g)
    return g if create_graph else g.detach()


def _youngest_first(root: "Tensor") -> list[Node]:
    """Every node that root was made from; a loop, no recursion, so that graphs may be deep."""
    nodes: dict[int, Node] = {}
    stack = [root.node]
    while stack:
        node = stack.pop()
        if node is not None and id(node) not in nodes:
            nodes[id(node)] = node
            stack.extend([x.node for x in node.inputs])
    return sorted(nodes.values(), key=operator.attrgetter("age"), reverse=True)


def _check(name: str, x: "Tensor", gx: "Tensor") -> None:
    if gx.data.shape != x.data.shape or gx.data.dtype != x.data.dtype:
        raise RuntimeError(
            f"{name}: a gradient of type {gx.dtype} and shape {gx.shape} came, "
            f"{x.dtype} and {x.shape} was expected"
        )

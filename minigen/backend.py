"""Which array library holds an array, and which implementation of an op runs on it.

The reference, the NumPy text of an op, is the default; recipes and the painter take "auto". Kernels
are asked for by name or by "auto":

    use_kernels("auto")                      from here on: the fastest that can run, else reference
    with use_kernels(conv2d="cpu_threads"):  in this block: this kernel, or an error that says why
    MINIGEN_KERNELS=auto python ...          from outside; "auto,conv2d=cpu_threads" mixes both

A kernel is a module `kernels/<op>/<rung>.py` with two functions; `kernels/<op>/__init__.py` lists
the names of the modules, slow to fast: in `RUNGS` those for NumPy arrays, in `CUDA_RUNGS` those for
CuPy arrays.

    supports(*arrays, **settings) -> None, or the reason why it cannot run
    launch(*arrays, **settings)   -> (y, backward or None)
                                     backward(g, needs) -> for each input array its gradient, or
                                     None where needs[i] is False

Where the fastest of RUNGS depends on the shapes, `order(*arrays, **settings)` beside it gives the
names fastest first.

Where it says BY_NAME, "auto" never takes one: `use_kernels(op="auto")` or a rung's name does.

Kernels that round to fewer bits run where `use_precision("tf32" | "bf16" | "fp16")` allows it.
"""

import functools
import importlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar, Token
from types import MappingProxyType, ModuleType, TracebackType
from typing import Any, NamedTuple

import numpy as np

from minigen.kernels import precision
from minigen.kernels.errors import GPUError as GPUError
from minigen.kernels.errors import GPUMemoryError as GPUMemoryError
from minigen.kernels.errors import GraphError
from minigen.kernels.precision import use_precision as use_precision

Array = Any  # a numpy.ndarray or a cupy.ndarray

_NUMPY = (np.ndarray, np.generic)


def array_module(x: Array) -> Any:
    """numpy or cupy, by the type of the array: the one place where the two meet.

    >>> array_module(np.zeros(3)).__name__
    'numpy'
    """
    if isinstance(x, _NUMPY):
        return np
    if not _is_cupy(x):
        raise TypeError(f"array_module: got {type(x).__name__}, expected a NumPy or CuPy array")
    return importlib.import_module("cupy")


def _is_cupy(x: Any) -> bool:
    return type(x).__module__.partition(".")[0] == "cupy"


def as_array(x: Any, dtype: Any = None) -> Array:
    """`x` as an array, where it already is: a CuPy array stays on the GPU.

    Python numbers and lists of them become float32 (or stay integers and bools); arrays keep their
    dtype. No copy where none is needed.
    """
    if isinstance(x, _NUMPY):
        return np.asarray(x, dtype)
    if _is_cupy(x):
        return x if dtype is None else x.astype(dtype, copy=False)
    a = np.asarray(x)
    if a.dtype.kind not in "fiub":
        raise TypeError(f"as_array: got {type(x).__name__}, expected numbers")
    if dtype is None:
        dtype = np.float32 if a.dtype == np.float64 else a.dtype
    return a.astype(dtype, copy=False)


def move(x: Array, device: str) -> Array:
    """The array on `device`, "cpu" or "gpu" (alias "cuda"); itself where it is there already.

    Raises: GPUError where CuPy or the GPU is missing, with what to install; GPUMemoryError.
    """
    if device not in ("cpu", "gpu", "cuda"):
        raise ValueError(f'move: device is {device!r}, expected "cpu" or "gpu"')
    if device == "cpu":
        return x if array_module(x) is np else x.get()
    gpu = importlib.import_module("minigen.kernels.gpu")
    with gpu.plain_errors("move to the GPU"):
        return gpu.require().asarray(x)


in_use: ContextVar[str] = ContextVar("device", default="cpu")


@contextmanager
def use_device(device: str) -> Iterator[None]:
    """Inside the block networks work on `device`, "cpu" or "gpu" (alias "cuda").

    A network goes there when its weights are loaded and when it is trained. NumPy's arrays that
    meet those of the GPU in an op follow them, as constants, and a network that is asked from the
    host answers there, unless the answer is for backward(). So a recipe that knows of no GPU can
    use one: what it does with arrays of its own stays on the host.

    Raises: GPUError where CuPy or the GPU is missing, with what to install.
    """
    move(np.zeros(0), device)  # what is missing is told before any work
    token = in_use.set("cpu" if device == "cpu" else "gpu")
    try:
        yield
    finally:
        in_use.reset(token)


def plain_gpu_errors(doing: str) -> AbstractContextManager[None]:
    """Inside the block, or the function that it decorates, CuPy's errors say what to do."""
    return importlib.import_module("minigen.kernels.gpu").plain_errors(doing)


def recorded(function: Callable[..., Array]) -> Callable[..., Array]:
    """`function(*arrays, **named)` of CuPy arrays, its launches recorded at the first call with
    such shapes, kernels and precision, and from then on started all at once; kernels/graph.py.

    Where that cannot be, it runs as it is, and the log says why, once.
    """
    graph = importlib.import_module("minigen.kernels.graph")
    at_once = graph.Recorded(function, lambda: frozenset(_choice.get().items()))
    refused = False

    def run(*arrays: Array, **named: Any) -> Array:
        nonlocal refused
        if not refused:
            try:
                return at_once(*arrays, **named)
            except GraphError as error:
                refused = True
                _log.warning("no CUDA graph, which would be faster: %s", error)
        return function(*arrays, **named)

    return run


def steps_of(*args: Any, **settings: Any) -> Any:
    """What the kernels of denoise_step multiply by; see kernels/denoise_step/table.py."""
    return importlib.import_module("minigen.kernels.denoise_step.table").steps_of(*args, **settings)


def wait_for(x: Array) -> None:
    """Return when `x` has been computed: the GPU is behind the program that drives it."""
    if not isinstance(x, _NUMPY):
        array_module(x).cuda.get_current_stream().synchronize()


# ------------------------------------------------------------------------------- choice of kernels


class KernelError(RuntimeError):
    """A kernel that was asked for by name does not exist or cannot run here."""


class Kernel(NamedTuple):
    """An implementation that runs in the place of the reference."""

    rung: str
    launch: Callable[..., tuple[Array, Callable[..., Any] | None]]


_log = logging.getLogger("minigen")
_said: set[str] = set()  # what was logged, to say it once


def _from_text(text: str) -> dict[str, str]:
    """ "auto,conv2d=cpu_threads" -> {"*": "auto", "conv2d": "cpu_threads"}."""
    parts = (part.partition("=") for part in text.replace(" ", "").split(",") if part)
    return {(op if rung else "*"): (rung or op) for op, _, rung in parts}


_choice: ContextVar[Mapping[str, str]] = ContextVar(
    "kernels", default=MappingProxyType(_from_text(os.environ.get("MINIGEN_KERNELS", "")))
)


class use_kernels:  # noqa: N801, a function to its users, and a context manager
    """Choose implementations, from here on or inside a `with` block, in this thread.

    use_kernels("reference")                   NumPy everywhere (the default)
    use_kernels("auto")                        the fastest kernel that can run, else the reference
    use_kernels("auto", conv2d="cpu_threads")  as above, and this kernel for conv2d

    Raises: KernelError for a name that no op or rung has.
    """

    def __init__(self, default: str | None = None, **rungs: str):
        if default is not None:
            _check_default("use_kernels", default)
        for op, rung in rungs.items():
            if rung not in ("reference", "auto", *rungs_of(op)):
                raise KernelError(
                    f"use_kernels: {op} has no kernel {rung!r}; it has {list(rungs_of(op))}"
                )
        chosen = {"*": default} if default else dict(_choice.get())
        self._token: Token[Mapping[str, str]] | None = _choice.set(chosen | rungs)

    def __enter__(self) -> "use_kernels":
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._token is not None:
            _choice.reset(self._token)
            self._token = None


@contextmanager
def auto_unless_chosen() -> Iterator[None]:
    """Inside the block, or the function that it decorates, "auto", where nothing was chosen before.

    For what is run rather than read: recipes, the painter, the command line.
    """
    with nullcontext() if _choice.get() else use_kernels("auto"):
        yield


def _check_default(who: str, default: str) -> None:
    if default not in ("reference", "auto"):
        raise KernelError(
            f'{who}: got {default!r}, expected "reference", "auto" or a kernel as op=rung'
        )


def is_named(op: str) -> bool:
    """Whether `op` itself was named in `use_kernels`, not only "auto" for all."""
    return op in _choice.get()


def rungs_of(op: str, on: str | None = None) -> tuple[str, ...]:
    """Names of the kernels of `op`, slow to fast, the CPU's first; none where it has no folder.

    on="cpu" or "gpu": only those for arrays there.
    """
    lists = {"cpu": ("RUNGS",), "gpu": ("CUDA_RUNGS",), None: ("RUNGS", "CUDA_RUNGS")}[on]
    folder = _load(op)
    return tuple(name for names in lists for name in getattr(folder, names, ()))


def _fastest_first(op: str, arrays: tuple[Array, ...], params: dict[str, Any]) -> Iterable[str]:
    order, cpu, cuda = _order_of(op)
    if arrays and not isinstance(_first_of(arrays), _NUMPY):
        return cuda
    return cpu if order is None else order(*arrays, **params)


def _first_of(arrays: tuple[Any, ...]) -> Any:
    """The first array, also where the op takes lists of them."""
    first = arrays[0]
    return first[0] if isinstance(first, list | tuple) and first else first


@functools.cache
def _order_of(
    op: str,
) -> tuple[Callable[..., Iterable[str]] | None, tuple[str, ...], tuple[str, ...]]:
    """What a folder says of the order of its rungs; those of the CPU and of CUDA, fastest first."""
    folder = _load(op)
    cpu, cuda = (tuple(getattr(folder, name, ()))[::-1] for name in ("RUNGS", "CUDA_RUNGS"))
    return getattr(folder, "order", None), cpu, cuda


@functools.cache
def _load(*path: str) -> ModuleType | None:
    """The module minigen.kernels.<path>, None where there is none."""
    name = ".".join(("minigen.kernels", *path))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return None


def _refusal(op: str, rung: str, arrays: tuple[Array, ...], params: dict[str, Any]) -> str | None:
    """None where the kernel can run on these arrays, else the reason."""
    try:
        module = _load(op, rung)
    except ImportError as error:
        return f"{error.name} is not installed" if error.name else str(error)
    return "there is no such kernel" if module is None else module.supports(*arrays, **params)


def _decide(op: str, arrays: tuple[Array, ...], params: dict[str, Any]) -> tuple[str, str, bool]:
    """(rung or "reference", why, whether that is a fallback)."""
    chosen = _choice.get()
    wanted = chosen.get(op) or chosen.get("*")
    if wanted is None:
        return "reference", "it is the default", False
    if wanted == "reference":
        return "reference", "it was asked for", False
    if op not in chosen:
        _check_default("MINIGEN_KERNELS", wanted)
    if wanted != "auto":
        if reason := _refusal(op, wanted, arrays, params):
            raise KernelError(f"{op}: the kernel {wanted!r} was asked for and cannot run: {reason}")
        return wanted, "it was asked for by name", False
    if op not in chosen and _is_by_name(op):
        return "reference", BY_NAME, False
    refusals: list[str] = []
    for rung in _fastest_first(op, arrays, params):
        reason = _refusal(op, rung, arrays, params)
        if reason is None:
            why = "; ".join(["it is the fastest that can run", *refusals])
            return rung, why, False
        refusals.append(f"{rung} cannot: {reason}")
    if not refusals:
        return "reference", "no kernel is written for it", False
    return "reference", "; ".join(refusals), True


BY_NAME = "its kernels run where they are asked for by name"


@functools.cache
def _is_by_name(op: str) -> bool:
    return getattr(_load(op), "BY_NAME", False)


def select(op: str, arrays: tuple[Array, ...], params: dict[str, Any]) -> Kernel | None:
    """The chosen kernel, or None for the reference; "auto" logs a fallback once for each op.

    Raises: KernelError where a kernel was asked for by name and cannot run.
    """
    chosen = _choice.get()
    if not chosen:
        return None
    if op not in chosen and chosen.get("*") == "auto":  # most calls: soon done, without reasons
        if _load(op) is None or _is_by_name(op):
            return None
        for rung in _fastest_first(op, arrays, params):
            found = _importable(op, rung)
            if found is not None and found[1](*arrays, **params) is None:
                return found[0]
    rung, why, fallback = _decide(op, arrays, params)
    if fallback and op not in _said:
        _said.add(op)
        _log.warning("%s runs as reference: %s", op, why)
    found = None if rung == "reference" else _importable(op, rung)
    return found[0] if found else None


@functools.cache
def _importable(op: str, rung: str) -> tuple[Kernel, Callable[..., str | None]] | None:
    """A rung and its `supports`; None where it lacks a package."""
    try:
        module = _load(op, rung)
    except ImportError:
        return None
    return None if module is None else (Kernel(rung, module.launch), module.supports)


def explain(op: str, *arrays: Any, **params: Any) -> str:
    """One sentence: which implementation of `op` runs on these arrays (or Tensors), and why.

    >>> explain("conv2d", np.zeros((1, 8, 8, 3)), np.zeros((3, 3, 3, 4)))
    'conv2d runs as reference (numpy): it is the default.'
    """
    plain = tuple(x.data if hasattr(x, "requires_grad") else as_array(x) for x in arrays)
    where = array_module(plain[0]).__name__ if plain else "numpy"
    if where == "cupy":
        where += f", {precision.current()}"
    try:
        rung, why, _ = _decide(op, plain, params)
    except KernelError as error:
        return f"{error}."
    return f"{op} runs as {rung} ({where}): {why}."


def explain_on_gpu(op: str, *arrays: np.ndarray, **params: Any) -> str:
    """The same for a GPU that is not here: what "auto" would take for such arrays on it."""
    if _is_by_name(op):
        return f"{op} would run as reference (cupy): {BY_NAME}."
    refusals: list[str] = []
    with importlib.import_module("minigen.kernels.cpu").emulated():  # kernels then take NumPy's
        for rung in _order_of(op)[2]:
            reason = _refusal(op, rung, arrays, params)
            if reason is None:
                why = "; ".join(["it is the fastest that can run", *refusals])
                return f"{op} would run as {rung} (cupy, {precision.current()}): {why}."
            refusals.append(f"{rung} cannot: {reason}")
    return f"{op} would run as reference (cupy): {'; '.join(refusals) or 'it has no kernel'}."

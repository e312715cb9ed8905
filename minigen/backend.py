"""Which array library holds an array, and which implementation of an op runs on it.

The reference, the NumPy text of an op, is the default. Kernels are asked for by name or by "auto":

    use_kernels("auto")                      from here on: the fastest kernel that can run, else the reference
    with use_kernels(conv2d="cpu_threads"):  inside this block: this kernel, or an error that says why it cannot run
    MINIGEN_KERNELS=auto python ...          the same from outside;  "auto,conv2d=cpu_threads" mixes both

A kernel is a module `kernels/<op>/<rung>.py` with two functions, listed slow to fast in `RUNGS` of `kernels/<op>/__init__.py`:

    supports(*arrays, **params) -> None, or the reason why it cannot run
    launch(*arrays, **params)   -> (y, backward or None);  backward(g) -> one array (or None) for each input array
"""

import importlib
import logging
import os
from collections.abc import Callable
from contextvars import ContextVar, Token
from types import ModuleType, TracebackType
from typing import Any

import numpy as np

Array = Any  # a numpy.ndarray or a cupy.ndarray
Launcher = Callable[..., tuple[Array, Callable[..., Any] | None]]

_log = logging.getLogger("minigen")
_said: set[str] = set()


class KernelError(RuntimeError):
    """A kernel that was asked for by name does not exist or cannot run here."""


def array_module(x: Array) -> Any:
    """numpy or cupy, by the type of the array: the one place where the two meet.

    >>> array_module(np.zeros(3)).__name__
    'numpy'
    """
    if isinstance(x, np.ndarray | np.generic):
        return np
    return importlib.import_module(type(x).__module__.partition(".")[0])


def as_array(x: Any, dtype: Any = None) -> Array:
    """`x` as an array, where it already is: a CuPy array stays on the GPU.

    Python numbers and lists of them become float32 (or stay integers and bools); arrays keep their dtype.
    """
    if type(x).__module__.partition(".")[0] == "cupy":
        return x if dtype is None else x.astype(dtype, copy=False)
    if dtype is None and not isinstance(x, np.ndarray | np.generic):
        x = np.asarray(x)
        return x.astype(np.float32) if x.dtype == np.float64 else x
    return np.asarray(x, dtype)


def move(x: Array, device: str) -> Array:
    """The array on `device`, "cpu" or "gpu" (alias "cuda").

    Raises: RuntimeError where CuPy or the GPU is missing, with what to install.
    """
    if device not in ("cpu", "gpu", "cuda"):
        raise ValueError(f'move: device is {device!r}, expected "cpu" or "gpu"')
    if device == "cpu":
        return x if array_module(x) is np else x.get()
    try:
        import cupy

        return cupy.asarray(x)
    except ImportError as error:
        raise RuntimeError(
            'move: CuPy is not installed: pip install "minigen[cuda12]" or "minigen[cuda13]"'
        ) from error
    except (
        Exception
    ) as error:  # CuPy raises its own CUDARuntimeError, which cannot be named without CuPy
        raise RuntimeError(f"move: no usable GPU: {error}") from error


# ------------------------------------------------------------------------------------------------ choice of kernels


def _from_text(text: str) -> dict[str, str]:
    """ "auto,conv2d=cpu_threads" -> {"*": "auto", "conv2d": "cpu_threads"}."""
    parts = (part.strip().partition("=") for part in text.split(",") if part.strip())
    return {(op if rung else "*"): (rung or op) for op, _, rung in parts}


_choice: ContextVar[dict[str, str]] = ContextVar(
    "kernels", default=_from_text(os.environ.get("MINIGEN_KERNELS", ""))
)


class use_kernels:  # noqa: N801, a function to its users, and a context manager
    """Choose implementations, from here on or inside a `with` block.

    use_kernels("reference")                   NumPy everywhere (the default)
    use_kernels("auto")                        the fastest kernel that can run, else the reference
    use_kernels("auto", conv2d="cpu_threads")  as above, and this kernel for conv2d

    Raises: KernelError for a name that no op or rung has.
    """

    def __init__(self, default: str | None = None, **rungs: str):
        if default not in (None, "reference", "auto"):
            raise KernelError(
                f'use_kernels: {default!r} is neither "reference" nor "auto"; name a kernel as op="rung"'
            )
        for op, rung in rungs.items():
            if rung not in ("reference", "auto", *rungs_of(op)):
                raise KernelError(
                    f"use_kernels: {op} has no kernel {rung!r}; it has {list(rungs_of(op))}"
                )
        chosen = {} if default else dict(_choice.get())
        self._token: Token[dict[str, str]] | None = _choice.set(
            chosen | ({"*": default} if default else {}) | rungs
        )

    def __enter__(self) -> "use_kernels":
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._token is not None:
            _choice.reset(self._token)
            self._token = None


def rungs_of(op: str) -> tuple[str, ...]:
    """Names of the kernels of `op`, slow to fast; none where the op has no folder."""
    folder = _load(op)
    return tuple(folder.RUNGS) if folder else ()


def _load(*path: str) -> ModuleType | None:
    name = ".".join(("minigen.kernels", *path))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return None


def _why_not(op: str, rung: str, arrays: tuple[Array, ...], params: dict[str, Any]) -> str | None:
    """None where the kernel can run on these arrays, else the reason."""
    try:
        module = _load(op, rung)
    except ImportError as error:
        return f"{error.name} is not installed"
    return "there is no such kernel" if module is None else module.supports(*arrays, **params)


def _decide(op: str, arrays: tuple[Array, ...], params: dict[str, Any]) -> tuple[str, str]:
    """(rung or "reference", why)."""
    chosen = _choice.get()
    wanted = chosen.get(op, chosen.get("*", "reference"))
    if wanted == "reference":
        return "reference", "it is the default" if not chosen else "it was asked for"
    if wanted != "auto":
        reason = _why_not(op, wanted, arrays, params)
        if reason:
            raise KernelError(f"{op}: the kernel {wanted!r} was asked for and cannot run: {reason}")
        return wanted, "it was asked for by name"
    refusals = []
    for rung in reversed(rungs_of(op)):
        reason = _why_not(op, rung, arrays, params)
        if reason is None:
            return rung, "it is the fastest that can run" + "".join(
                f"; {line}" for line in refusals
            )
        refusals.append(f"{rung}: {reason}")
    return "reference", "; ".join(refusals) or "no kernel is written for it"


def select(op: str, arrays: tuple[Array, ...], params: dict[str, Any]) -> Launcher | None:
    """The launcher of the chosen kernel, or None for the reference.

    Raises: KernelError where a kernel was asked for by name and cannot run.
    """
    if not _choice.get():
        return None
    rung, why = _decide(op, arrays, params)
    if rung == "reference":
        if rungs_of(op) and "asked for" not in why and op not in _said:
            _said.add(op)
            _log.warning("%s: the reference runs: %s", op, why)
        return None
    module = _load(op, rung)
    assert module is not None
    return module.launch


def explain(op: str, *arrays: Any, **params: Any) -> str:
    """One sentence: which implementation of `op` runs on these arrays, and why.

    >>> explain("conv2d", np.zeros((1, 8, 8, 3)), np.zeros((3, 3, 3, 4)))
    'conv2d runs as reference (numpy): it is the default.'
    """
    plain = tuple(getattr(x, "data", x) if not isinstance(x, np.ndarray) else x for x in arrays)
    rung, why = _decide(op, plain, params)
    module = array_module(plain[0]).__name__ if plain else "numpy"
    return f"{op} runs as {rung} ({module}): {why}."

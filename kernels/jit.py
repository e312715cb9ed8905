"""Numba for kernels: compiled at the first call, kept on disk, said once where it takes time."""

import logging
import sys
import time
from collections.abc import Callable
from typing import Any

import numba
from numba.core import event
from tqdm import tqdm

# Sums may be taken in another order, and a product joined with a sum, which vector instructions
# need; infinities and NaN stay what they are.
FAST = {"reassoc", "contract", "nsz"}
_log = logging.getLogger("minigen")


def jit(function: Callable[..., Any]) -> Any:
    """numba.njit that lets go of the interpreter's lock and keeps its code on disk.

    Division by zero gives inf or NaN as in NumPy. In the compiled text a whole number times a
    float32 is a float64, as slow as it is precise: write type(x)(2) * x.
    """
    return numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")(function)


class _Compiling(event.Listener):  # type: ignore[misc]
    """Shows what is being compiled, and says once in a process how to have it done ahead."""

    def __init__(self) -> None:
        self.depth, self.functions, self.start, self.seconds = 0, 0, 0.0, 0.0
        self.bar: Any = None

    def on_start(self, event: Any) -> None:
        self.depth += 1
        if self.depth > 1:  # a function that another one calls
            return
        if not self.functions:
            _log.info("compiling kernels, once on this machine; `minigen warmup` does it ahead")
        name = event.data["dispatcher"].py_func.__name__.strip("_")
        self.bar = tqdm(
            desc=f"compiling {name}",
            bar_format="{desc} ({elapsed})",
            leave=False,
            disable=not sys.stderr.isatty(),
        )
        self.start = time.perf_counter()

    def on_end(self, event: Any) -> None:
        self.depth -= 1
        if self.depth == 0:
            self.seconds += time.perf_counter() - self.start
            self.functions += 1
            self.bar.close()

    def report(self) -> str:
        return f"{self.functions} functions compiled in {self.seconds:.1f} s and kept on disk"


compiling = _Compiling()
event.register("numba:compile", compiling)

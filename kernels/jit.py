"""Numba for kernels: compiled at the first call, kept on disk, said once where it takes time."""

import logging
import time
from collections.abc import Callable
from typing import Any

import numba
from numba.core import event

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
    """Says once in a process that kernels are being compiled, and how to have it done ahead."""

    def __init__(self) -> None:
        self.depth, self.start, self.seconds, self.said = 0, 0.0, 0.0, False

    def on_start(self, event: Any) -> None:
        self.depth += 1
        if self.depth == 1:
            self.start = time.perf_counter()
            if not self.said:
                self.said = True
                _log.info("compiling kernels, once on this machine; `minigen warmup` does it ahead")

    def on_end(self, event: Any) -> None:
        self.depth -= 1
        if self.depth == 0:
            self.seconds += time.perf_counter() - self.start


compiling = _Compiling()  # .seconds: spent on it in this process
event.register("numba:compile", compiling)

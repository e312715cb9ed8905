"""From a rung to its .cu file, which runs on CuPy arrays on a GPU and on NumPy arrays on the CPU.

    kernels = CudaFile(__file__)         k1_naive.py has its kernels in k1_naive.cu, beside it
    kernels.launch("matmul", grid, block, a, b, y, M, N, K)

A rung is written once for both: it allocates by `empty`, and asks `only_cuda` whether it may run.
NumPy arrays are taken inside `minigen.kernels.cpu.emulated()` only, so that `auto` never mistakes
the emulator for a fast kernel.
"""

import importlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minigen.kernels.cpu import runner

Array = Any  # a cupy.ndarray, or a numpy.ndarray inside emulated()


class CudaFile:
    """The kernels of one .cu file, `file` with that ending.

    defines: names with a value at compile time, as -DNAME=VALUE.
    """

    def __init__(self, file: str | Path, **defines: object):
        self.source, self.defines = Path(file).with_suffix(".cu"), defines

    def launch(
        self,
        kernel: str,
        grid: Sequence[int],
        block: Sequence[int],
        *arguments: Any,
        shared: int = 0,
        **defines: object,
    ) -> None:
        """Run `kernel` over a grid of blocks; `shared` bytes of dynamic shared memory for each.

        On a GPU it returns at once; what is asked of the arrays later waits for it.

        Raises: TypeError for arguments that do not fit the kernel's parameters; on the CPU what
        minigen.kernels.cpu raises.
        """
        how = (self.source, kernel, grid, block, arguments, shared, {**self.defines, **defines})
        if any(isinstance(a, np.ndarray) for a in arguments):
            if any(_is_cupy(a) for a in arguments):
                raise TypeError(f"{kernel}: got arrays of NumPy and of CuPy; move all to one side")
            runner.launch(*how)
        else:
            importlib.import_module("minigen.kernels.gpu").launch(*how)


def _is_cupy(a: Any) -> bool:
    return type(a).__module__.partition(".")[0] == "cupy"


def module_of(a: Array) -> Any:
    """numpy or cupy, by the type of the array."""
    return np if isinstance(a, np.ndarray) else importlib.import_module("cupy")


def only_cuda(*arrays: Array, dtype: str = "float32") -> str | None:
    """None, or why these arrays are not for a CUDA kernel here."""
    for a in arrays:
        if isinstance(a, np.ndarray):
            if runner.emulation() is None:
                return "it takes CuPy arrays; `minigen emulate` runs it on the CPU"
        elif not _is_cupy(a):
            return f"it takes CuPy arrays, got {type(a).__name__}"
        if a.dtype != dtype:
            return f"it takes {dtype}, got {a.dtype}"
    return None


def empty(shape: Sequence[int], like: Array, dtype: Any = None) -> Array:
    """A new array where `like` is; on the CPU full of NaN, so that what nobody writes is seen."""
    dtype = np.dtype(dtype or like.dtype)
    if not isinstance(like, np.ndarray):
        return module_of(like).empty(shape, dtype)
    size = math.prod(shape)
    return np.full(size * dtype.itemsize, 255, np.uint8).view(dtype).reshape(shape)


def contiguous(a: Array) -> Array:
    """`a`, or a copy of it where it is a view with gaps."""
    return a if a.flags.c_contiguous else module_of(a).ascontiguousarray(a)


def blocks(n: int, size: int) -> int:
    """How many blocks of `size` cover n."""
    return -(-n // size)

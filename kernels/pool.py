"""Memory for large arrays that is used again instead of given back.

A large array costs more to allocate than to fill: the system hands out pages of zeros one at a
time, at the first touch of each. `empty` takes the memory of an array that is no longer in use:

    y = pool.empty(x.shape, x.dtype)         as numpy.empty

When `y` and all views of it are gone, its memory goes back to the pool. What lies idle there is
bounded by `limit` bytes. What is needed inside of a kernel alone is the thread's own:

    columns = pool.scratch("columns", shape, dtype)

the same memory at every call, which therefore stays in the core's cache. Only kernels take memory
here, so reference mode never does.
"""

import math
import os
import threading
from typing import Any

import numpy as np

SMALLEST = 1 << 16  # bytes; smaller arrays are numpy.empty's business
limit = int(os.environ.get("MINIGEN_POOL_MB", "1024")) << 20  # bytes that may lie idle; 0: no pool


class _Pool:
    def __init__(self) -> None:
        self.lock = threading.RLock()  # a garbage collection inside the lock may give blocks back
        self.idle: dict[int, list[np.ndarray]] = {}  # by size, the last used on top
        self.idle_bytes = self.reused = self.made = self.scratch_bytes = 0

    def take(self, size: int) -> np.ndarray:
        with self.lock:
            blocks = self.idle.get(size)
            if blocks:
                self.idle_bytes -= size
                self.reused += 1
                return blocks.pop()
            self.made += 1
        return np.empty(size, np.uint8)

    def give_back(self, block: np.ndarray) -> None:
        with self.lock:
            if self.idle_bytes + block.size <= limit:
                self.idle_bytes += block.size
                self.idle.setdefault(block.size, []).append(block)

    def clear(self) -> None:
        with self.lock:
            self.idle, self.idle_bytes = {}, 0


_pool = _Pool()


class _Lease:
    """The owner of a pooled array's memory, until the last view of it is gone."""

    __slots__ = ("__array_interface__", "block")

    def __init__(self, block: np.ndarray, shape: tuple[int, ...], dtype: np.dtype):
        self.block = block
        address = block.__array_interface__["data"]
        self.__array_interface__ = {
            "version": 3,
            "shape": shape,
            "typestr": dtype.str,
            "data": address,
        }

    def __del__(self) -> None:
        _pool.give_back(self.block)


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """numpy.empty(shape, dtype), from memory that was used before where some of that size is idle.

    Sizes are rounded up to one of eight steps in each power of two.
    """
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < SMALLEST or not limit:
        return np.empty(shape, dtype)
    step = 1 << (size.bit_length() - 4)
    return np.asarray(_Lease(_pool.take(-(-size // step) * step), tuple(shape), dtype))


class _Scratch(threading.local):
    def __init__(self) -> None:
        self.memory: dict[str, np.ndarray] = {}


_scratch = _Scratch()


def scratch(name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array for use inside of one kernel, as numpy.empty.

    The next one of this name in this thread overwrites it; the memory of the largest is kept.
    """
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    memory = _scratch.memory.get(name)
    if memory is None or memory.size < size:
        with _pool.lock:
            _pool.scratch_bytes += size - (0 if memory is None else memory.size)
        memory = _scratch.memory[name] = np.empty(size, np.uint8)
    return memory[:size].view(dtype).reshape(shape)


def clear() -> None:
    """Give the idle memory back to the system, and this thread's own."""
    _pool.clear()
    with _pool.lock:
        _pool.scratch_bytes -= sum(memory.size for memory in _scratch.memory.values())
    _scratch.memory.clear()


def report() -> str:
    """One line: what lies idle, how often memory was used again, what the threads keep."""
    idle, most, kept = _pool.idle_bytes >> 20, limit >> 20, _pool.scratch_bytes >> 20
    taken = _pool.made + _pool.reused
    share = f"{_pool.reused / taken:.0%} of {taken} arrays" if taken else "no arrays yet"
    used = f"{share} took memory that was used before"
    return f"{idle} of at most {most} MiB idle; {used}; {kept} MiB kept by threads"

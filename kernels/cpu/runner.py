"""Launches of CUDA kernels on NumPy arrays, by fibers on one thread of the CPU.

Plain launches run in this process, from a shared library. With a sanitizer each launch is a program
of its own, which gets copies of the arrays and gives them back: "address" finds reads and writes
beyond arrays, local, shared and global, and undefined behaviour; "thread" finds races between the
threads of a block, whatever order they happen to run in.
"""

import ctypes
import importlib
import os
import re
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minigen.kernels.cpu.build import build
from minigen.kernels.signature import Parameter, check, parameters_of, wrong_sizes


class EmulationError(RuntimeError):
    """A kernel did what a GPU would not forgive: kernel, block, thread, line."""


class Launch(NamedTuple):
    """One that has run."""

    kernel: str
    sizes: tuple[int, ...]  # of the grid, x y z, and of a block
    shared: int  # bytes of dynamic shared memory
    seconds: float


class Emulation(NamedTuple):
    seed: int
    sanitize: str | None
    launches: list[Launch]


_emulation: ContextVar[Emulation | None] = ContextVar("emulation", default=None)


@contextmanager
def emulated(seed: int = 0, sanitize: str | None = None) -> Iterator[list[Launch]]:
    """Inside the block, CUDA kernels take NumPy arrays and run on the CPU; it lists them.

    seed      the order of blocks and threads: 0 as they are numbered, 1 threads in reverse, others
              shuffled anew at every barrier
    sanitize  "thread", "address" or None
    """
    if not (isinstance(seed, int) and 0 <= seed < 2**32):
        raise ValueError(f"seed is {seed!r}, expected a whole number from 0 to {2**32 - 1}")
    token = _emulation.set(how := Emulation(seed, sanitize, []))
    try:
        yield how.launches
    finally:
        _emulation.reset(token)


def emulation() -> Emulation | None:
    """The settings of the `emulated` block around, None where there is none."""
    return _emulation.get()


def run(
    rung: str, *arrays: Any, seed: int = 0, sanitize: str | None = None, **settings: Any
) -> Any:
    """What a rung, "op/name", makes of NumPy arrays.

    >>> run("matmul/k1_naive", np.eye(2, dtype="f"), np.ones((2, 2), "f"))  # doctest: +SKIP
    array([[1., 1.],
           [1., 1.]], dtype=float32)

    Raises: ValueError where there is no such rung or it cannot take the arrays; CompileError;
    NoCompilerError; EmulationError.
    """
    module = rung_module(rung)
    with emulated(seed, sanitize):
        if reason := module.supports(*arrays, **settings):
            raise ValueError(f"{rung}: {reason}")
        return module.launch(*arrays, **settings)[0]


def rung_module(rung: str) -> Any:
    """The module of "op/name"."""
    op, _, name = rung.partition("/")
    try:
        return importlib.import_module(f"minigen.kernels.{op}.{name}")
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("minigen.kernels."):
            raise
        raise ValueError(f'there is no kernel {rung!r}; one is "matmul/k1_naive"') from None


def launch(
    source: Path,
    kernel: str,
    grid: Sequence[int],
    block: Sequence[int],
    arguments: Sequence[Any],
    shared: int = 0,
    defines: Mapping[str, object] | None = None,
) -> None:
    """Run one kernel of a .cu file over a grid of blocks; what it writes stands in the arrays.

    Raises: EmulationError; CompileError; NoCompilerError; TypeError for arguments that do not fit.
    """
    how = _emulation.get() or Emulation(0, None, [])
    parameters = parameters_of(source, kernel)
    fitting = check(kernel, parameters, arguments, lambda a: a.ctypes.data)
    built = build(source, defines or {}, how.sanitize)
    sizes = (*grid, 1, 1)[:3] + (*block, 1, 1)[:3]
    check_sizes(kernel, sizes, shared)
    begin = time.perf_counter()
    start = _in_this_process if how.sanitize is None else _as_a_program
    start(built, kernel, sizes, shared, parameters, fitting, how)
    how.launches.append(Launch(kernel, sizes, shared, time.perf_counter() - begin))


def check_sizes(kernel: str, sizes: Sequence[int], shared: int) -> None:
    """Raise EmulationError where no GPU would start so large or so small a grid."""
    if wrong := wrong_sizes(kernel, sizes):
        raise EmulationError(wrong)
    if shared > 227 << 10:
        raise EmulationError(f"{kernel}: {shared} bytes of shared memory; 232448 are the most")


# ---------------------------------------------------------------------------------- in this process

GUARD = 1 << 14  # bytes on either side of an array that belong to nobody


class _Guarded:
    """A copy of an array between two guards of NaN.

    float32's are signalling NaNs with the array's number in them: what is computed from one, or
    copied from another array's, has other bits, so that it is seen where it is written to a guard.
    """

    def __init__(self, a: np.ndarray, number: int):
        around = np.full(a.nbytes + 2 * GUARD + 256, 255, np.uint8)
        start = -around.ctypes.data % 256  # a GPU's arrays start at multiples of 256 bytes
        self.all = around[start:]
        self.inside = self.all[GUARD : GUARD + a.nbytes]
        self.inside[:] = np.frombuffer(a.tobytes(), np.uint8)
        self.address = self.inside.ctypes.data
        mark = 0xFFA00001 + number if a.dtype == np.float32 else 0xFFFFFFFF
        self.mark = np.array([mark], np.uint32).view(np.uint8)
        self.guards = self.all[:GUARD], self.all[GUARD + a.nbytes : 2 * GUARD + a.nbytes]
        for guard in self.guards:
            guard.reshape(-1, 4)[:] = self.mark

    def written(self, dtype: np.dtype) -> str | None:
        """Where the guards were written to, as an index of the array; None where they were not."""
        for guard, first in zip(self.guards, (-GUARD, self.inside.size)):
            if (changed := np.flatnonzero(guard.reshape(-1, 4) != self.mark)).size:
                return f"element {(first + int(changed[0])) // dtype.itemsize}"
        return None


_one_at_a_time = threading.Lock()  # threadIdx and so on are variables of the library


def _place(a: np.ndarray) -> tuple[int, int]:
    return a.ctypes.data, a.nbytes


@cache
def _library(built: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(built))
    library.mg_error.restype = ctypes.c_char_p
    return library


def _in_this_process(
    built: Path,
    kernel: str,
    sizes: Sequence[int],
    shared: int,
    parameters: Sequence[Parameter],
    arguments: Sequence[Any],
    how: Emulation,
) -> None:
    library = _library(built)
    arrays = {_place(a): a for a in arguments if isinstance(a, np.ndarray)}
    guarded = {  # once, if it comes twice
        place: _Guarded(a, i) for i, (place, a) in enumerate(arrays.items())
    }
    copies = [guarded[_place(a)] if isinstance(a, np.ndarray) else None for a in arguments]
    places = [
        np.ctypeslib.as_ctypes_type(a.dtype)(a)
        if isinstance(a, np.generic)
        else ctypes.c_void_p(copy.address if copy else None)
        for a, copy in zip(arguments, copies)
    ]
    pointers = (ctypes.c_void_p * len(places))(*(ctypes.addressof(p) for p in places))
    with _one_at_a_time:
        failed = library[f"mg_launch_{kernel}"](
            (ctypes.c_uint * 6)(*sizes), ctypes.c_size_t(shared), ctypes.c_uint(how.seed), pointers
        )
        error = library.mg_error().decode()
    if failed:
        raise EmulationError(error) if failed == 1 else KeyboardInterrupt
    for p, a, copy in zip(parameters, arguments, copies):
        if copy is None:
            continue
        if where := copy.written(a.dtype):
            raise EmulationError(
                f"{kernel}: wrote {where} of {p.name}, which has {a.size}; "
                'sanitize="address" says in which line'
            )
        if not p.is_read_only:
            a[...] = np.frombuffer(copy.inside, a.dtype).reshape(a.shape)


# ------------------------------------------------------------------------------------ as a program


def _as_a_program(
    built: Path,
    kernel: str,
    sizes: Sequence[int],
    shared: int,
    parameters: Sequence[Parameter],
    arguments: Sequence[Any],
    how: Emulation,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder) / "job"
        with job.open("wb") as file:
            file.write(kernel.encode() + b"\n")
            file.write(struct.pack("=7I2Q", *sizes, how.seed, shared, len(arguments)))
            seen: dict[tuple[int, int], int] = {}
            for i, a in enumerate(arguments):
                plain = np.zeros((), np.uint64) if a is None else np.asarray(a)
                kind = 0 if not isinstance(a, np.ndarray) else 1 + seen.setdefault(_place(a), i)
                file.write(struct.pack("=2Q", kind, plain.nbytes) + plain.tobytes())
        done = _run_program([str(built), str(job)])
        if done.returncode:
            raise EmulationError(_finding(done.stderr, kernel, str(how.sanitize)))
        sys.stdout.write(done.stdout)  # what the kernel printed
        data = job.read_bytes()
    place = 0
    for p, a in zip(parameters, arguments):
        if isinstance(a, np.ndarray):
            if not p.is_read_only:
                a[...] = np.frombuffer(data, a.dtype, a.size, place).reshape(a.shape)
            place += a.nbytes


def _run_program(command: list[str]) -> subprocess.CompletedProcess[str]:
    options = {
        "ASAN_OPTIONS": "detect_leaks=0",
        "TSAN_OPTIONS": "halt_on_error=1:atexit_sleep_ms=0",
        "UBSAN_OPTIONS": "print_stacktrace=0",
    }
    how: dict[str, Any] = {"capture_output": True, "text": True, "errors": "replace"}
    done = subprocess.run(command, env={**os.environ, **options}, **how)
    if (
        "unexpected memory mapping" in done.stderr
    ):  # ThreadSanitizer and a new kernel's random places
        done = subprocess.run(["setarch", "-R", *command], env={**os.environ, **options}, **how)
    return done


def _finding(report: str, kernel: str, sanitize: str) -> str:
    """One line from a sanitizer's report: where in the grid, in which line, what."""
    if found := re.search(r"^MG_ERROR (.*)$", report, re.M):
        return found[1]
    where = re.search(r"^MG_WHERE (.*)$", report, re.M)
    what = re.search(r"(?:SUMMARY|ERROR|WARNING): \w+Sanitizer: ([\w -]+)", report)
    undefined = re.search(r"^(\S+:\d+):\d+: runtime error: (.*)$", report, re.M)
    lines = [f"{Path(f).name} line {n}" for f, n in re.findall(r"(\S+\.cuh?):(\d+)", report)]
    lines = list(dict.fromkeys(lines))[:2]  # of a race, both sides
    said = undefined[2] if undefined else what[1].strip() if what else report.strip()[-300:]
    said = said.partition(" on address")[0]
    place = ", ".join([where[1] if where else kernel, *([" and ".join(lines)] if lines else [])])
    return f"{place}: {said} ({sanitize} sanitizer)"

"""Which rung is the fastest at which shapes: the table that "auto" is guided by.

Every rung of a folder with several is timed at the shapes of the listed cases, on all threads and
on one, where a batch's parts already keep the cores busy.
"""

import time
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np

from minigen import Tensor, no_grad
from minigen.backend import KernelError, rungs_of, use_kernels
from minigen.kernels.bench.cases import Case, listed
from minigen.kernels.bench.ours import OPS, PARTS
from minigen.kernels.threads import cores, use_threads
from minigen.parallel import one_blas_thread


def choices(ops: list[str] | None, quick: bool) -> list[Case]:
    """The forward cases of ops with several rungs, and small batches of them."""
    return [
        case
        for case in [*listed(quick), *_convolutions()]
        if case.kind == "op"
        and (ops is None or case.op in ops)
        and len(rungs_of(_primitive(case.op), "cpu")) > 1
    ]


def _convolutions() -> Iterator[Case]:
    """The 3x3 convolutions of a U-Net: of one picture, of a part of a batch."""
    sizes = (
        (32, 32),
        (28, 32),
        (16, 32),
        (16, 64),
        (14, 64),
        (8, 96),
        (7, 128),
        (4, 128),
        (2, 256),
    )
    for N in (1, 2, 8, 32):
        for size, C in sizes:
            for width, O in ((C, C), (2 * C, C), (C, 2 * C)):
                yield Case(
                    f"conv2d {N} x {size} x {size}, {width} -> {O}",
                    "conv2d",
                    "op",
                    ((N, size, size, width), (3, 3, width, O)),
                    settings={"stride": 1, "padding": 1},
                )


def _primitive(op: str) -> str:
    return op if rungs_of(op, "cpu") else PARTS.get(op, op)


def entries(case: Case, quick: bool) -> Iterator[dict[str, Any]]:
    """An entry for all threads, and one for a single thread; none where no rung can run."""
    op = _primitive(case.op)
    for threads in sorted({cores(), 1}, reverse=True):
        ms = {
            rung: found
            for rung in rungs_of(op, "cpu")
            if (found := _time(case, op, rung, threads, quick))
        }
        if ms:
            yield {
                "op": op,
                "shape": [list(shape) for shape in case.shapes],
                "settings": dict(case.settings),
                "threads": threads,
                "rung": min(ms, key=lambda rung: ms[rung]),
                "ms": ms,
            }


def _time(case: Case, op: str, rung: str, threads: int, quick: bool) -> float | None:
    """Median milliseconds of a rung, None where it cannot run on these arrays."""
    f, xs = OPS[case.op], [Tensor(a) for a in case.inputs()]
    seconds, repeats = (0.0, 1) if quick else (0.1, 7)
    spent: list[float] = []
    alone = one_blas_thread() if threads == 1 else nullcontext()
    with use_kernels("auto", **{op: rung}), use_threads(threads), alone, no_grad():
        try:
            f(*xs, **case.settings)
        except KernelError:
            return None
        while sum(spent) < seconds or len(spent) < repeats:
            start = time.perf_counter()
            f(*xs, **case.settings)
            spent.append(time.perf_counter() - start)
    return round(1000 * float(np.median(spent)), 4)

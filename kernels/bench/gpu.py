"""How a case is timed on a GPU, and how minigen runs an op there; gpu_whole.py has whole steps.

Time is CUDA's: events in the stream before and after. A rung's launches are recorded as a graph, so
that it is the GPU that is timed and not Python; it runs on as many copies of its inputs as it takes
to have more than the L2 cache holds, and the copies take turns. What cannot be recorded (Numba's
kernels, a kernel whose host looks at a number) is launched from Python, and the table says so.

Nothing is timed that is wrong: before, its result is compared with float64, that of the recording
too, after NaN were written over it.
"""

import importlib
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from minigen.backend import move
from minigen.kernels.bench.gpu_cases import Ceilings, GpuCase, flat, floor
from minigen.kernels.bench.measure import LARGEST_ERROR, largest_error
from minigen.kernels.errors import GraphError
from minigen.kernels.gpu import plain_errors, require
from minigen.kernels.graph import Recording
from minigen.kernels.precision import use_precision

ROUNDS = ("tf32", "bf16", "fp16")  # precisions of tensor cores
LARGEST = {"fp32": LARGEST_ERROR}  # error of what is timed; of the others:
LARGEST_ROUNDED = 3e-2
CACHE = 60e6  # bytes of L2, where the GPU does not say


@dataclass
class Row:
    """One variant of a case.

    side       "minigen" or "PyTorch"
    ms, low, high   median and quartiles; of whole work: of one step
    error      largest difference from float64, by its largest element
    roofline   the floor at the ceilings measured in this run, over the time
    failed     why there is no time
    """

    case: str
    side: str
    variant: str
    precision: str
    flops: float
    bytes: float
    ms: float | None = None
    low: float | None = None
    high: float | None = None
    error: float | None = None
    roofline: float | None = None
    failed: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class How(NamedTuple):
    """How often; `quick` is to see that everything runs."""

    quick: bool = False

    @property
    def repeats(self) -> int:
        return 2 if self.quick else 50

    @property
    def warm_up(self) -> int:
        return 1 if self.quick else 5


class RefusedError(Exception):
    """It cannot run on this; with the reason."""


@contextmanager
def noted(row: Row) -> Iterator[None]:
    """What goes wrong inside the block is written down where the time would stand."""
    try:
        with plain_errors(row.variant):
            yield
    except RefusedError as error:
        row.failed = f"cannot run: {error}"
    except Exception as error:
        row.failed = f"{type(error).__name__}: {error}"


def check(row: Row, actual: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> None:
    """Note the error; the larger one where there was one. Raises: ValueError where it is wrong."""
    error = largest_error(actual, expected)
    row.error = max(error, row.error or 0.0) if error == error else error
    most = LARGEST.get(row.precision, LARGEST_ROUNDED)
    if not row.error <= most:
        raise ValueError(f"error {row.error:.1e} is above {most:.0e}")


# ------------------------------------------------------------------------------------------- clock


def milliseconds(run: Callable[[], Any], how: How, per: int = 1) -> np.ndarray:
    """What each of `how.repeats` runs took, by events in CUDA's default stream, for each of `per`.

    All runs are handed to the GPU before the first time is read, so it never waits for the clock.
    """
    cuda = require().cuda
    for _ in range(how.warm_up):
        run()
    pairs = []
    for _ in range(how.repeats):
        start, end = cuda.Event(), cuda.Event()
        start.record()
        run()
        end.record()
        pairs.append((start, end))
    pairs[-1][1].synchronize()
    return np.array([cuda.get_elapsed_time(*pair) for pair in pairs]) / per


def clock(
    row: Row, run: Callable[[], Any], how: How, ceilings: Ceilings | None, per: int = 1
) -> None:
    """Time it and fill in the row."""
    times = milliseconds(run, how, per)
    row.low, row.ms, row.high = np.quantile(times, (0.25, 0.5, 0.75)).tolist()
    if ceilings is not None and row.ms:
        row.roofline = floor(row.flops, row.bytes, ceilings, row.precision) / row.ms


def copies_of(bytes: float, how: How) -> int:
    """How many sets of inputs together are twice what the L2 cache holds."""
    attributes = require().cuda.Device().attributes
    cache = max(CACHE, attributes.get("L2CacheSize", 0))
    return 2 if how.quick else 1 + int(2 * cache / bytes)


# ---------------------------------------------------------------------------------------- ceilings


def measured_ceilings(how: How) -> Ceilings:
    """What this GPU does now: a large copy, and a large product by cuBLAS in each precision."""
    cupy = require()
    n, large = (64, 1 << 16) if how.quick else (8192, 1 << 28)
    a = cupy.zeros(large, "float32")
    b = cupy.empty_like(a)
    copied = 2e3 * a.nbytes / np.median(milliseconds(lambda: cupy.copyto(b, a), how))
    found = {}
    for precision in ("fp32", "tf32", "fp16"):
        dtype = "float16" if precision == "fp16" else "float32"
        x = cupy.asarray(np.random.default_rng(0).standard_normal((n, n)).astype(dtype))
        y = cupy.empty_like(x)
        with _compute_type(cupy, precision):
            ms = np.median(milliseconds(partial(cupy.matmul, x, x, out=y), how))
        found[precision] = 2e3 * n**3 / ms
    found["bf16"] = found["fp16"]  # a tensor core multiplies both as fast
    source = f"cuBLAS on {n} x {n}, that of fp16 for bf16 too; a copy of {large * 4 / 1e9:.1f} GB"
    return Ceilings(found, copied, f"measured in the same run: {source}")


@contextmanager
def _compute_type(cupy: Any, precision: str) -> Iterator[None]:
    """cuBLAS in CuPy multiplies in this precision; "fp32" strictly, also under CUPY_TF32."""
    linear = importlib.import_module("cupy._core._routines_linalg")
    kinds = {"fp32": linear.COMPUTE_TYPE_FP32, "tf32": linear.COMPUTE_TYPE_TF32}
    before = linear.get_compute_type("f")
    if precision in kinds:
        linear.set_compute_type("f", kinds[precision])
    try:
        yield
    finally:
        linear.set_compute_type("f", before)


# -------------------------------------------------------------------------------------------- rungs


def rungs(case: GpuCase) -> list[tuple[str, str]]:
    """(rung, precision), slow to fast: one on tensor cores in all precisions that round."""
    names = importlib.import_module(f"minigen.kernels.{case.op}").CUDA_RUNGS
    return [(name, p) for name in names for p in (ROUNDS if "mma" in name else ("fp32",))]


def time_rungs(case: GpuCase, how: How, ceilings: Ceilings | None) -> list[Row]:
    """All rungs of an op."""
    arrays, settings = case.make()
    expected, rows = case.exact(), []
    for rung, precision in rungs(case):
        row = Row(case.name, "minigen", rung, precision, *case.counted())
        rows.append(row)
        with noted(row), use_precision(precision):
            _time_rung(case, row, arrays, settings, expected, how, ceilings)
        require().get_default_memory_pool().free_all_blocks()
    return rows


def _time_rung(
    case: GpuCase, row: Row, arrays: Any, settings: Any, expected: Any, how: How, ceilings: Any
) -> None:
    module = importlib.import_module(f"minigen.kernels.{case.op}.{row.variant}")
    first = on_gpu(arrays)
    if reason := module.supports(*first, **settings):
        raise RefusedError(reason)
    g = move(case.upstream(), "gpu") if case.kind == "backward" else None

    def work_on(xs: Any) -> Callable[[], Any]:
        if g is None:
            return lambda: module.launch(*xs, **settings)[0]
        pull = module.launch(*xs, **settings)[1]
        if pull is None:
            raise RefusedError("it has no gradient of its own")
        return lambda: pull(g, (True,) * len(xs))

    y = work_on(first)()
    check(row, _numbers(case.outputs(y, first) if g is None else flat(y)), expected)
    sets = [on_gpu(arrays) for _ in range(copies_of(row.bytes, how))]
    works = [work_on(xs) for xs in sets]

    def run() -> Any:
        y = None
        for one in works:
            y = one()
        return y

    recorded = None if row.variant.startswith("numba") else _recorded(run)
    if recorded is None:
        row.variant += " (launched from Python)"
    elif outputs := flat(recorded.output):
        for a in outputs:
            a.fill(np.nan)
        recorded.replay()
        if len(outputs) == len(expected):  # else what it computes stands in its inputs
            check(row, _numbers(outputs), expected)
    clock(row, run if recorded is None else recorded.replay, how, ceilings, len(works))


def _recorded(run: Callable[[], Any]) -> Recording | None:
    try:
        return Recording(run)
    except GraphError:
        return None


def on_gpu(x: Any) -> Any:
    """Copies of all arrays in lists of lists, laid out in memory as they are."""
    if isinstance(x, list | tuple):
        return [on_gpu(a) for a in x]
    if x is None:
        return None
    axes = np.argsort([-step for step in x.strides], kind="stable")
    copy = require().array(np.ascontiguousarray(x.transpose(axes)))
    return copy.transpose(*np.argsort(axes).tolist()) if x.ndim else copy


def _numbers(arrays: Sequence[Any]) -> list[np.ndarray]:
    return [np.asarray(a) if isinstance(a, float) else a.get() for a in arrays]


# ----------------------------------------------------------------------------------------- machine


def device() -> dict[str, str]:
    """What the numbers hold for."""
    cupy = require()
    runtime = cupy.cuda.runtime
    name = runtime.getDeviceProperties(0)["name"]
    driver, cuda = (
        f"{n // 1000}.{n % 1000 // 10}"
        for n in (runtime.driverGetVersion(), runtime.runtimeGetVersion())
    )
    return {
        "GPU": name.decode() if isinstance(name, bytes) else str(name),
        "driver": _said("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"),
        "CUDA of the driver": driver,
        "CUDA": cuda,
        "CuPy": cupy.__version__,
        "date": time.strftime("%Y-%m-%d"),
        "commit": _said("git", "rev-parse", "--short", "HEAD"),
    }


def _said(*words: str) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip().splitlines()[0] if done.stdout.strip() else "unknown"

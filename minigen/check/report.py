"""A check from its start to its report."""

import signal
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import minigen.kernels.gpu as gpu
from minigen.check.diagnosis import Try, cause, depends_on_order, tolerance_of, where_wrong
from minigen.check.op import Case, Op
from minigen.check.ops import OPS
from minigen.check.process import EndedError, Step, in_a_child
from minigen.check.student import (
    CheckError,
    CudaText,
    Function,
    Kernel,
    load,
    uses_numba,
    where_raised,
)
from minigen.kernels.cpu import CompileError, EmulationError

BUILD = 300  # seconds that g++ may take


@dataclass(frozen=True)
class Report:
    """What a check found; it prints itself. `cause` is "" where all is right."""

    op: str
    name: str
    cases: int
    schedules: int
    failed: int = 0
    cause: str = ""
    why: str = ""
    smallest: str = ""
    first: str = ""
    sanitized: bool = False
    device: str = "cpu"

    @property
    def ok(self) -> bool:
        return not self.cause

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        who = f"{self.op}, {self.name}"
        if self.ok:
            orders = f", each in {self.schedules} orders of threads" * (self.schedules > 1)
            clean = "; no error of memory and no race was found" * self.sanitized
            where = " on the GPU" * (self.device == "cuda")
            return f"{who}: right at {self.cases} sizes{where}{orders}{clean}"
        sizes = f" at {self.failed} of {self.cases} sizes" * bool(self.failed)
        lines = [f"{who}: {'wrong' if self.first else 'it fails'}{sizes}"]
        lines += [f"  smallest  {self.smallest}"] * bool(self.smallest)
        lines += [f"  first     {self.first}"] * bool(self.first)
        return "\n".join([*lines, f"  cause     {self.cause}: {self.why}"])

    __repr__ = __str__


def check(
    name: str,
    kernel: Kernel,
    tile: int | None = None,
    seconds: float = 30,
    device: str = "cpu",
) -> Report:
    """Run `kernel` beside the reference of the op `name`.

    Raises: CheckError, CompileError, NoCompilerError, GPUError.
    """
    if name not in OPS:
        raise CheckError(f"check: there is no op {name!r}; there are {', '.join(OPS)}")
    op = OPS[name]
    if tile is not None and not 2 <= tile <= 1024:
        raise CheckError(f"check: tile is {tile}, expected 2 to 1024")
    if device not in ("cpu", "cuda"):
        raise CheckError(f'check: device is {device!r}, expected "cpu" or "cuda"')
    if device == "cuda" and gpu.require.cache_info().currsize:
        raise CheckError(
            "check: this process has used the GPU, so a child of it cannot; "
            "start `minigen check ... --device cuda` instead, or restart the notebook"
        )
    try:
        return in_a_child(lambda: _work(op, kernel, tile, seconds, device))
    except EndedError as ended:
        return _after_the_end(op, kernel, ended, seconds, device)


def _label(kernel: Kernel) -> str:
    if callable(kernel):
        return getattr(kernel, "__name__", "a function")
    return "the text" if "\n" in str(kernel) else Path(kernel).name


def _after_the_end(
    op: Op, kernel: Kernel, ended: EndedError, seconds: float, device: str
) -> Report:
    case = ended.step.what
    at = op.describe(case) if isinstance(case, Case) else str(case)
    how: dict[str, Any] = {"op": op.name, "name": _label(kernel), "cases": 0, "schedules": 0}
    if ended.signal == 0:
        why = f"stopped after {ended.step.seconds:g} s: a loop that does not end, or too slow"
        return Report(**how, cause="endless", why=f"{why}; seconds= gives it longer", smallest=at)
    name = signal.Signals(ended.signal).name if ended.signal > 0 else f"exit code {-ended.signal}"
    why = f"an index far outside of an array: the process ended of {name}"
    if isinstance(case, Case) and not callable(kernel) and device == "cpu":
        with suppress(EndedError, CheckError):  # then the signal is what is known
            why = in_a_child(lambda: _at_the_crash(op, kernel, case, seconds)) or why
    is_bounds = ended.signal in (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT)
    return Report(**how, cause="bounds" if is_bounds else "crash", why=why, smallest=at)


def _at_the_crash(op: Op, kernel: Kernel, case: Case, seconds: float) -> Iterator[Any]:
    """The line of a .cu file that AddressSanitizer names."""
    student = load(op, kernel)
    if "address" in student.sanitizers:
        yield Step("building", BUILD)
        student.prepare("address")
        yield Step(case, seconds)
        yield _try(op, student, case, "address").raised


def _work(op: Op, kernel: Kernel, tile: int | None, seconds: float, device: str) -> Iterator[Any]:
    """Steps, then the Report. In the child."""
    with _simulated(kernel) if device == "cpu" else nullcontext():
        yield Step("reading it", max(seconds, 60))
        student = load(op, kernel, device)
        tile = tile or student.tile
        yield Step("building", BUILD)
        student.prepare(None)
        tries = []
        for case in op.sorted_cases(tile):
            yield Step(case, seconds)
            tries.append(_try(op, student, case))
        bad = [t for t in tries if not t.is_right]
        lanes = student.sanitizers
        if bad:  # one of them says more
            lanes = tuple(
                x for x in lanes if x == ("thread" if depends_on_order(bad) else "address")
            )
        yield Step("building", BUILD)
        with ThreadPoolExecutor() as pool:
            list(pool.map(student.prepare, lanes))
        found = []
        for sanitize in lanes:
            case = bad[0].case if bad else tries[-1].case
            yield Step(case, 2 * seconds)
            if said := _try(op, student, case, sanitize).raised:
                found.append(said)
    yield _report(op, student, tries, tile, found)


def _report(
    op: Op, student: Function | CudaText, tries: list[Try], tile: int, found: list[str]
) -> Report:
    bad = [t for t in tries if not t.is_right]
    how: dict[str, Any] = {
        "op": op.name,
        "name": student.name,
        "cases": len(tries),
        "schedules": len(student.seeds),
        "sanitized": bool(student.sanitizers),
        "device": student.device,
    }
    if not bad and not found:
        return Report(**how)
    smallest = op.describe(bad[0].case if bad else tries[-1].case)
    word, why = cause(op, tries, tile, found)
    first = where_wrong(bad[0]) if bad else ""
    return Report(**how, failed=len(bad), cause=word, why=why, smallest=smallest, first=first)


def _simulated(kernel: Kernel) -> Any:
    """Numba without a GPU, where the kernel may need it; else Numba is not imported."""
    if not uses_numba(kernel):
        return nullcontext()
    from minigen.kernels.simulator import without_gpu

    return without_gpu()


def _try(op: Op, student: Function | CudaText, case: Case, sanitize: str | None = None) -> Try:
    arrays = case.arrays()
    before = [a.copy() for a in arrays]
    exact = op.formula(*(a.astype(np.float64) for a in arrays), **case.settings)
    outputs, raised = [], ""
    for seed in student.seeds[:1] if sanitize else student.seeds:
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                outputs.append(student.run(case, arrays, seed, sanitize))
        except (CheckError, CompileError, KeyboardInterrupt):
            raise
        except EmulationError as error:
            raised = str(error)
            break
        except Exception as error:
            raised = f"{where_raised(error)}: {type(error).__name__}: {error}"
            if isinstance(error, IndexError):
                raised += ": an index is out of bounds"
            break
    pairs = zip(op.arrays, arrays, before)
    changed = next((name for name, a, b in pairs if not np.array_equal(a, b, equal_nan=True)), "")
    return Try(case, exact, tolerance_of(op, case, exact), tuple(outputs), raised, changed)

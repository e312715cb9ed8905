"""Two processes, ours and PyTorch's, that take turns; what they took, side by side.

    round 1     ours conv2d    torch NCHW    torch channels_last
    round 2     ours conv2d    ...

One of them runs while the other waits, so their threads never meet, and what drifts on the machine
drifts for both. A variant's time is the median over rounds of its median in a round; the spread is
from the first to the third quartile of the rounds.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from minigen.kernels.bench.cases import Case

LARGEST_ERROR = 1e-3  # of what is timed, by the largest of the float64 reference
PAUSE = 0.1  # seconds until the threads of the one side sleep and the other's turn begins


class ChildError(RuntimeError):
    """A child process died, or what it ran raised an error; with its text."""


class RefusedError(RuntimeError):
    """A rung cannot run on these arrays; with its reason."""


class Child:
    """A process of one side: it runs cases, one request at a time.

    Raises: ChildError where it died or raised; RefusedError where a rung cannot run.
    """

    def __init__(self, side: str, quick: bool):
        self.side = side
        command = [sys.executable, "-m", "minigen.kernels.bench.child", side]
        self.process = subprocess.Popen(
            [*command, "quick" if quick else "full"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={k: v for k, v in os.environ.items() if k != "MINIGEN_KERNELS"},
        )

    def ask(self, do: str, **request: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            code = self.process.wait()
            raise ChildError(f"the {self.side} process ended with code {code} in {do}: {request}")
        reply = json.loads(line)
        if "failed" in reply:
            raise ChildError(f"the {self.side} process failed in {do}:\n{reply['failed']}")
        if "refused" in reply:
            raise RefusedError(reply["refused"])
        return reply["answer"]

    def close(self) -> None:
        """End it, whatever it does."""
        self.process.kill()
        self.process.communicate()


@dataclass
class Timing:
    """One variant of a case on one side.

    ms, low, high   median and quartiles over the rounds
    error           largest difference from the float64 reference, by its largest element
    megabytes       of a memory case, in the place of the times
    ran             the rungs that "auto" has chosen, for an op
    failed          why there is no time
    """

    side: str
    variant: str
    ms: float | None = None
    low: float | None = None
    high: float | None = None
    error: float | None = None
    megabytes: float | None = None
    ran: list[str] = field(default_factory=list)
    failed: str | None = None
    rounds: list[float] = field(default_factory=list)

    @property
    def value(self) -> float | None:
        """What is compared: less is better."""
        return self.ms if self.megabytes is None else self.megabytes


@dataclass
class Result:
    """A case and its timings, PyTorch's default first among PyTorch's."""

    name: str
    op: str
    kind: str
    flops: float | None
    bytes: float | None
    timings: list[Timing]

    def of(self, side: str) -> list[Timing]:
        return [timing for timing in self.timings if timing.side == side]

    def ratio(self, timing: Timing, best: bool) -> float | None:
        """`timing` over PyTorch's default, or over the best of PyTorch's."""
        known = [t.value for t in self.of("torch") if t.value is not None]
        if timing.value is None or not known or (not best and self.of("torch")[0].value is None):
            return None
        return timing.value / (min(known) if best else known[0])

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class How:
    """How long and how often."""

    against_torch: bool = False
    rungs: bool = False
    quick: bool = False

    @property
    def rounds(self) -> int:
        return 2 if self.quick else 7

    @property
    def seconds(self) -> float:
        return 0.0 if self.quick else 0.2

    @property
    def repeats(self) -> int:
        return 1 if self.quick else 3

    @property
    def sides(self) -> tuple[str, ...]:
        return ("ours", "torch") if self.against_torch else ("ours",)


class Bench:
    """The children, kept from case to case; a context manager that ends them."""

    def __init__(self, how: How):
        self.how = how
        self.children: dict[str, Child] = {}

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, *error: object) -> None:
        for child in self.children.values():
            child.close()

    def child(self, side: str) -> Child:
        """The side's process; a new one where the last has died."""
        child = self.children.get(side)
        if child is not None and child.process.poll() is None:
            return child
        if child is not None:
            child.close()
        child = self.children[side] = Child(side, self.how.quick)
        return child

    def versions(self) -> dict[str, str]:
        """Of what is measured, by package."""
        found: dict[str, str] = self.child("ours").ask("versions")
        return found

    def run(self, case: Case) -> Result:
        """All variants of a case on all sides; what fails says so in its place."""
        timings = []
        for side in self.how.sides:
            names = self.child(side).ask("variants", case=case.name, rungs=self.how.rungs)
            timings += [Timing(side, name) for name in names]
        if case.kind == "memory":
            for timing in timings:
                with _noted(timing):
                    timing.megabytes = self._memory(case, timing)
        else:
            self._compare(case, timings)
            self._time(case, [timing for timing in timings if timing.failed is None])
        return Result(case.name, case.op, case.kind, case.flops, case.bytes, timings)

    def _compare(self, case: Case, timings: Sequence[Timing]) -> None:
        """The error of each variant; one that is wrong is not timed."""
        with tempfile.TemporaryDirectory() as folder:
            right, own = Path(folder, "right.npz"), Path(folder, "own.npz")
            self.child("ours").ask("outputs", case=case.name, variant="float64", file=str(right))
            expected = _arrays(right)
            for timing in timings:
                with _noted(timing):
                    ran = self.child(timing.side).ask(
                        "outputs", case=case.name, variant=timing.variant, file=str(own)
                    )
                    if timing.variant == "auto" and case.kind != "whole":
                        timing.ran = ran
                    timing.error = largest_error(_arrays(own), expected)
                    if not timing.error <= LARGEST_ERROR:
                        timing.failed = f"error {timing.error:.1e} is above {LARGEST_ERROR:.0e}"

    def _time(self, case: Case, timings: Sequence[Timing]) -> None:
        how = {"seconds": self.how.seconds, "repeats": self.how.repeats}
        for _ in range(self.how.rounds):
            for timing in timings:
                if timing.failed is not None:
                    continue
                with _noted(timing):
                    time.sleep(PAUSE)
                    ms = self.child(timing.side).ask(
                        "time", case=case.name, variant=timing.variant, **how
                    )
                    timing.rounds.append(float(np.median(ms)))
        for timing in timings:
            if timing.failed is None:
                low, ms, high = np.quantile(timing.rounds, (0.25, 0.5, 0.75)).tolist()
                timing.low, timing.ms, timing.high = low, ms, high

    def _memory(self, case: Case, timing: Timing) -> float:
        """In a process of its own, which has run nothing else."""
        with ExitStack() as stack:
            child = Child(timing.side, self.how.quick)
            stack.callback(child.close)
            found = child.ask("memory", case=case.name, variant=timing.variant)
        return float(found) / 2**20


@contextmanager
def _noted(timing: Timing) -> Iterator[None]:
    """What goes wrong inside the block is written down where the time would stand."""
    try:
        yield
    except RefusedError as error:
        timing.failed = f"cannot run: {str(error).rpartition('cannot run: ')[2]}"
    except ChildError as error:
        timing.failed = str(error)


def _arrays(file: Path) -> list[np.ndarray]:
    with np.load(file) as found:
        return list(found.values())


def largest_error(actual: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> float:
    """max |actual - expected| / max |expected|, the largest over the arrays; a NaN stays one.

    Raises: ChildError where numbers or shapes of the arrays differ.
    """
    shapes, right = [a.shape for a in actual], [b.shape for b in expected]
    if shapes != right:
        raise ChildError(f"outputs of shapes {shapes} came, expected {right}")
    errors = [np.abs(a - b).max() / max(np.abs(b).max(), 1e-30) for a, b in zip(actual, expected)]
    return float(np.max(errors))  # Python's max would lose a NaN

"""A process that runs cases of one side when it is told to: python -m minigen.kernels.bench.child.

It reads requests from stdin, a line of JSON each, and answers in one line each. When stdin is
closed, because the parent is done or is no more, it ends.
"""

import importlib
import json
import os
import signal
import sys
import time
import traceback
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from minigen.backend import KernelError
from minigen.kernels.bench.cases import Case, listed
from minigen.kernels.bench.work import Work
from minigen.trace import trace

SIDES = {"ours": "minigen.kernels.bench.ours", "torch": "minigen.kernels.bench.torch_side"}


class Child:
    """One side, and the work that is prepared: that of one case."""

    def __init__(self, side: str, quick: bool):
        self.side = importlib.import_module(SIDES[side])
        self.cases = {case.name: case for case in listed(quick)}
        self.case: Case | None = None
        self.works: dict[str, Work] = {}

    def answer(self, do: str, case: str = "", variant: str = "", **how: Any) -> Any:
        if case and (self.case is None or self.case.name != case):
            self.case, self.works = self.cases[case], {}  # the memory of the last one is free
        return getattr(self, do)(variant, **how)

    def variants(self, variant: str, rungs: bool) -> list[str]:
        return self.side.variants(self.case, rungs)

    def work(self, variant: str) -> Work:
        assert self.case is not None
        if variant not in self.works:
            self.works[variant] = self.side.prepare(self.case, variant)
        return self.works[variant]

    def outputs(self, variant: str, file: str) -> list[str]:
        """Write what the variant computes, or ours in float64, to a file; the rungs that ran."""
        if variant == "float64":
            arrays, ran = self.side.reference(self.case), []
        else:
            prepared = self.work(variant)
            with prepared.inside(), trace() as record:
                arrays = prepared.outputs()
            ran = sorted({row.ran for row in record} - {"reference"}) or ["reference"]
        np.savez(file, *arrays)
        return ran

    def time(self, variant: str, seconds: float, repeats: int) -> list[float]:
        """Milliseconds of each run.

        The first fourth of the time is not counted: the caches are another's, threads wake up.
        """
        prepared = self.work(variant)
        with prepared.inside():
            _run(prepared, seconds / 4, 1)
            times = _run(prepared, seconds, repeats)
        return [1000 * t / prepared.per for t in times]

    def memory(self, variant: str) -> int:
        return self.side.memory(self.case, variant)

    def versions(self, variant: str) -> dict[str, str]:
        found = {}
        for package in ("numpy", "numba", "torch"):
            try:
                found[package] = version(package)
            except PackageNotFoundError:
                continue
        return found


def _run(prepared: Work, seconds: float, repeats: int) -> list[float]:
    """Seconds of each run, for so long and so often at least."""
    times: list[float] = []
    while sum(times) < seconds or len(times) < repeats:
        start = time.perf_counter()
        prepared.run()
        times.append(time.perf_counter() - start)
    return times


def main(side: str, quick: str) -> None:
    """Answer requests until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what is printed is no answer
    child = Child(side, quick == "quick")
    for line in sys.stdin:
        try:
            reply = {"answer": child.answer(**json.loads(line))}
        except KernelError as error:
            reply = {"refused": str(error)}
        except Exception:
            reply = {"failed": traceback.format_exc()}
        answers.write(json.dumps(reply) + "\n")
        answers.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])

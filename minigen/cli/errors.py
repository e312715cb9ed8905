"""The error budget: how far every CUDA rung is from float64 on its sample, counted in roundings.

A rounding is 2^-24 of the largest number in float32, 2^-11 where a product is rounded to fp16 or
tf32, 2^-8 for bf16.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROUNDING = {"fp32": 2.0**-24, "tf32": 2.0**-11, "fp16": 2.0**-11, "bf16": 2.0**-8}
BUDGET = 8.0  # roundings of the largest number that a rung may be off, on its sample
BEGIN, END = "<!-- errors: begin -->", "<!-- errors: end -->"


class Error(NamedTuple):
    """Largest |rung - exact| / largest |exact|; None where there is nothing to compare."""

    op: str
    rung: str
    precision: str
    output: float
    gradients: float | None

    @property
    def roundings(self) -> float:
        worse = np.maximum(self.output, self.gradients or 0.0)  # NaN where one is
        return float(worse) / ROUNDING[self.precision]


def measured(op: str, rung: str) -> Iterator[Error]:
    """On the op's sample, in every precision that the rung has."""
    from minigen.backend import use_precision
    from minigen.cli.emulate import launched
    from minigen.cli.samples import SAMPLES
    from minigen.kernels.cpu import emulated

    sample = SAMPLES[op]
    for precision in ("fp16", "bf16", "tf32") if rung.endswith("mma") else ("fp32",):
        arrays, settings = sample.make(*sample.sizes)
        before, _ = sample.make(*sample.sizes)
        with use_precision(precision), emulated(0, None):
            if _reason(op, rung, arrays, settings):
                continue  # a rung that has not this precision
            y, g, gradients = launched(op, rung, arrays, settings)
        exact, exact_gradients = sample.exact(before, settings, g)
        error = _relative(sample.outputs(y, arrays), exact)
        assert error is not None, f"{op}: the sample has no output"
        yield Error(op, rung, precision, error, _relative(list(gradients), exact_gradients))


def all_measured() -> list[Error]:
    """Every rung of every op, with a progress bar."""
    from tqdm import tqdm

    from minigen.cli.emulate import cuda_rungs

    pairs = [(op, rung) for op, rungs in cuda_rungs().items() for rung in rungs]
    return [error for pair in tqdm(pairs, desc="rungs") for error in measured(*pair)]


def table(errors: list[Error]) -> str:
    """The same in Markdown."""
    lines = [
        "| op | rung | precision | error of the output | of the gradients | roundings |",
        "|---|---|---|---|---|---|",
    ]
    for e in errors:
        gradients = "" if e.gradients is None else f"{e.gradients:.1e}"
        words = (e.op, f"`{e.rung}`", e.precision, f"{e.output:.1e}", gradients)
        lines.append(f"| {' | '.join(words)} | {e.roundings:.1f} |")
    return "\n".join(lines)


def write(errors: list[Error]) -> Path:
    """Put the table into the README of the kernels.

    Raises: ValueError where there is no checkout to write to.
    """
    from minigen import kernels
    from minigen.data.files import write_atomically

    path = Path(kernels.__path__[0]) / "README.md"
    before, begin, rest = path.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"emulate: {path} has no place for the table")
    write_atomically(path, f"{before}{begin}\n\n{table(errors)}\n\n{end}{after}".encode())
    return path


def _reason(op: str, rung: str, arrays: list, settings: dict) -> str | None:
    import importlib

    return importlib.import_module(f"minigen.kernels.{op}.{rung}").supports(*arrays, **settings)


def _relative(found: list, exact: list) -> float | None:
    pairs = [(a, b) for a, b in zip(found, exact) if a is not None and b is not None]
    tiny = np.finfo(np.float32).tiny
    errors = [np.abs(a - b).max() / max(np.abs(b).max(), tiny) for a, b in pairs]
    return float(np.max(errors)) if errors else None  # NaN where one is, unlike max()

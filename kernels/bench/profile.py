"""Where a training step's time goes, for any recipe.

The recipe builds its parts and hands them to the training loop; here they are taken instead and run
one step at a time, with a look at every op. What no op has spent is Python between the ops.
"""

import math
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

from minigen.kernels.bench.flops import flops
from minigen.optim import clip_grad_norm
from minigen.parallel import cores, one_blas_thread
from minigen.recipes import load_recipe
from minigen.trace import trace
from minigen.train import RunFolder
from minigen.train.state import TrainingState

PYTHON = "Python between ops"


class Parts(NamedTuple):
    """What a recipe hands to minigen.train.train."""

    model: Any
    loss: Callable[..., Any]
    batches: Any
    settings: dict[str, Any]


class Row(NamedTuple):
    """The share of one kind of work in a step; means over the steps.

    gflops  multiplications and additions of products and convolutions, in 10^9 a step; None: none
    """

    phase: str
    op: str
    calls: float
    ms: float
    gflops: float | None


def parts_of(recipe: ModuleType, folder: str | Path, **changes: Any) -> Parts:
    """The parts of a recipe's training, built and not trained, all of it in one thread."""
    own = {f.name for f in fields(recipe.Config)}
    changes = {"workers": 1, **changes}
    config = replace(recipe.Config(), **{k: v for k, v in changes.items() if k in own})
    taken: list[Parts] = []

    def take(model: Any, loss: Any, batches: Any, **settings: Any) -> None:
        taken.append(Parts(model, loss, batches, settings))

    with patch.object(recipe, "run_training", take):
        recipe.train(config, RunFolder.create(recipe.__name__.rpartition(".")[2], {}, folder))
    return taken[0]


def profile(name: str, steps: int = 3, **changes: Any) -> list[Row]:
    """Rows of a step in the order of its phases, the most expensive first in each.

    The first step, which compiles and allocates, is left out; steps are shared out over threads by
    kernels and BLAS alone, so that every op can be seen.

    Raises: ValueError for an unknown recipe.
    """
    recipe = load_recipe(name)
    with TemporaryDirectory() as folder:
        parts = parts_of(recipe, folder, **changes)
    step = _Step(parts)
    step.run(defaultdict(list))
    spent: dict[tuple[str, str], list[tuple[float, float | None]]] = defaultdict(list)
    for _ in range(steps):
        step.run(spent)
    rows = [_row(key, entries, steps) for key, entries in spent.items()]
    order = list(dict.fromkeys(row.phase for row in rows))
    return sorted(rows, key=lambda row: (order.index(row.phase), -row.ms))


def _row(key: tuple[str, str], entries: list[tuple[float, float | None]], steps: int) -> Row:
    counted = [n for _, n in entries if n is not None]
    gflops = sum(counted) / steps / 1e9 if counted else None
    return Row(*key, len(entries) / steps, 1000 * sum(s for s, _ in entries) / steps, gflops)


class _Step:
    """A step of minigen.train.train, a phase at a time."""

    def __init__(self, parts: Parts):
        self.parts, own = parts, parts.settings
        self.optimizers, self.ema, self.rng = own["optimizers"], own.get("ema"), own["rng"]
        for optimizer in self.optimizers:
            optimizer.workers = cores()
        # as the loop does: the state knows how to draw a batch from a Loader or a function
        self.state = TrainingState(parts.model, self.optimizers, self.ema, parts.batches, self.rng)
        parts.model.train()

    def run(self, spent: dict[tuple[str, str], list[tuple[float, float | None]]]) -> None:
        def note(phase: str, what: str, work: Callable[[], Any]) -> Any:
            start = time.perf_counter()
            result = work()
            spent[phase, what].append((time.perf_counter() - start, None))
            return result

        model, max_norm = self.parts.model, self.parts.settings.get("max_norm", 1.0)
        batch = note("data", "batch", self.state.next_batch)
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        result = self._traced("forward", spent, lambda: self.parts.loss(model, batch, self.rng))
        loss = result[0] if isinstance(result, tuple) else result
        self._traced("backward", spent, loss.backward)
        limit = math.inf if max_norm is None else max_norm
        note("update", "clip_grad_norm", lambda: clip_grad_norm(model.parameters(), limit))
        with one_blas_thread():
            for optimizer in self.optimizers:
                note("update", type(optimizer).__name__, optimizer.step)
        if self.ema is not None:
            note("update", "moving average", self.ema.update)

    def _traced(self, phase: str, spent: Any, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        with trace() as record:
            result = work()
        seconds = time.perf_counter() - start
        for row in record:
            name = row.op if row.ran == "reference" else f"{row.op} ({row.ran})"
            count = flops(row.op, row.inputs, row.outputs)
            spent[phase, name].append((row.ms / 1000, count))
        ops = sum(row.ms for row in record) / 1000
        spent[phase, PYTHON].append((seconds - ops, None))
        return result


# ------------------------------------------------------------------------------------------ report


def text(rows: list[Row]) -> str:
    """The table."""
    whole = sum(row.ms for row in rows)
    head = ["phase", "op", "calls", "ms", "GFLOP/s", "share"]
    cells = [head]
    for row in rows:
        rate = f"{row.gflops / row.ms * 1000:.1f}" if row.gflops else ""
        calls = "" if row.op == PYTHON else f"{row.calls:g}"
        cells.append([row.phase, row.op, calls, f"{row.ms:.2f}", rate, f"{row.ms / whole:.1%}"])
    cells.append(["step", "", "", f"{whole:.2f}", "", "100.0%"])
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))
        ).rstrip()
        for row in cells
    )


def chart(rows: list[Row], title: str, file: Path, most: int = 24) -> None:
    """Bars of the `most` expensive rows, a colour for each phase."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = sorted(rows, key=lambda row: -row.ms)[:most]
    phases = list(dict.fromkeys(row.phase for row in rows))
    colours = dict(zip(phases, ("#8d99ae", "#2a7f9e", "#c8553d", "#e0a030")))
    figure = Figure(figsize=(8, 1.2 + 0.25 * len(shown)), layout="constrained")
    canvas, axes = FigureCanvasAgg(figure), figure.subplots()
    for phase in dict.fromkeys(row.phase for row in shown):
        places = [i for i, row in enumerate(shown) if row.phase == phase]
        lengths = [shown[i].ms for i in places]
        axes.barh(places, lengths, color=colours[phase], label=phase, height=0.7)
    axes.set_yticks(np.arange(len(shown)), [row.op for row in shown], fontsize=8)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlabel(f"ms of a step, which takes {sum(row.ms for row in rows):.0f}")
    axes.set_title(title, fontsize=10)
    axes.legend(loc="lower right", fontsize=8)
    canvas.print_png(str(file))

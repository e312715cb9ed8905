"""The tables of a GPU: on the terminal, in kernels/README.md, as JSON, and as a roofline plot."""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minigen.kernels.bench.gpu import Row
from minigen.kernels.bench.gpu_cases import Ceilings
from minigen.kernels.bench.report import between_markers, digits

BEGIN, END = "<!-- gpu: begin -->", "<!-- gpu: end -->"
HEAD = [
    "case", "ran", "precision", "ms", "quartiles", "TFLOP/s", "TB/s", "roofline", "error",
]  # fmt: skip
LEFT = 3  # columns that are words


def cells(rows: Sequence[Row]) -> list[list[str]]:
    """What stands under HEAD; a case's name once."""
    found, last = [], None
    for row in rows:
        start = [row.case if row.case != last else "", f"{row.side} {row.variant}", row.precision]
        last = row.case
        if row.failed is not None or row.ms is None:
            words = (row.failed or "not timed").strip().splitlines()
            found.append([*start, words[-1] if words else "failed", *[""] * 5])
            continue
        rates = [f"{n / row.ms / 1e9:#.3g}" if n else "" for n in (row.flops, row.bytes)]
        share = "" if row.roofline is None else f"{row.roofline:.0%}"
        spread = f"{digits(row.low)} ... {digits(row.high)}"
        found.append([*start, digits(row.ms), spread, *rates, share, f"{row.error:.0e}"])
    return found


def text(rows: Sequence[Row]) -> str:
    """The table in columns."""
    table = [HEAD, *cells(rows)]
    widths = [max(len(row[i]) for row in table if len(row[3]) < 30) for i in range(len(HEAD))]
    lines = []
    for row in table:
        columns = [c.ljust(w) for c, w in zip(row[:LEFT], widths)]
        columns += [c.rjust(w) for c, w in zip(row[LEFT:], widths[LEFT:])]
        lines.append("  ".join(columns).rstrip())
    return "\n".join(lines)


def about_ceilings(ceilings: Ceilings) -> str:
    """One sentence."""
    rates = ", ".join(f"{name} {rate / 1e12:.1f} TFLOP/s" for name, rate in ceilings.flops.items())
    return f"Ceilings, {ceilings.source}: {rates}; copy {ceilings.copied / 1e12:.2f} TB/s."


def failures(rows: Sequence[Row]) -> list[str]:
    """What went wrong; a rung that cannot run is no failure."""
    return [
        f"{row.case}, {row.side} {row.variant} in {row.precision}: {row.failed}"
        for row in rows
        if row.failed is not None and not row.failed.startswith("cannot run: ")
    ]


# ------------------------------------------------------------------------------------------- files


def write(
    rows: Sequence[Row], about: dict[str, str], ceilings: Ceilings, checkout: Path
) -> list[Path]:
    """The page, the numbers and the plot; cases measured before on that day and GPU stay.

    Raises: FileNotFoundError where there is no page; ValueError where it has no place for tables.
    """
    page = checkout / "kernels" / "README.md"
    content = page.read_text("utf-8")
    slug = re.sub(r"\W+", "_", about["GPU"]).strip("_").lower()
    folder = checkout / "docs" / "measurements"
    numbers = folder / f"gpu_{slug}_{about['date']}.json"
    rows = [*_before(numbers, {row.case for row in rows}), *rows]
    content = between_markers(content, markdown(rows, about, ceilings), BEGIN, END)
    folder.mkdir(parents=True, exist_ok=True)
    everything: dict[str, Any] = {"machine": about, "ceilings": ceilings._asdict()}
    everything["rows"] = [row.as_dict() for row in rows]
    numbers.write_text(json.dumps(everything, indent=1) + "\n", "utf-8")
    plot = numbers.with_suffix(".png")
    roofline(rows, ceilings, f"{about['GPU']}, {about['date']}", plot)
    page.write_text(content, "utf-8")
    return [page, numbers, plot]


def _before(file: Path, now: set[str]) -> list[Row]:
    if not file.is_file():
        return []
    rows = [Row(**row) for row in json.loads(file.read_text("utf-8"))["rows"]]
    return [row for row in rows if row.case not in now]


def markdown(rows: Sequence[Row], about: dict[str, str], ceilings: Ceilings) -> str:
    """The machine, what its ceilings are, and the table."""
    lines = ["; ".join(f"{name} {value}" for name, value in about.items()) + ".", ""]
    lines += [about_ceilings(ceilings), ""]
    lines += ["| " + " | ".join(HEAD) + " |", "|---" * LEFT + "|---:" * (len(HEAD) - LEFT) + "|"]
    lines += ["| " + " | ".join(row).replace("\n", " ") + " |" for row in cells(rows)]
    return "\n".join(lines)


def roofline(rows: Sequence[Row], ceilings: Ceilings, title: str, file: Path) -> None:
    """FLOP/s over FLOP/byte, a point for each variant of what multiplies, under the ceilings."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    canvas, axes = FigureCanvasAgg(figure), figure.subplots()
    colors = {"fp32": "#2a7f9e", "tf32": "#8a6fb0", "bf16": "#c8553d", "fp16": "#d9a441"}
    for precision, rate in ceilings.flops.items():
        bend = rate / ceilings.copied
        x, y = [0.1, bend, 1e4], [0.1 * ceilings.copied, rate, rate]
        axes.plot(x, y, color=colors[precision], linewidth=1, label=precision)
    for row in rows:
        if row.ms and row.flops:
            marker = "o" if row.side == "minigen" else "x"
            at = row.flops / row.bytes, 1e3 * row.flops / row.ms
            axes.plot(*at, marker, color=colors[row.precision], markersize=5)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("FLOP for each byte that has to be moved")
    axes.set_ylabel("FLOP/s: dots minigen, crosses PyTorch, lines what this GPU reached")
    axes.set_title(title)
    axes.legend()
    temporary = file.with_suffix(".part.png")
    canvas.print_png(str(temporary))
    os.replace(temporary, file)

"""The table, docs/benchmarks.md, its chart, and the numbers as JSON."""

import json
import os
import platform
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from minigen.kernels.bench.measure import Result, Timing
from minigen.parallel import cores

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
HEAD = ["case", "ran", "ms", "quartiles", "GFLOP/s", "GB/s", "error", "/ default", "/ best"]
PACKAGES = ("numpy", "numba", "torch")


def rows(results: Sequence[Result]) -> list[list[str]]:
    """The cells under HEAD, a row for each timing."""
    return [
        [result.name if i == 0 else "", *_cells(result, timing)]
        for result in results
        for i, timing in enumerate(result.timings)
    ]


def _cells(result: Result, timing: Timing) -> list[str]:
    ran = " ".join([timing.variant, *timing.ran])
    if timing.side == "torch":
        ran = f"PyTorch {timing.variant}"
    if timing.failed is not None:
        return [ran, timing.failed.strip().splitlines()[-1], *[""] * 6]
    ratios = [_ratio(result.ratio(timing, best)) for best in (False, True)]
    if timing.side == "torch":
        ratios = ["", ""]
    if timing.megabytes is not None:
        return [ran, f"{timing.megabytes:.0f} MB", "", "", "", "", *ratios]
    assert timing.ms is not None
    rates = [f"{n / timing.ms / 1e6:.1f}" if n else "" for n in (result.flops, result.bytes)]
    spread = f"{digits(timing.low)} ... {digits(timing.high)}"
    return [ran, digits(timing.ms), spread, *rates, f"{timing.error:.0e}", *ratios]


def digits(ms: float | None) -> str:
    """Three digits of a time.

    >>> digits(0.01234), digits(12.345), digits(1234.5)
    ('0.0123', '12.3', '1234')
    """
    assert ms is not None
    return f"{ms:#.3g}".rstrip(".") if ms < 1000 else f"{ms:.0f}"


def _ratio(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


def text(results: Sequence[Result]) -> str:
    """The table in columns."""
    cells = [HEAD, *rows(results)]
    widths = [max(len(row[i]) for row in cells if len(row[2]) < 40) for i in range(len(HEAD))]
    lines = []
    for row in cells:
        left, right = row[:2], row[2:]
        columns = [c.ljust(w) for c, w in zip(left, widths)]
        columns += [c.rjust(w) for c, w in zip(right, widths[2:])]
        lines.append("  ".join(columns).rstrip())
    return "\n".join(lines)


def failures(results: Sequence[Result]) -> list[str]:
    """What went wrong, a text each; rungs that cannot run are no failure."""
    return [
        f"{result.name}, {timing.side} {timing.variant}: {timing.failed.strip()}"
        for result in results
        for timing in result.timings
        if timing.failed is not None and not timing.failed.startswith("cannot run: ")
    ]


# ----------------------------------------------------------------------------------------- machine


def machine() -> dict[str, str]:
    """What the numbers hold for."""
    found = {"CPU": _cpu(), "cores": str(cores()), "system": platform.system()}
    found["Python"] = platform.python_version()
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    found["BLAS of NumPy"] = _blas()
    return found


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        pairs = (line.split(":", 1) for line in reversed(lines) if ":" in line)
        fields = {name.strip(): value.strip() for name, value in pairs}
        names = {"avx512f": "AVX-512", "avx2": "AVX2"}
        vectors = [name for flag, name in names.items() if flag in fields["flags"].split()]
        where = f"family {fields['cpu family']}, model {fields['model']}"
        return ", ".join([fields["model name"], where, *vectors[:1]])
    except (OSError, KeyError):
        return platform.processor() or platform.machine()


def _blas() -> str:
    from threadpoolctl import threadpool_info

    found = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    return ", ".join(f"{pool['internal_api']} {pool['version']}" for pool in found) or "unknown"


# ------------------------------------------------------------------------------------------- files


def docs_folder(checkout: Path) -> Path:
    """The docs of the checkout, which an installed package has not.

    Raises: FileNotFoundError.
    """
    docs = checkout / "docs"
    if not (docs / "benchmarks.md").is_file():
        raise FileNotFoundError(f"bench: {docs} has no benchmarks.md; --write needs a checkout")
    return docs


def write(results: Sequence[Result], docs: Path, command: str) -> list[Path]:
    """Bring docs/benchmarks.md, its chart and the JSON up to date; returns their paths.

    Raises: ValueError where the page has no place for the table.
    """
    about = {**machine(), "date": time.strftime("%Y-%m-%d"), "command": command}
    page, chart_file = docs / "benchmarks.md", docs / "images" / "benchmarks.png"
    numbers = docs / "measurements" / f"cpu_{about['date']}.json"
    content = between_markers(page.read_text("utf-8"), markdown(results, about))
    for file in (chart_file, numbers):
        file.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(content, "utf-8")
    everything = {"machine": about, "results": [result.as_dict() for result in results]}
    numbers.write_text(json.dumps(everything, indent=1) + "\n", "utf-8")
    paths = [page, numbers]
    if any(result.of("torch") for result in results):
        chart(results, chart_file)
        paths.append(chart_file)
    return paths


def between_markers(page: str, table: str, begin: str = BEGIN, end: str = END) -> str:
    """The page with `table` in the place of what stood between the markers.

    Raises: ValueError where a marker is missing.
    """
    before, begun, rest = page.partition(begin)
    _, ended, after = rest.partition(end)
    if not begun or not ended:
        raise ValueError(f"bench: the page needs the lines {begin} and {end}")
    return f"{before}{begin}\n\n{table}\n\n{end}{after}"


def markdown(results: Sequence[Result], about: dict[str, str]) -> str:
    """The machine, and the table."""
    facts = {name: value for name, value in about.items() if name != "command"}
    lines = ["; ".join(f"{name} {value}" for name, value in facts.items()) + ".", ""]
    lines += ["```console", about["command"], "```", ""]
    lines += ["| " + " | ".join(HEAD) + " |", "|---|---|" + "---:|" * (len(HEAD) - 2)]
    lines += ["| " + " | ".join(row).replace("\n", " ") + " |" for row in rows(results)]
    return "\n".join(lines)


def chart(results: Sequence[Result], file: Path) -> None:
    """A bar for each case: our time over PyTorch's better one, on a logarithmic axis around 1."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    bars = []
    for result in results:
        ours = [timing for timing in result.of("ours") if timing.variant == "auto"]
        ratios = [(result.ratio(t, False), result.ratio(t, True)) for t in ours]
        bars += [(result.name, default, best) for default, best in ratios if best is not None]
    figure = Figure(figsize=(9, 1.2 + 0.24 * len(bars)), layout="constrained")
    canvas, axes = FigureCanvasAgg(figure), figure.subplots()
    for y, (_, default, best) in enumerate(bars):
        axes.barh(y, best - 1, left=1, color="#2a7f9e" if best <= 1 else "#c8553d", height=0.7)
        if default is not None:
            axes.plot(default, y, marker="|", color="black", markersize=8)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_yticks(range(len(bars)), [name for name, _, _ in bars], fontsize=7)
    axes.set_ylim(len(bars) - 0.4, -0.6)
    ticks = [0.125, 0.25, 0.5, 1, 2, 4]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel(
        "our time / PyTorch's: bars its better layout, strokes its default; left of 1 is faster"
    )
    temporary = file.with_suffix(".part.png")
    canvas.print_png(str(temporary))
    os.replace(temporary, file)

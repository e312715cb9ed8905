"""Measure a model; a run folder keeps the numbers in RUN/evaluation.json, and the pictures."""

import argparse
import json
from pathlib import Path

from minigen.cli.runs import add_run_options, call
from minigen.data.files import write_atomically
from minigen.metrics.report import Measured, Report
from minigen.train import save_picture

EXAMPLES = """examples:
  minigen eval scenes
  minigen eval runs/toy_flow-1
  minigen eval runs/toy_flow-1 -n 4096 --seed 1
  minigen eval runs/scenes-1 --device cuda
  minigen eval scenes --control -n 96          palette, mask, picture to begin with
  minigen eval runs/toy_flow-1 --help          the options of its recipe"""


def add_options(parser: argparse.ArgumentParser, words: list[str]) -> None:
    add_run_options(parser, words, "evaluate", n=1000)
    parser.add_argument(
        "--control", action="store_true", help="how a painter of scenes keeps to other conditions"
    )


def run(args: argparse.Namespace) -> int:
    found = _control(args) if args.control else call(args, "evaluate")
    report = found if isinstance(found, Report) else Report(found)
    width = max(map(len, report.numbers), default=0)
    for name, value in report.numbers.items():
        print(f"{name:{width}}  {value if isinstance(value, Measured) else f'{value:.6g}'}")
    if Path(args.model).is_dir():
        _keep(report, args, Path(args.model))
    for remark in report.remarks:
        print(f"note: {remark}")
    return 0


def _control(args: argparse.Namespace) -> Report:
    import numpy as np

    from minigen.paint import Painter
    from minigen.paint.control import control_report

    painter = Painter.load(args.model).to(args.device)
    return control_report(painter, args.n, np.random.default_rng(args.seed))


def _keep(report: Report, args: argparse.Namespace, folder: Path) -> None:
    """The report in the run folder: evaluation.json, evaluation_<name>.png."""
    apart = ("command", "traceback", "model")
    settings = {name: value for name, value in vars(args).items() if name not in apart}
    numbers = {name: float(value) for name, value in report.numbers.items()}
    errors = {
        name: value.error
        for name, value in report.numbers.items()
        if isinstance(value, Measured) and value.error is not None
    }
    content = {
        "numbers": numbers,
        "standard errors": errors,
        "remarks": report.remarks,
        "settings": settings,
    }
    write_atomically(folder / "evaluation.json", (json.dumps(content, indent=2) + "\n").encode())
    for name, picture in report.pictures.items():
        path = folder / f"evaluation_{name}.png"
        save_picture(path, picture)
        print(path)

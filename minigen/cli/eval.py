"""Measure a model; a run folder keeps the numbers in RUN/evaluation.json."""

import argparse
import json
from pathlib import Path

from minigen.cli.runs import add_run_options, call
from minigen.data.files import write_atomically

EXAMPLES = """examples:
  minigen eval scenes
  minigen eval runs/toy_flow-1
  minigen eval runs/toy_flow-1 -n 4096 --seed 1
  minigen eval runs/toy_flow-1 --help          the options of its recipe"""


def add_options(parser: argparse.ArgumentParser, words: list[str]) -> None:
    add_run_options(parser, words, "evaluate", n=1000)


def run(args: argparse.Namespace) -> int:
    numbers = {name: float(value) for name, value in call(args, "evaluate").items()}
    width = max(map(len, numbers), default=0)
    for name, value in numbers.items():
        print(f"{name:{width}}  {value:.6g}")
    if Path(args.model).is_dir():
        apart = ("command", "traceback", "model")
        settings = {name: value for name, value in vars(args).items() if name not in apart}
        content = json.dumps({"numbers": numbers, "settings": settings}, indent=2) + "\n"
        write_atomically(Path(args.model) / "evaluation.json", content.encode())
    return 0

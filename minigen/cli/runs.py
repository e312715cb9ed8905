"""What `sample` and `eval` share: the run folder, its recipe, the options of its function."""

import argparse
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minigen.cli.options import add_settings, given, number, settings_of_function
from minigen.recipes import load_recipe
from minigen.train import RunFolder


def add_run_options(
    parser: argparse.ArgumentParser, words: list[str], function: str, n: int
) -> None:
    """RUN, -n, --seed, and what the recipe's function takes; RUN comes first to tell the recipe."""
    parser.add_argument("run", metavar="RUN", help="a run folder, such as runs/toy_flow-1")
    parser.add_argument(
        "-n", type=number(int, 1), default=n, metavar="N", help=f"how many samples (default: {n})"
    )
    parser.add_argument(
        "--seed", type=number(int, 0), default=0, metavar="S", help="of the noise (default: 0)"
    )
    if words and (Path(words[0]) / "config.json").is_file():
        recipe = load_recipe(RunFolder(words[0]).recipe)
        chosen = getattr(recipe, function)
        parser.description = f"{parser.description}\n\n{inspect.getdoc(chosen) or ''}"
        add_settings(parser, settings_of_function(chosen), f"options of {words[0]}")


def call(args: argparse.Namespace, function: str) -> Any:
    """The recipe's function on the run, with the options that were given."""
    run = RunFolder(args.run)
    chosen: Callable[..., Any] = getattr(load_recipe(run.recipe), function)
    options = given(args, settings_of_function(chosen))
    return chosen(run, args.n, np.random.default_rng(args.seed), **options)

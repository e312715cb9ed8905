"""What `sample` and `eval` share: the model, its recipe, the options of its function."""

import argparse
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minigen import weights
from minigen.cli.options import (
    add_device,
    add_settings,
    given,
    number,
    on_device,
    settings_of_function,
)
from minigen.recipes import load_recipe
from minigen.train import open_model


def add_run_options(
    parser: argparse.ArgumentParser, words: list[str], function: str, n: int
) -> None:
    """MODEL, -n, --seed, and what the recipe's function takes; MODEL is first and tells which."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="a run folder (runs/toy_flow-1) or a model that ships (scenes)",
    )
    parser.add_argument(
        "-n", type=number(int, 1), default=n, metavar="N", help=f"how many samples (default: {n})"
    )
    parser.add_argument(
        "--seed", type=number(int, 0), default=0, metavar="S", help="of the noise (default: 0)"
    )
    add_device(parser)
    if words and (words[0] in weights.names() or Path(words[0]).exists()):
        recipe = load_recipe(open_model(weights.find(words[0])).recipe)
        chosen = getattr(recipe, function)
        parser.description = f"{parser.description}\n\n{inspect.getdoc(chosen) or ''}"
        add_settings(parser, settings_of_function(chosen), f"options of {words[0]}")


def call(args: argparse.Namespace, function: str) -> Any:
    """The recipe's function on the model, with the options that were given."""
    model = open_model(weights.find(args.model))
    chosen: Callable[..., Any] = getattr(load_recipe(model.recipe), function)
    options = given(args, settings_of_function(chosen))
    with on_device(args.device, model.recipe):
        return chosen(model, args.n, np.random.default_rng(args.seed), **options)

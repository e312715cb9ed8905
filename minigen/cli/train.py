"""Train a recipe's model in a new run folder, or go on with an old one."""

import argparse
import inspect
import logging
from dataclasses import asdict
from types import ModuleType

from minigen.cli.options import add_device, add_settings, given, on_device, settings_of_config
from minigen.recipes import load_recipe, recipe_names

EXAMPLES = """examples:
  minigen train --list
  minigen train toy_flow
  minigen train toy_flow --data ring --steps 500
  minigen train toy_flow --resume runs/toy_flow-1
  minigen train toy_flow --resume runs/toy_flow-1 --steps 5000
  minigen train scenes --device cuda           on a GPU; a run may go on on the other device

Ctrl-C saves the last completed step and says how to go on."""

# in a resumed run
CHANGEABLE = ("steps", "minutes", "workers", "sample_every", "save_every", "log_every")


def add_options(parser: argparse.ArgumentParser, words: list[str]) -> None:
    parser.add_argument("recipe", nargs="?", metavar="RECIPE", help="what to train, see --list")
    parser.add_argument("--list", action="store_true", help="list the recipes")
    parser.add_argument("--resume", metavar="RUN", help="go on with this run folder")
    parser.add_argument(
        "--runs", metavar="DIR", default="runs", help="where run folders are made (default: runs)"
    )
    add_device(parser)
    if words and words[0] in recipe_names():
        recipe = load_recipe(words[0])
        parser.description = inspect.getdoc(recipe)
        add_settings(parser, settings_of_config(recipe.Config), f"options of {words[0]}")


def run(args: argparse.Namespace) -> int:
    if args.list:
        for name in recipe_names():
            print(f"{name:16} {(load_recipe(name).__doc__ or '').partition(chr(10))[0]}")
        return 0
    if args.recipe is None:
        raise ValueError(f"train: name a recipe first: {', '.join(recipe_names())}")
    recipe = load_recipe(args.recipe)
    with on_device(args.device, args.recipe):
        return _resume(recipe, args) if args.resume else _start(recipe, args)


def _start(recipe: ModuleType, args: argparse.Namespace) -> int:
    from minigen.train import RunFolder

    config = recipe.Config(**given(args, settings_of_config(recipe.Config)))
    folder = RunFolder.create(args.recipe, asdict(config), args.runs)
    logging.getLogger("minigen").info("%s: the run's folder", folder.path)
    try:
        recipe.train(config, folder)
    except Exception:
        folder.discard_if_empty()
        raise
    return 0


def _resume(recipe: ModuleType, args: argparse.Namespace) -> int:
    from minigen.train import RunFolder, config_from

    folder = RunFolder(args.resume)
    if folder.recipe != args.recipe:
        raise ValueError(f"train: {args.resume} is a run of {folder.recipe}, not of {args.recipe}")
    old = config_from(recipe.Config, folder.config)
    changes = {
        name: value
        for name, value in given(args, settings_of_config(recipe.Config)).items()
        if value != getattr(old, name)
    }
    for name in changes:
        if name not in CHANGEABLE:
            option = "--" + name.replace("_", "-")
            raise ValueError(
                f"train: {option} of {args.resume} is {getattr(old, name)} and stays so"
            )
    folder.change_config(**changes)
    try:
        recipe.train(config_from(recipe.Config, folder.config), folder)
    except ValueError:  # a change that made no sense
        folder.change_config(**{name: getattr(old, name) for name in changes})
        raise
    return 0

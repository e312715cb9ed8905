"""Translate pictures of yours by a trained Pix2Pix or CycleGAN.

Every picture is cut to its central square, resized to the pixels that the model knows, translated,
and kept under its own name, as PNG.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from minigen import weights
from minigen.backend import move
from minigen.cli.options import (
    add_device,
    add_settings,
    given,
    number,
    on_device,
    settings_of_function,
)
from minigen.data.folder import load_square
from minigen.data.pixels import enlarge, save_png
from minigen.recipes import load_recipe
from minigen.train import open_model

EXAMPLES = """examples:
  minigen translate runs/openmoji_pix2pix-1 drawing.png --out coloured
  minigen translate runs/scenes_cyclegan-1 a.png b.jpg --out outlined --beside
  minigen translate runs/scenes_cyclegan-1 a.png --out plain --direction BtoA
  minigen translate runs/scenes_cyclegan-1 --help      the options of its recipe"""


def add_options(parser: argparse.ArgumentParser, words: list[str]) -> None:
    add = parser.add_argument
    add("model", metavar="RUN", help="a run folder of a model that translates")
    add("pictures", nargs="+", metavar="PICTURE", help="files")
    add("--out", required=True, metavar="FOLDER", help="for the translations; it may be new")
    add("--beside", action="store_true", help="each beside its picture, as the model saw it")
    add("--scale", type=number(int, 1), default=1, metavar="N", help="enlarge pixels (default: 1)")
    add_device(parser)
    if words and (words[0] in weights.names() or Path(words[0]).exists()):
        add_settings(parser, settings_of_function(_recipe(words[0])[1]), f"options of {words[0]}")


def run(args: argparse.Namespace) -> int:
    model, translate = _recipe(args.model)
    files = _names(args.pictures, Path(args.out))
    size = model.config["size"]
    images = np.stack([load_square(file, size) for file in files])  # (N, size, size, 3)
    options = given(args, settings_of_function(translate))
    with on_device(args.device, model.recipe):
        made = move(translate(model, images, **options), "cpu")
    Path(args.out).mkdir(parents=True, exist_ok=True)
    for path, before, after in zip(files.values(), images, made, strict=True):
        shown = np.concatenate([before, after], axis=1) if args.beside else after
        save_png(path, enlarge(shown, args.scale))
        print(path)
    return 0


def _recipe(name: str) -> tuple[Any, Any]:
    """The model, and how its recipe translates.

    Raises: ValueError for a recipe that does not.
    """
    model = open_model(weights.find(name))
    translate = getattr(load_recipe(model.recipe), "translate", None)
    if translate is None:
        raise ValueError(
            f"translate: {name} is a model of {model.recipe}, expected a run of openmoji_pix2pix "
            "or scenes_cyclegan"
        )
    return model, translate


def _names(pictures: list[str], out: Path) -> dict[str, Path]:
    """Picture -> where its translation is to stand.

    Raises: ValueError where two would have one name, or one would be written over a picture that
    was given; NotADirectoryError where FOLDER is a file.
    """
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"translate: --out {out} is a file, expected a folder")
    files = {name: out / f"{Path(name).stem}.png" for name in pictures}
    for path in files.values():
        if list(files.values()).count(path) > 1:
            raise ValueError(f"translate: two pictures would be called {path}")
        if any(path.resolve() == Path(other).resolve() for other in pictures):
            raise ValueError(f"translate: {path} would be written over; take another --out")
    return files

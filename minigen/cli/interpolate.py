"""Walk from one picture to another through the latents of a model: a film strip and a GIF.

Both pictures are cut to their central squares, resized and made grey as the model wants them, and
turned into latents. The strip shows the first picture, what the model makes of each latent on the
way, and the second picture.
"""

import argparse
import logging
from pathlib import Path

import numpy as np

from minigen import weights
from minigen.cli.options import number
from minigen.data.folder import load_square
from minigen.data.pixels import enlarge, gif_bytes, grid, save_png, to_grey
from minigen.latents import interpolate
from minigen.recipes import load_recipe
from minigen.train import open_model, save_bytes

EXAMPLES = """examples:
  minigen interpolate runs/mnist_flow-1 --from 3.png --to 8.jpg --spherical
  minigen interpolate runs/mnist_vae-1 --from three.png --to eight.png --steps 17
  minigen interpolate runs/mnist_vae-1 --from pen.jpg --to chalk.jpg --invert --out walk.png

--invert is for dark digits on white paper: MNIST is white on black."""

SHAPE = (28, 28, 1)  # of a recipe that says no other
BRIGHT = 127  # mean grey of a picture's border from which on it is remarked


def add_options(parser: argparse.ArgumentParser, words: list[str]) -> None:
    add = parser.add_argument
    add("model", metavar="RUN", help="a run folder of a model that has latents")
    add("--from", dest="start", required=True, metavar="FILE", help="the first picture")
    add("--to", dest="end", required=True, metavar="FILE", help="the last picture")
    add(
        "--steps",
        type=number(int, 2),
        default=9,
        metavar="N",
        help="latents, both ends among them (default: 9)",
    )
    add("--spherical", action="store_true", help="around instead of straight: for normal latents")
    add("--invert", action="store_true", help="swap black and white in both pictures first")
    add("--scale", type=number(int, 1), default=4, metavar="N", help="enlarge pixels (default: 4)")
    add("--out", metavar="FILE.png", help="the strip, with a GIF beside it (default: in RUN)")


def run(args: argparse.Namespace) -> int:
    model = open_model(weights.find(args.model))
    recipe = load_recipe(model.recipe)
    if not hasattr(recipe, "encode") or not hasattr(recipe, "decode"):
        raise ValueError(
            f"interpolate: {args.model} is a run of {model.recipe}, which has no way from a "
            "picture to a latent and back (no encode and decode)"
        )
    path = _out(args)
    size, _, channels = getattr(recipe, "SHAPE", SHAPE)
    ends = [load_square(file, size) for file in (args.start, args.end)]  # (size, size, 3)
    pictures = np.stack([255 - end if args.invert else end for end in ends])
    if channels == 1:
        pictures = to_grey(pictures)
        _remark(pictures, (args.start, args.end))
    first, last = recipe.encode(model, pictures)
    film = recipe.decode(model, interpolate(first, last, args.steps, args.spherical))
    shown = pictures if channels == 3 else pictures.repeat(3, axis=-1)
    strip = np.concatenate([shown[:1], film, shown[1:]])
    save_png(path, enlarge(grid(strip, columns=len(strip), gap=1), args.scale))
    there_and_back = np.concatenate([film, film[-2:0:-1]])
    save_bytes(path.with_suffix(".gif"), gif_bytes(enlarge(there_and_back, args.scale)))
    print(path, path.with_suffix(".gif"), sep="\n")
    return 0


def _out(args: argparse.Namespace) -> Path:
    """Where the strip is to stand.

    Raises: ValueError for another ending than .png, FileNotFoundError where there is no folder.
    """
    model, name = Path(args.model), f"{Path(args.start).stem}_to_{Path(args.end).stem}.png"
    path = Path(args.out or (model / "samples" / name if model.is_dir() else name))
    if path.suffix.lower() != ".png":
        raise ValueError(f"interpolate: --out is {path}, expected a name that ends in .png")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"interpolate: there is no folder {path.parent}")
    return path


def _remark(pictures: np.ndarray, names: tuple[str, ...]) -> None:
    """Say so where a grey picture has a bright border: the sets that are learnt are dark there."""
    inside = np.zeros(pictures.shape[1:], bool)
    inside[1:-1, 1:-1] = True
    for picture, name in zip(pictures, names):
        if picture[~inside].mean() > BRIGHT:
            logging.getLogger("minigen").warning(
                "%s is bright along its border, the training pictures are dark there; see --invert",
                name,
            )

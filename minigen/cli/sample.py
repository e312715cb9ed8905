"""Draw samples from a model, as one PNG."""

import argparse
from pathlib import Path

from minigen.backend import move
from minigen.cli.runs import add_run_options, call
from minigen.data.pixels import grid, save_png

EXAMPLES = """examples:
  minigen sample scenes
  minigen sample runs/toy_flow-1
  minigen sample runs/toy_flow-1 -n 64 --seed 3 --out samples.png
  minigen sample runs/scenes-1 --device cuda
  minigen sample runs/toy_flow-1 --help        the options of its recipe"""


def add_options(parser: argparse.ArgumentParser, words: list[str]) -> None:
    add_run_options(parser, words, "sample", n=16)
    parser.add_argument(
        "--out", metavar="FILE", help="(default: RUN/samples/seed_S.png, or MODEL_seed_S.png)"
    )


def run(args: argparse.Namespace) -> int:
    model = Path(args.model)
    name = f"seed_{args.seed}.png"
    path = Path(
        args.out or (model / "samples" / name if model.is_dir() else f"{model.stem}_{name}")
    )
    if not path.parent.is_dir():
        raise FileNotFoundError(f"sample: there is no folder {path.parent}")
    pictures = move(call(args, "sample"), "cpu")
    save_png(path, pictures if pictures.ndim == 3 else grid(pictures, gap=2))
    print(path)
    return 0

"""Draw pictures from prompts with trained weights."""

import argparse

from minigen.cli.options import number

EXAMPLES = """examples:
  minigen paint "a large red circle above a small blue square on a white background"
  minigen paint "a green ring" -n 16 --seed 7 --out rings.png
  minigen paint --prompts prompts.txt --out pictures --scale 1
  minigen paint "a small blue cross" --model runs/scenes-1 --steps 60 --guidance 4 --strip
  minigen paint --again rings.png"""


def add_options(parser: argparse.ArgumentParser, words: list[str]) -> None:
    parser.add_argument("prompt", nargs="?", metavar="PROMPT", help="what to draw")
    parser.add_argument(
        "--prompts", metavar="FILE", help="a prompt a line; -- out is a folder then"
    )
    parser.add_argument(
        "--model", metavar="NAME|RUN", default="scenes", help="weights that ship, or a run folder"
    )
    parser.add_argument(
        "-n", type=number(int, 1), default=1, metavar="N", help="pictures of each prompt"
    )
    parser.add_argument("--seed", type=number(int, 0), default=0, metavar="S", help="of the noise")
    parser.add_argument("--steps", type=number(int, 1), metavar="K", help="of the sampler")
    parser.add_argument(
        "--guidance",
        type=float,
        metavar="G",
        help="how far to push towards the prompt; 1: not at all",
    )
    parser.add_argument("--sampler", metavar="NAME", help="flow_euler, heun, ddim, ...")
    parser.add_argument(
        "--scale",
        type=number(int, 1),
        metavar="PIXELS_PER_PIXEL",
        help="enlarge each pixel; 1 is the native 32 x 32",
    )
    parser.add_argument("--strip", action="store_true", help="add the film of the denoising")
    parser.add_argument("--out", metavar="FILE|DIR", help="where to put the picture or pictures")
    parser.add_argument(
        "--again", metavar="FILE.png", help="draw that picture again, from its metadata"
    )


def run(args: argparse.Namespace) -> int:
    from minigen.paint import run_paint

    return run_paint(args) or 0

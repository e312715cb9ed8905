"""Draw pictures from prompts with trained weights."""

import argparse

from minigen.cli.options import add_device, number

EXAMPLES = """examples:
  minigen paint "a large red circle above a small blue square on a white background"
  minigen paint "a green ring" -n 16 --seed 7 --out rings.png
  minigen paint --prompts prompts.txt --out pictures --scale 1
  minigen paint "a small blue cross" --model runs/scenes-1 --steps 60 --guidance 4 --strip
  minigen paint "a red ring" -n 16 --device cuda
  minigen paint --again rings.png"""


def add_options(parser: argparse.ArgumentParser, words: list[str]) -> None:
    add = parser.add_argument
    add("prompt", nargs="?", metavar="PROMPT", help="what to draw")
    add("--prompts", metavar="FILE", help="a prompt a line; --out is then a folder")
    add("--model", metavar="NAME|RUN", help="a model that ships, or a run folder (default: scenes)")
    add("-n", type=number(int, 1), default=1, metavar="N", help="pictures of each prompt")
    add("--seed", type=number(int, 0), default=0, metavar="S", help="of the noise (default: 0)")
    add("--steps", type=number(int, 1), metavar="K", help="of the sampler")
    add("--guidance", type=float, metavar="G", help="push towards the prompt; 1 is no push")
    add("--sampler", metavar="NAME", help="flow_euler, heun, dpmpp_2m, ddim, ...")
    add(
        "--scale",
        type=number(int, 1),
        default=8,
        metavar="PIXELS_PER_PIXEL",
        help="enlarge each pixel; 1 is the native 32 x 32 (default: 8)",
    )
    add_device(parser)
    add("--strip", action="store_true", help="add the film of the denoising")
    add("--out", metavar="FILE|DIR", help="where to put the picture or the pictures")
    add("--again", metavar="FILE.png", help="draw that picture once more, from its metadata")


def run(args: argparse.Namespace) -> int:
    from minigen.paint import run_paint

    run_paint(args)
    return 0

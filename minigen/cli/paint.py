"""Draw pictures from prompts with trained weights."""

import argparse

from minigen.cli.options import add_device, number

EXAMPLES = """examples:
  minigen paint "a large red circle above a small blue square on a white background"
  minigen paint "a green ring" -n 16 --seed 7 --out rings.png
  minigen paint --prompts prompts.txt --out pictures --scale 1
  minigen paint "a small blue cross" --model runs/scenes-1 --steps 60 --guidance 4 --strip
  minigen paint "a red ring" -n 16 --device cuda
  minigen paint "a blue ring on a white background" --palette "#d33 #fff #222"
  minigen paint --mix "a red circle:1, a yellow cross:2"
  minigen paint "a green ring" --negative-prompt "a small ring" --guidance 3
  minigen paint "a yellow cross" --init circle.png --strength 0.7
  minigen paint "a small red cross" --init scene.png --mask hole.png
  minigen paint "a large red circle" --to "a large blue cross" --frames 16 --out walk.png
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
    add("--negative-prompt", metavar="PROMPT", help="paint away from it; needs a guidance not 1")
    add("--mix", metavar="P:W,P:W", help="several prompts with weights, in the place of PROMPT")
    add("--to", metavar="PROMPT", help="a walk to this prompt: a sheet and a GIF beside it")
    add("--to-seed", type=number(int, 0), metavar="S", help="a walk to this seed, or to both")
    add("--frames", type=number(int, 2), default=12, metavar="N", help="of a walk (default: 12)")
    add("--init", metavar="FILE", help="a picture to begin with, instead of noise")
    add("--strength", type=float, metavar="S", help="what of it is lost, 0 to 1 (default: 0.6)")
    add("--mask", metavar="FILE", help="white where to paint; else --init stays as it is")
    add("--palette", metavar="COLOURS", help='paint in these colours, as in "#d33 #fff"')
    add("--palette-strength", type=float, metavar="S", help="0 to 1 (default: 1)")
    add(
        "--guidance-interval",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="times between which the guidance counts; 1 is noise (default: 0 1)",
    )
    add("--guidance-rescale", type=float, metavar="S", help="0 to 1, against burnt-out pictures")
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

"""Draw samples from a run's newest checkpoint, as one PNG."""

import argparse
from pathlib import Path

from minigen.cli.runs import add_run_options, call

EXAMPLES = """examples:
  minigen sample runs/toy_flow-1
  minigen sample runs/toy_flow-1 -n 64 --seed 3 --out samples.png
  minigen sample runs/toy_flow-1 --help        the options of its recipe"""


def add_options(parser: argparse.ArgumentParser, words: list[str]) -> None:
    add_run_options(parser, words, "sample", n=16)
    parser.add_argument("--out", metavar="FILE", help="(default: RUN/samples/seed_S.png)")


def run(args: argparse.Namespace) -> int:
    from minigen.train import save_picture

    pictures = call(args, "sample")
    path = Path(args.out or Path(args.run) / "samples" / f"seed_{args.seed}.png")
    save_picture(path, pictures)
    print(path)
    return 0

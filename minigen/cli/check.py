"""Run a kernel of your own beside the reference, and say where it is wrong and why."""

import argparse
from pathlib import Path

from minigen import check
from minigen.check.ops import OPS
from minigen.check.report import check as check_kernel
from minigen.cli.options import add_device, number

EXAMPLES = """examples:
  minigen check matmul --template cu > my_kernel.cu      a naive one, to start from
  minigen check matmul my_kernel.cu
  minigen check conv2d my_kernel.py                      Numba CUDA, or any Python
  minigen check softmax my_kernel.cu --tile 256
  minigen check matmul my_kernel.cu --device cuda        on a GPU

A .py file defines a function with the name of the op, a .cu file exports a kernel with that name
and says in its comments how to launch it; --template shows both. No GPU is needed.
Exit codes: 0 where all is right, 1 where not, 2 for what cannot be run at all."""

WRONG = 1
KINDS = {"python": "_python.py", "numba": "_numba.py", "cu": ".cu"}


def add_options(parser: argparse.ArgumentParser, words: list[str]) -> None:
    parser.add_argument("op", metavar="OP", help=", ".join(OPS))
    parser.add_argument("file", metavar="FILE", nargs="?", help="a .py or a .cu file")
    parser.add_argument("--template", choices=KINDS, help="print a kernel that is right, and slow")
    parser.add_argument(
        "--tile", type=number(int, 2), metavar="N", help="try sizes around N (the block, or 16)"
    )
    parser.add_argument(
        "--seconds", type=number(float, 0.1), default=30, metavar="X", help="for one size (30)"
    )
    add_device(parser)


def run(args: argparse.Namespace) -> int:
    if args.op not in OPS:
        raise ValueError(f"check: there is no op {args.op!r}; there are {', '.join(OPS)}")
    if (args.template is None) == (args.file is None):
        raise ValueError("check: give a FILE, or --template for one to start from")
    if args.template:
        folder = Path(check.__file__).parent / "templates"
        print((folder / (args.op + KINDS[args.template])).read_text("utf-8"), end="")
        return 0
    found = check_kernel(args.op, Path(args.file), args.tile, args.seconds, args.device)
    print(found)
    return 0 if found else WRONG

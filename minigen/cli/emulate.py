"""Run a CUDA kernel on the CPU, on sample data, beside the reference; look for its mistakes.

A block's threads run one after the other, in an order that --seed chooses, so that a race shows on
any laptop. Needs Linux and g++; no GPU. How fast a kernel is on a GPU this does not tell.
"""

import argparse
import importlib
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

EXAMPLES = """examples:
  minigen emulate                                     list the kernels
  minigen emulate matmul --rung k3_shared_tile
  minigen emulate matmul --rung k3_shared_tile --shape 65,1,16 --seed 2
  minigen emulate conv2d --rung k2_halo --sanitize thread       look for races
  minigen emulate conv2d --rung k2_halo --sanitize address      look for wrong addresses
  minigen emulate matmul --rung k3_shared_tile --gdb            step through it
  minigen emulate --errors                            how far every kernel is from float64

docs/step_through_a_kernel.md shows how."""

GDB = [  # a kernel is built later than its breakpoints are set, and without moving its lines about
    "-q",
    *("-iex", "set auto-load python-scripts off", "-iex", "set debuginfod enabled off"),
    *("-ex", "set breakpoint pending on", "-ex", "set print thread-events off"),
    *("-ex", "set environment CXXFLAGS -O0"),
]
FAILED = 1  # the exit code of a kernel that does what it should not


def add_options(parser: argparse.ArgumentParser, words: list[str]) -> None:
    from minigen.cli.options import number

    parser.add_argument("op", nargs="?", metavar="OP", help="matmul, conv2d, ...")
    parser.add_argument("--rung", metavar="NAME", help="the kernel (the fastest)")
    parser.add_argument("--shape", metavar="N,N", help="the sizes of the sample")
    parser.add_argument(
        "--seed",
        type=number(int, 0),
        default=0,
        metavar="N",
        help="the order of blocks and threads: 0 as numbered, 1 reversed, others shuffled (0)",
    )
    parser.add_argument(
        "--sanitize", choices=["thread", "address"], help="look for races, or wrong addresses"
    )
    parser.add_argument(
        "--precision",
        choices=["fp32", "tf32", "bf16", "fp16"],
        help="what a product may round to (fp32, of an mma kernel fp16)",
    )
    parser.add_argument(
        "--errors", action="store_true", help="all kernels' errors against float64, as a table"
    )
    parser.add_argument(
        "--write", action="store_true", help="with --errors: the table into kernels/README.md"
    )
    parser.add_argument("--gdb", action="store_true", help="start it in the debugger")


def run(args: argparse.Namespace) -> int:
    if args.write and not args.errors:
        raise ValueError("emulate: --write is for --errors")
    if args.op is None or args.errors:
        _refuse_without_op(args)
    if args.errors:
        return _errors(args)
    if args.op is None:
        print("\n".join(_listing()))
        return 0
    op, rung = args.op, _rung(args)
    arrays, settings = _sample(args)
    if args.gdb:
        return _debugger(args)
    return _run(args, op, rung, arrays, settings, args.precision or precision_of(rung))


def _refuse_without_op(args: argparse.Namespace) -> None:
    """Raises: ValueError for a setting of one kernel where none is named."""
    for name in ("rung", "shape", "seed", "sanitize", "precision", "gdb"):
        if getattr(args, name):
            raise ValueError(f"emulate: --{name} is for one kernel; name its OP before it")


def _errors(args: argparse.Namespace) -> int:
    from minigen.cli import errors

    if args.op is not None:
        raise ValueError("emulate: --errors is for all kernels at once")
    found = errors.all_measured()
    print(errors.table(found))
    over = [f"{e.op}/{e.rung}" for e in found if not e.roundings <= errors.BUDGET]
    if over:
        print(f"more than {errors.BUDGET:.0f} roundings: {', '.join(over)}", file=sys.stderr)
        return FAILED
    if args.write:
        print(errors.write(found))
    return 0


def precision_of(rung: str) -> str:
    """What a kernel needs to be allowed to run: those on tensor cores round."""
    return "fp16" if rung.endswith("mma") else "fp32"


def cuda_rungs() -> dict[str, list[str]]:
    """The kernels in CUDA C++ of each op that has any, slow to fast."""
    import pkgutil

    from minigen import kernels

    found = {}
    for folder in pkgutil.iter_modules(kernels.__path__):
        if folder.ispkg:
            module = importlib.import_module(f"minigen.kernels.{folder.name}")
            names = [name for name in getattr(module, "CUDA_RUNGS", ()) if name[0] == "k"]
            if names:
                found[folder.name] = names
    return found


def _listing() -> list[str]:
    from minigen import kernels
    from minigen.cli.samples import SAMPLES

    lines = []
    for op, rungs in cuda_rungs().items():
        sample = SAMPLES.get(op)
        lines.append(f"{op}: {sample.axes} = {','.join(map(str, sample.sizes))}" if sample else op)
        for rung in rungs:
            text = (Path(kernels.__path__[0]) / op / f"{rung}.py").read_text("utf-8")
            lines.append(f"  {rung:18} {text.partition(chr(10))[0].strip(chr(34))}")
    return lines


def _rung(args: argparse.Namespace) -> str:
    """Raises: ValueError for an op or a kernel that is not there."""
    rungs = cuda_rungs()
    if args.op not in rungs:
        raise ValueError(f"emulate: {args.op!r} has no CUDA kernel; {', '.join(rungs)} have")
    names = rungs[args.op]
    if args.rung is not None and args.rung not in names:
        raise ValueError(
            f"emulate: {args.op} has no kernel {args.rung!r} in CUDA C++; it has {', '.join(names)}"
        )
    return args.rung or names[-1]


def _sample(args: argparse.Namespace) -> Any:
    """Raises: ValueError for sizes that are none."""
    from minigen.cli.samples import SAMPLES

    if args.op not in SAMPLES:
        raise ValueError(f"emulate: there is no sample data for {args.op}")
    sample = SAMPLES[args.op]
    words = args.shape.split(",") if args.shape else [str(n) for n in sample.sizes]
    if len(words) != len(sample.sizes) or not all(w.isdecimal() and int(w) for w in words):
        raise ValueError(
            f"emulate: --shape is {args.shape!r}, expected {len(sample.sizes)} whole numbers for "
            f"{sample.axes}, as in {','.join(map(str, sample.sizes))}"
        )
    return sample.make(*map(int, words))


def _run(
    args: argparse.Namespace, op: str, rung: str, arrays: list[Any], settings: Any, precision: str
) -> int:
    from minigen.backend import use_precision
    from minigen.cli.samples import SAMPLES
    from minigen.kernels.cpu import EmulationError, NoCompilerError, emulated

    before = _copy(arrays)
    try:
        with emulated(args.seed, args.sanitize) as launches, use_precision(precision):
            y, g, gradients = launched(op, rung, arrays, settings)
    except (EmulationError, NoCompilerError) as error:
        print(f"minigen: error: {error}", file=sys.stderr)
        return FAILED
    sample = SAMPLES[op]
    with np.errstate(all="ignore"):
        exact, exact_gradients = sample.exact(before, settings, g)
    shapes = ", ".join(_shape(a) for a in before if a is not None)
    print(f"{op}/{rung} on {shapes}; seed {args.seed}, {precision}")
    for one in launches:
        grid, block = (" x ".join(map(str, n)) for n in (one.sizes[:3], one.sizes[3:]))
        shared = f", {one.shared} bytes of dynamic shared memory" if one.shared else ""
        name = f"{one.kernel}: {grid} blocks of {block} threads"
        print(f"  {name}{shared}, {1000 * one.seconds:.1f} ms")
    close = _compare("y", sample.outputs(y, arrays), exact, precision)
    close &= _compare("gradients", list(gradients), exact_gradients, precision)
    if args.sanitize:
        print(f"  the {args.sanitize} sanitizer found nothing")
    return 0 if close else FAILED


def launched(op: str, rung: str, arrays: list[Any], settings: dict[str, Any]) -> Any:
    """(y, an upstream gradient, the gradients), inside `emulated`; None and () if it has none.

    Raises: ValueError where the kernel cannot run on these arrays; what a launch raises.
    """
    module = importlib.import_module(f"minigen.kernels.{op}.{rung}")
    if reason := module.supports(*arrays, **settings):
        raise ValueError(f"emulate: {op}/{rung} cannot run here: {reason}")
    y, pull = module.launch(*arrays, **settings)
    if pull is None:
        return y, None, ()
    g = np.random.default_rng(1).standard_normal(y.shape, np.float32)
    return y, g, pull(g, (True,) * len(arrays))


def _copy(x: Any) -> Any:
    if isinstance(x, list | tuple):
        return [_copy(a) for a in x]
    return x.copy() if isinstance(x, np.ndarray) else x


def _shape(a: Any) -> str:
    return f"{len(a)} arrays" if isinstance(a, list | tuple) else str(a.shape)


def _compare(name: str, found: list[Any], exact: list[Any], precision: str) -> bool:
    """Print the largest error; whether it is one of rounding, or there is nothing to compare."""
    pairs = [(a, b) for a, b in zip(found, exact) if a is not None and b is not None]
    if not pairs:
        return True
    error = float(np.max([np.abs(a - b).max(initial=0) for a, b in pairs]))  # NaN where one is
    largest = float(np.max([np.abs(b).max(initial=0) for _, b in pairs]))
    close = error <= (1e-4 if precision == "fp32" else 0.03) * max(1, largest)
    verdict = "" if close else ": these are other numbers"
    print(f"  {name}: largest error {error:.2g}, largest number {largest:.3g}{verdict}")
    return close


def _debugger(args: argparse.Namespace) -> int:
    if args.sanitize:
        raise ValueError("emulate: --gdb is for the kernel without --sanitize")
    if shutil.which("gdb") is None:
        raise ValueError("emulate: gdb is missing: install it, on Debian with `apt install gdb`")
    words = ["minigen", "emulate", args.op]
    for name in ("rung", "seed", "shape", "precision"):
        if (value := getattr(args, name)) is not None:
            words.append(f"--{name}={value}")
    sys.stdout.flush()
    return os.execvp("gdb", ["gdb", *GDB, "--args", sys.executable, "-m", *words])

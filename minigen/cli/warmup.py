"""Compile every kernel now, so that the first training or picture does not wait for it."""

import argparse
import importlib
import pkgutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

EXAMPLES = """examples:
  minigen warmup
  NUMBA_CACHE_DIR=numba minigen warmup      the compiled code goes there

What is compiled stays on the disk until minigen, Numba or the processor changes."""


def add_options(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """None of its own."""


def run(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    found = list(_warmups())
    start = time.perf_counter()
    bar = tqdm(found, unit="kernel", disable=not sys.stderr.isatty())
    for name, warmup in bar:
        bar.set_description(name)
        warmup()
    seconds = time.perf_counter() - start
    print(f"{len(found)} kernels are ready after {seconds:.1f} s; compiled code: {_cache()}")
    return 0


def _warmups() -> Iterator[tuple[str, Callable[[], None]]]:
    """("conv2d/threads", its warmup) for each rung that compiles something and can be imported."""
    from minigen import kernels
    from minigen.backend import rungs_of

    for folder in pkgutil.iter_modules(kernels.__path__):
        if not folder.ispkg or folder.name == "bench":
            continue
        for rung in rungs_of(folder.name, "cpu") if _is_op(folder.name) else ():
            try:
                module = importlib.import_module(f"minigen.kernels.{folder.name}.{rung}")
            except ImportError as error:  # a rung for a GPU, say: it cannot run here either
                print(f"{folder.name}/{rung} is left out: {error}", file=sys.stderr)
                continue
            if hasattr(module, "warmup"):
                yield f"{folder.name}/{rung}", module.warmup


def _is_op(folder: str) -> bool:
    return hasattr(importlib.import_module(f"minigen.kernels.{folder}"), "RUNGS")


def _cache() -> str:
    """Where Numba keeps what it compiled."""
    from numba.core import config

    from minigen import kernels

    own = getattr(config, "CACHE_DIR", "")
    return str(own or Path(kernels.__path__[0]) / "*" / "__pycache__")

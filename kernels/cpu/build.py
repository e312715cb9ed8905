"""A .cu file, as it is, to a shared library or a program, by g++.

Kept in the cache folder under the hash of the text, what it includes, the options and the compiler.
CXX names another compiler, CXXFLAGS more options: -O0 for a debugger.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

from minigen.kernels import tuning
from minigen.kernels.signature import kernels_of

HERE = Path(__file__).parent
INCLUDE = HERE.parent / "include"
KEPT = 1000  # built files, of 0.25 MB each
# The lanes of a warp reach into each other's registers, which strict aliasing forbids.
OPTIONS = ("-std=c++17", "-O1", "-g", "-w", "-fno-strict-aliasing", f"-I{INCLUDE}", f"-I{HERE}")
SANITIZE = {  # a lane of its own each: they cannot be combined
    None: ("-shared", "-fPIC"),
    "address": (
        "-fsanitize=address,undefined",
        "-fsanitize-sections=cushared",  # or shared arrays have no red zones between them
        "-fno-sanitize-recover=all",
    ),
    "thread": ("-fsanitize=thread",),
}


class NoCompilerError(RuntimeError):
    """There is no g++ here, or no system that it can build for."""


class CompileError(ValueError):
    """The compiler does not understand the kernel."""


def build(source: Path, defines: Mapping[str, object], sanitize: str | None) -> Path:
    """The built file: a shared library, or with `sanitize` a program.

    Raises: NoCompilerError; CompileError with the first error's file and line.
    """
    if sanitize not in SANITIZE:
        raise ValueError(f'sanitize is {sanitize!r}, expected "thread", "address" or None')
    compiler = find_compiler()
    named = [f"-D{k}={v}" for k, v in sorted(defines.items())]
    own = os.environ.get("CXXFLAGS", "").split()
    words = [*OPTIONS, *_poison(compiler[1]), *named, *SANITIZE[sanitize], *own]
    text = source.read_text("utf-8")
    names = list(kernels_of(text))
    if not names:
        raise CompileError(f'{source}: exports no kernel: extern "C" __global__ void NAME(...)')
    headers = headers_in(HERE, INCLUDE, source.parent)
    parts = [text, *headers, *words, " ".join(compiler), str(source)]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
    place = tuning.path().parent / "emulated" / f"{source.stem}-{key}"
    try:
        os.utime(place)  # it is in use
    except FileNotFoundError:
        _make_room(place.parent)
        _compile(source, names, [*compiler[:1], *words], place, sanitize is not None)
    return place


@cache
def find_compiler() -> tuple[str, str]:
    """The compiler and its version.

    Raises: NoCompilerError with what to install.
    """
    if not sys.platform.startswith("linux"):
        raise NoCompilerError(
            "CUDA kernels on the CPU need Linux: a container, or on Windows its WSL, will do"
        )
    name = os.environ.get("CXX", "g++")
    if shutil.which(name) is None:
        raise NoCompilerError(f"{name} is missing: install it, on Debian with `apt install g++`")
    version = subprocess.run([name, "--version"], capture_output=True, text=True, check=True)
    return name, version.stdout.splitlines()[0]


def _make_room(folder: Path) -> None:
    """Remove what was not used for the longest time, down to KEPT files."""
    with suppress(FileNotFoundError):  # there is none yet, or another process makes room too
        with os.scandir(folder) as files:  # closed also where one of them has gone meanwhile
            used = {f.path: f.stat().st_mtime for f in files if f.is_file()}
        for path in sorted(used, key=used.__getitem__)[:-KEPT]:
            os.unlink(path)


def _poison(version: str) -> tuple[str, ...]:
    """Variables that nothing was written to are large numbers, from g++ 12 on."""
    major = re.search(r" (\d+)\.\d+\.\d+", version)
    return ("-ftrivial-auto-var-init=pattern",) if major and int(major[1]) >= 12 else ()


def headers_in(*folders: Path) -> list[str]:
    """The texts of all that a kernel may include from there, for a hash: byte by byte."""
    found = [f for folder in folders for f in sorted(folder.iterdir()) if f.is_file()]
    return [f.read_text("latin-1") for f in found if f.suffix in (".h", ".cuh", ".cpp")]


def _compile(source: Path, names: list[str], words: list[str], place: Path, program: bool) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    lines = ['#include "cuda_cpu.h"', f'#include "{source.resolve()}"']
    lines += [f"MG_KERNEL({name})" for name in names]
    if program:
        entries = ", ".join(f'{{"{name}", mg_launch_{name}}}' for name in names)
        lines += ['#include "main.cpp"', f"const Entry mg_kernels[] = {{{entries}, {{nullptr}}}};"]
    with tempfile.TemporaryDirectory(dir=place.parent) as folder:
        wrapper, out = Path(folder) / "kernel.cpp", Path(folder) / "built"
        wrapper.write_text("\n".join(lines) + "\n", "utf-8")
        done = subprocess.run(
            [*words, str(wrapper), "-o", str(out)], capture_output=True, text=True
        )
        if done.returncode:
            raise CompileError(_first_error(done.stderr))
        os.replace(out, place)  # whoever builds the same at the same time does no harm


def _first_error(text: str) -> str:
    """The compiler's first error: file, line, what is wrong, and the line itself."""
    lines = text.splitlines()
    for i, line in enumerate(lines):
        if re.search(r":\d+:\d+: (fatal )?error: ", line):
            shown = [part.strip() for part in lines[i + 1 : i + 2]]
            return "; ".join([line, *shown])
    return text.strip() or "g++ failed and said nothing"

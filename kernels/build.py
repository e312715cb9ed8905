"""A .cu file to machine code for a GPU, by NVIDIA's run-time compiler NVRTC. It needs no GPU.

    built = build("kernels/matmul/k1_naive.cu", "90a")
    built.cubin                            a file that a GPU of compute capability 9.0 loads
    built.kernels["matmul"].registers      what ptxas says of each kernel

    python -m minigen.kernels.build kernels/matmul/k1_naive.cu --arch 80 --define TILE=16

Kept in the cache folder under the hash of the text, what it includes, the options and NVRTC's
version. NVRTC is called by ctypes: what must be installed are the library and the headers of half
and bfloat16 numbers, two wheels, and nothing that would look for a driver.
"""

import argparse
import ctypes
import hashlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from minigen.kernels import tuning
from minigen.kernels.cpu.build import CompileError, headers_in
from minigen.kernels.errors import GPUError, NoNvrtcError
from minigen.kernels.signature import kernels_of

ARCHS = ("75", "80", "86", "89", "90", "90a")  # Turing; Ampere twice; Ada; Hopper twice
INCLUDE = Path(__file__).with_name("include")
TOOLKIT = Path("/usr/local/cuda")
INSTALL = 'pip install "minigen[nvrtc]" (or, with a GPU, "minigen[cuda12]" or "minigen[cuda13]")'
INSTRUCTIONS = {  # what a fast kernel promises -> how it looks in PTX
    "mma": r"\bmma\.sync",
    "wgmma": r"\bwgmma\.mma_async",
    "ldmatrix": r"\bldmatrix\.sync",
    "cp.async": r"\bcp\.async\.c[ag]",
    "load of 16 bytes": r"\bld\.global(?:\.\w+)*\.v4\.\w?32",
    "shuffle": r"\bshfl\.sync",
}


class Report(NamedTuple):
    """What a kernel takes of a multiprocessor."""

    registers: int  # of each thread
    stack: int  # bytes of local memory for each thread, spills included
    spills: int  # bytes stored and loaded because the registers did not suffice
    shared: int  # bytes for each block, without what is asked for at the launch
    instructions: tuple[str, ...]  # those of INSTRUCTIONS that it has


class Built(NamedTuple):
    """A built file."""

    cubin: Path
    kernels: dict[str, Report]


def build(source: str | Path, arch: str, defines: Mapping[str, object] | None = None) -> Built:
    """The machine code of a .cu file for one architecture, "75" or "90a".

    Raises: NoNvrtcError; CompileError with file, line, and the line itself; ValueError for an
    architecture that this NVRTC does not know.
    """
    source = Path(source)
    nvrtc = find_nvrtc()
    if arch.rstrip("af") not in nvrtc.archs:
        raise ValueError(
            f"NVRTC {nvrtc.version} builds for {', '.join(nvrtc.archs)}, not for {arch!r}; "
            "a newer one knows newer GPUs, an older one older GPUs"
        )
    text = source.read_text("utf-8")
    words = [
        f"--gpu-architecture=sm_{arch}",
        "--std=c++17",
        "--generate-line-info",  # compute-sanitizer and profilers then name lines
        "--ptxas-options=-v",
        *(f"-D{name}={value}" for name, value in sorted((defines or {}).items())),
        *(f"-I{folder}" for folder in (source.parent, INCLUDE, *nvrtc.headers)),
    ]
    parts = [text, *headers_in(INCLUDE, source.parent), *words, nvrtc.version]
    key = hashlib.sha256("\0".join(parts).encode())
    place = tuning.path().parent / "cubins" / f"{source.stem}-{arch}-{key.hexdigest()[:24]}.cubin"
    told = place.with_suffix(".json")
    if not (place.exists() and told.exists()):
        cubin, ptx, log = nvrtc.compile(text, str(source), words)
        reports = reports_of(log, ptx)
        for name in kernels_of(text).keys() - reports.keys():
            raise CompileError(f"{source}: NVRTC said nothing of the kernel {name!r}: {log}")
        _keep(told, json.dumps(reports).encode())
        _keep(place, cubin)
    kernels = {k: Report(*r[:-1], tuple(r[-1])) for k, r in json.loads(told.read_bytes()).items()}
    return Built(place, kernels)


def _keep(place: Path, content: bytes) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=place.parent, delete=False) as file:
        file.write(content)
    os.replace(file.name, place)  # whoever builds the same at the same time does no harm


def reports_of(log: str, ptx: str) -> dict[str, Report]:
    """What ptxas -v and the PTX tell of each kernel."""
    pieces = re.split(r"\.entry (\w+)", ptx)
    bodies = dict(zip(pieces[1::2], pieces[2::2]))
    found = {}
    for name, told in re.findall(
        r"Compiling entry function '(\w+)'(.*?)(?=Compiling entry function|\Z)", log, re.S
    ):

        def number(pattern: str, told: str = told) -> int:
            return sum(int(n) for n in re.findall(pattern, told))

        found[name] = Report(
            registers=number(r"Used (\d+) registers"),
            stack=number(r"(\d+) bytes stack frame"),
            spills=number(r"(\d+) bytes spill (?:stores|loads)"),
            shared=number(r"(\d+)(?:\+\d+)? bytes smem"),
            instructions=tuple(
                what for what, how in INSTRUCTIONS.items() if re.search(how, bodies.get(name, ""))
            ),
        )
    return found


# ------------------------------------------------------------------------------------------- NVRTC


class Nvrtc:
    """The library, and the folders of the headers that belong to it."""

    def __init__(self, library: Path, headers: Sequence[Path]):
        self.path, self.headers = library, headers
        if hasattr(os, "add_dll_directory"):  # on Windows it looks there for its other half
            os.add_dll_directory(str(library.parent))
        self.library = ctypes.CDLL(str(library))
        self.library.nvrtcGetErrorString.restype = ctypes.c_char_p
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        self.version = f"{major.value}.{minor.value}"
        count = ctypes.c_int()
        self._call("nvrtcGetNumSupportedArchs", ctypes.byref(count))
        archs = (ctypes.c_int * count.value)()
        self._call("nvrtcGetSupportedArchs", archs)
        self.archs = [str(arch) for arch in archs]

    def compile(self, text: str, name: str, words: Sequence[str]) -> tuple[bytes, str, str]:
        """(cubin, PTX, what the compiler said).

        Raises: CompileError.
        """
        program = ctypes.c_void_p()
        self._call(
            "nvrtcCreateProgram",
            *(ctypes.byref(program), text.encode(), name.encode(), 0, None, None),
        )
        try:
            options = (ctypes.c_char_p * len(words))(*(word.encode() for word in words))
            failed = self.library.nvrtcCompileProgram(program, len(words), options)
            log = self._get(program, "ProgramLog").rstrip(b"\0").decode(errors="replace")
            if failed:
                raise CompileError(first_error(log) or self._error(failed))
            ptx = self._get(program, "PTX").rstrip(b"\0").decode()
            return self._get(program, "CUBIN"), ptx, log
        finally:
            self._call("nvrtcDestroyProgram", ctypes.byref(program))

    def _get(self, program: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        self._call(f"nvrtcGet{what}Size", program, ctypes.byref(size))
        content = ctypes.create_string_buffer(size.value)
        self._call(f"nvrtcGet{what}", program, content)
        return content.raw

    def _call(self, name: str, *arguments: Any) -> None:
        if failed := self.library[name](*arguments):
            raise GPUError(f"{name}: {self._error(failed)}")

    def _error(self, number: int) -> str:
        return self.library.nvrtcGetErrorString(number).decode()


def first_error(log: str) -> str:
    """NVRTC's first error: file and line, what is wrong, and the line itself."""
    lines = log.splitlines()
    for i, line in enumerate(lines):
        if found := re.match(r"(.*?)\((\d+)\): (?:catastrophic )?error: (.*)", line):
            shown = [part.strip() for part in lines[i + 1 : i + 2] if part.strip()]
            return "; ".join([f"{found[1]}:{found[2]}: error: {found[3]}", *shown])
    return log.strip()


@cache
def find_nvrtc() -> Nvrtc:
    """The NVRTC to use: of several the one that the installed CuPy is for, else the newest.

    Raises: NoNvrtcError with what to install.
    """
    found = sorted(_installed(), key=lambda pair: _major(pair[0]), reverse=True)
    if not found:
        raise NoNvrtcError(f"NVRTC, the compiler of CUDA kernels, is not installed: {INSTALL}")
    with_headers = [
        (library, headers)
        for library, headers in found
        if any((folder / "cuda_fp16.h").is_file() for folder in headers)
    ]
    if not with_headers:
        raise NoNvrtcError(f"{found[0][0]}: its header cuda_fp16.h is not installed: {INSTALL}")
    fitting = [pair for pair in with_headers if _major(pair[0]) == _major_of_cupy()]
    try:
        return Nvrtc(*(fitting or with_headers)[0])
    except OSError as error:
        raise NoNvrtcError(f"NVRTC cannot be loaded ({error}): {INSTALL}") from error


def _installed() -> Iterator[tuple[Path, list[Path]]]:
    """Every NVRTC here and where its headers would be: wheels, a conda environment, a toolkit."""
    wheels = [Path(folder) / "nvidia" for folder in sys.path if folder]
    places = [(at / "cuda_nvrtc", at / "cuda_runtime") for at in wheels]  # CUDA 12
    places += [(at / "cu13", at / "cu13") for at in wheels]
    conda, toolkits = Path(sys.prefix), [os.environ.get("CUDA_PATH"), os.environ.get("CUDA_HOME")]
    places += [(conda, conda / "targets" / "x86_64-linux"), (conda / "Library",) * 2]
    places += [(Path(at),) * 2 for at in (*toolkits, TOOLKIT) if at]
    names = ("lib*/libnvrtc.so*", "bin/nvrtc64_*_0.dll", "bin/*/nvrtc64_*_0.dll")
    for binaries, headers in places:
        for library in [file for name in names for file in sorted(binaries.glob(name))][:1]:
            yield library, [headers / "include"]


def _major(library: Path) -> int:
    """12 of libnvrtc.so.12, also behind a link, and of nvrtc64_120_0.dll."""
    found = re.search(r"\.so\.(\d+)|nvrtc64_(\d+)\d_", library.resolve().name)
    return int(found[1] or found[2]) if found else 0


def _major_of_cupy() -> int | None:
    for major in (12, 13):
        try:
            version(f"cupy-cuda{major}x")
            return major
        except PackageNotFoundError:
            pass
    return None


def report() -> str:
    """One line: which NVRTC builds kernels, or what is missing."""
    try:
        nvrtc = find_nvrtc()
    except GPUError as error:
        return str(error)
    return f"NVRTC {nvrtc.version}, {nvrtc.path}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Build a .cu file and say what its kernels take.")
    parser.add_argument("source")
    parser.add_argument("--arch", nargs="+", default=["80"], choices=ARCHS)
    parser.add_argument("--define", nargs="*", default=[], metavar="NAME=VALUE")
    chosen = parser.parse_args()
    defines = {name: value or 1 for name, _, value in (d.partition("=") for d in chosen.define)}
    for arch in chosen.arch:
        try:
            built = build(chosen.source, arch, defines)
        except (GPUError, OSError, ValueError) as error:  # a CompileError is a ValueError
            sys.exit(f"build: error: {error}")
        print(built.cubin)
        for name, r in built.kernels.items():
            parts = [f"{r.registers} registers", f"{r.shared} bytes of shared memory"]
            parts += [f"{r.spills} bytes spilled"] * bool(r.spills) + list(r.instructions)
            print(f"  {name}: {', '.join(parts)}")


if __name__ == "__main__":
    main()

"""What the kernels of a .cu file are called with, read from its text.

    kernels_of(text) -> {"matmul": [Parameter("float*", "a", True), ..., Parameter("int", "K")]}

and arguments checked against it, because a kernel that gets a number for a pointer says nothing and
computes nonsense.
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Parameter(NamedTuple):
    type: str  # without const and __restrict__: "float*", "int"
    name: str
    is_read_only: bool = False  # a pointer to const


POINTERS = {  # C's type -> (its array's dtype, the bytes that its address must be a multiple of)
    "float": ("float32", 4),
    "float2": ("float32", 8),
    "float4": ("float32", 16),
    "double": ("float64", 8),
    "int": ("int32", 4),
    "int4": ("int32", 16),
    "unsigned": ("uint32", 4),
    "uint4": ("uint32", 16),
    "long long": ("int64", 8),
    "half": ("float16", 2),
    "__half": ("float16", 2),
    "half2": ("float16", 4),
    "__nv_bfloat16": ("uint16", 2),  # NumPy has no bfloat16: its bits
    "unsigned short": ("uint16", 2),
    "bool": ("bool", 1),
    "unsigned char": ("uint8", 1),
}
NUMBERS = {
    "float": np.float32,
    "double": np.float64,
    "int": np.int32,
    "unsigned": np.uint32,
    "long long": np.int64,
    "unsigned long long": np.uint64,
    "size_t": np.uint64,
    "bool": np.bool_,
}
_BOUNDS = r"(?:__launch_bounds__\s*\([^)]*\)\s*)?"
_KERNEL = re.compile(
    rf"""extern\s+"C"\s+__global__\s+{_BOUNDS}void\s+{_BOUNDS}(\w+)\s*\(([^)]*)\)"""
)


def without_comments(text: str) -> str:
    """The same lines; what was a comment is blank."""
    blank = lambda found: re.sub(r"[^\n]", " ", found.group())  # noqa: E731
    return re.sub(r"//[^\n]*|/\*.*?\*/", blank, text, flags=re.DOTALL)


def kernels_of(text: str) -> dict[str, list[Parameter]]:
    """The kernels that a file exports, in its order, and their parameters."""
    found = _KERNEL.findall(without_comments(text))
    return {name: [_parameter(p) for p in words.split(",") if p.strip()] for name, words in found}


def parameters_of(source: Path, kernel: str) -> list[Parameter]:
    """Those of one kernel of a file. Raises: ValueError where the file has no such kernel."""
    found = kernels_of(source.read_text("utf-8"))
    if kernel not in found:
        raise ValueError(f"{source.name}: has no kernel {kernel!r}, it has {list(found)}")
    return found[kernel]


def _parameter(text: str) -> Parameter:
    words = text.replace("*", " * ").split()
    *kind, name = [w for w in words if w not in ("const", "__restrict__")]
    name_of_type = " ".join(kind).replace(" *", "*").replace("unsigned int", "unsigned")
    return Parameter(name_of_type, name, "const" in words)


MOST = (2**31 - 1, 65535, 65535, 1024, 1024, 64)  # of a grid's and a block's x, y, z


def wrong_sizes(kernel: str, sizes: Sequence[int]) -> str | None:
    """Why no GPU starts so large or so small a grid of blocks, None where all do."""
    for i, (n, most) in enumerate(zip(sizes, MOST)):
        if not 1 <= n <= most:
            what = f"the {'grid' if i < 3 else 'block'}'s {'xyz'[i % 3]}"
            return f"{kernel}: {what} is {n}, it must be 1 to {most}"
    if math.prod(sizes[3:]) > 1024:
        return f"{kernel}: a block of {tuple(sizes[3:])} threads; 1024 are the most"
    return None


def check(
    kernel: str, parameters: Sequence[Parameter], arguments: Sequence[Any], pointer_of: Any
) -> list[Any]:
    """The arguments as the kernel takes them: arrays as they are, numbers as NumPy scalars.

    pointer_of(array) -> its address. None is the pointer to nothing.

    Raises: TypeError that names the kernel and the parameter.
    """
    if len(arguments) != len(parameters):
        names, got = ", ".join(p.name for p in parameters), len(arguments)
        raise TypeError(f"{kernel}: takes {len(parameters)} arguments ({names}), got {got}")
    return [_fit(kernel, p, a, pointer_of) for p, a in zip(parameters, arguments)]


def _fit(kernel: str, p: Parameter, a: Any, pointer_of: Any) -> Any:
    what = f"{kernel}: {p.type} {p.name}"
    if p.type.removesuffix("*") not in (POINTERS if p.type.endswith("*") else NUMBERS):
        raise TypeError(f"{what}: a parameter of this type cannot be passed")
    if p.type.endswith("*"):
        dtype, multiple = POINTERS[p.type[:-1]]
        if a is None:
            return None
        if not hasattr(a, "flags"):
            raise TypeError(f"{what}: expected an array, got {a!r}")
        if a.dtype != dtype:
            raise TypeError(f"{what}: expected an array of {dtype}, got {a.dtype}")
        if not a.flags.c_contiguous:
            raise TypeError(f"{what}: the array is a view with gaps; copy it first")
        if pointer_of(a) % multiple:
            raise TypeError(f"{what}: its address is no multiple of {multiple} bytes")
        if not p.is_read_only and not getattr(a.flags, "writeable", True):
            raise TypeError(f"{what}: the array may not be written to")
        return a
    if hasattr(a, "shape") and a.shape:
        raise TypeError(f"{what}: expected a number, got an array of the shape {a.shape}")
    number = NUMBERS[p.type]
    if not isinstance(a, int | float | np.generic) and not hasattr(a, "shape"):
        raise TypeError(f"{what}: expected a number, got {a!r}")
    if np.issubdtype(number, np.integer):
        if a != a // 1 or not np.iinfo(number).min <= a <= np.iinfo(number).max:
            raise TypeError(f"{what}: {a!r} does not fit")
        a = int(a)
    return number(a)

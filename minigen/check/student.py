"""A kernel to check: a Python function, a .py file with one, a .cu file, or the text of one."""

import ast
import importlib.util
import inspect
import operator
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import minigen.kernels.gpu as gpu
from minigen.backend import move
from minigen.check.op import Case, Op
from minigen.kernels.cpu import emulated
from minigen.kernels.cpu.build import build
from minigen.kernels.cpu.runner import launch
from minigen.kernels.signature import kernels_of, without_comments

Kernel = Callable[..., Any] | str | Path


class CheckError(ValueError):
    """What was given cannot be checked: no such file or function, an error in the text."""


def load(op: Op, kernel: Kernel, device: str = "cpu") -> "Function | CudaText":
    """Raises: CheckError, CompileError, when it is not what the op asks for; GPUError."""
    student = _load(op, kernel)
    if device == "cuda":
        gpu.require()
        student.device, student.sanitizers, student.seeds = device, (), range(1)
    return student


def _load(op: Op, kernel: Kernel) -> "Function | CudaText":
    if callable(kernel):
        return Function(op, kernel, getattr(kernel, "__name__", "a function"))
    if "\n" in str(kernel):
        return CudaText(op, "the text", str(kernel))
    path = Path(kernel).expanduser()
    if not path.is_file():
        raise CheckError(f"check: there is no file {path}")
    if path.suffix == ".cu":
        return CudaText(op, path.name, path.read_text("utf-8"), path)
    if path.suffix == ".py":
        return Function(op, _from_file(op, path), path.name)
    raise CheckError(f"check: {path.name} is neither a .py nor a .cu file")


def uses_numba(kernel: Kernel) -> bool:
    """Whether Numba's kernels may be in it."""
    if callable(kernel) or "\n" in str(kernel):
        return callable(kernel) and "numba" in sys.modules
    path = Path(kernel).expanduser()
    return path.suffix == ".py" and path.is_file() and "numba" in path.read_text("utf-8")


def _from_file(op: Op, path: Path) -> Callable[..., Any]:
    text = path.read_text("utf-8")
    try:
        ast.parse(text, str(path))
    except SyntaxError as error:
        line = (error.text or "").strip()
        raise CheckError(f"{path.name} line {error.lineno}: {error.msg}: {line}") from None
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.path.insert(0, str(path.resolve().parent))
    try:
        specification.loader.exec_module(module)
    except Exception as error:
        raise CheckError(f"{where_raised(error, path)}: {type(error).__name__}: {error}") from error
    found = getattr(module, op.name, None)
    if not callable(found) or hasattr(found, "py_func"):
        has = [n for n, f in vars(module).items() if inspect.isfunction(f)]
        said = (
            "is a kernel; name that otherwise, and let" if found else f"is missing (it has {has});"
        )
        raise CheckError(f"{path.name}: {op.name} {said} def {op.signature} return y")
    return found


def where_raised(error: BaseException, path: Path | None = None) -> str:
    """File and line of the student's text in which an exception arose, the innermost one."""
    frames = traceback.extract_tb(error.__traceback__)
    if path is not None:
        frames = [f for f in frames if Path(f.filename) == path.resolve()] or frames  # type: ignore
    frame = frames[-1]
    return f"{Path(frame.filename).name} line {frame.lineno}"


class Function:
    """y = function(*arrays, **settings)."""

    device = "cpu"
    sanitizers: tuple[str, ...] = ()

    def __init__(self, op: Op, function: Callable[..., Any], name: str):
        self.op, self.function, self.name, self.tile = op, function, name, 16
        case = op.sorted_cases(16)[0]
        try:
            inspect.signature(function).bind(*op.arrays, **case.settings)
        except TypeError as error:
            raise CheckError(f"{name}: expected def {op.signature}: {error}") from None

    @cached_property
    def seeds(self) -> range:
        """More than one schedule where a simulator or the emulator has schedules to offer."""
        has = {"minigen.kernels.simulator", "minigen.kernels.cpu.runner"} & set(sys.modules)
        return range(4) if has and uses_kernels(self.function) else range(1)

    def prepare(self, sanitize: str | None) -> None:
        """Nothing to build."""

    def run(self, case: Case, arrays: list[np.ndarray], seed: int, sanitize: str | None) -> Any:
        with emulated(seed, sanitize) if self.device == "cpu" else nullcontext():
            return self.function(*arrays, **case.settings)


def uses_kernels(function: Callable[..., Any]) -> bool:
    """Whether its module, or what surrounds it, has Numba kernels or minigen's."""
    names = {**getattr(function, "__globals__", {}), **inspect.getclosurevars(function).nonlocals}
    kinds = [type(value).__module__ for value in names.values()]
    modules = [str(getattr(value, "__name__", "")) for value in names.values()]
    return any(k.startswith(("numba.cuda", "minigen.kernels")) for k in kinds + modules)


class CudaText:
    """A kernel in CUDA C++, with the grid and the block that it is for in its comments:

    // grid: blocks(N, TILE), blocks(M, TILE)
    // block: TILE, TILE
    // shared: 4 * TILE                        bytes of dynamic shared memory, if any
    """

    device = "cpu"
    sanitizers: tuple[str, ...] = ("address", "thread")
    seeds = range(4)

    def __init__(self, op: Op, name: str, text: str, path: Path | None = None):
        self.op, self.name, self.text = op, name, text
        self.path = path or _kept(op, text)
        found = kernels_of(text)
        expected = f'extern "C" __global__ void {op.name}({op.parameters})'
        if op.name not in found:
            raise CheckError(
                f"{name}: exports no kernel {op.name}, it has {list(found)}: {expected}"
            )
        wanted, got = kernels_of(expected)[op.name], found[op.name]
        if [p.type for p in wanted] != [p.type for p in got]:
            raise CheckError(f"{name}: {op.name} has other parameters; expected {expected}")
        self.names = [(w.name, g.name) for w, g in zip(wanted, got)]
        plain = without_comments(text)
        defines = re.findall(
            r"^\s*(?:#define|const(?:expr)? int)\s+(\w+)[ =]+(\d+);?\s*$", plain, re.M
        )
        self.constants = {word: int(number) for word, number in defines}
        self.geometry = {
            what: self._line(what) or default
            for what, default in (("grid", ""), ("block", ""), ("shared", "0"))
        }
        ones = dict.fromkeys(("M", "N"), 1) | {b: 1 for pair in self.names for b in pair}
        self.tile = max(2, max(self._evaluate("block", ones)))

    def _line(self, what: str) -> str:
        found = re.search(rf"^\s*//\s*{what}:\s*(.+?)\s*$", self.text, re.M)
        if found is None and what != "shared":
            raise CheckError(
                f"{self.name}: no line says how to launch it: // {what}: ..., "
                f"as in `minigen check {self.op.name} --template cu`"
            )
        return found[1] if found else ""

    def _evaluate(self, what: str, values: Mapping[str, float]) -> tuple[int, ...]:
        text = self.geometry[what]
        try:
            node = ast.parse(f"({text},)", mode="eval").body
            return tuple(int(_number(part, {**values, **self.constants})) for part in node.elts)  # type: ignore
        except (SyntaxError, KeyError, TypeError, ZeroDivisionError) as error:
            why = f"{error.args[0]} is not known" if isinstance(error, KeyError) else str(error)
            raise CheckError(f"{self.name}: // {what}: {text}: {why}") from None

    def prepare(self, sanitize: str | None) -> None:
        """Build it. Raises: CompileError with file and line."""
        if self.device == "cpu":
            build(self.path, {}, sanitize)

    def run(self, case: Case, arrays: list[np.ndarray], seed: int, sanitize: str | None) -> Any:
        sizes = self.op.axes(case)
        shape = self.op.formula(*arrays, **case.settings).shape
        there = [np.ascontiguousarray(a) for a in arrays]
        y = np.full(shape, np.nan, np.float32)
        if self.device == "cuda":
            there, y = [move(a, "gpu") for a in there], move(y, "gpu")
        values = {**dict(zip(self.op.arrays, there)), "y": y, **sizes, **case.settings}
        named = {other: values[name] for name, other in self.names if name not in self.op.arrays}
        numbers = {k: v for k, v in {**sizes, **named}.items() if isinstance(v, int)}
        grid, block = self._evaluate("grid", numbers), self._evaluate("block", numbers)
        (shared,) = self._evaluate("shared", numbers)
        arguments = [values[name] for name, _ in self.names]
        if self.device == "cuda":
            gpu.launch(self.path, self.op.name, grid, block, arguments, shared)
            return move(y, "cpu")
        with emulated(seed, sanitize):
            launch(self.path, self.op.name, grid, block, arguments, shared)
        return y


def _kept(op: Op, text: str) -> Path:
    """The text as a file, whose name stands in messages; the same text is not built twice."""
    folder = Path(tempfile.gettempdir()) / f"minigen-check-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{op.name}.cu"
    path.write_text(text, "utf-8")
    return path


OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.floordiv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "blocks": lambda n, size: -(-n // size),
    "min": min,
    "max": max,
}


def _number(node: ast.AST, values: Mapping[str, float]) -> float:
    """The value of `blocks(N, 16) * 2`: whole numbers, + - * / %, blocks, min and max."""
    match node:
        case ast.Constant(value=int() as value):
            return value
        case ast.Name(id=name):
            return values[name]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            return OPERATORS[type(op)](_number(left, values), _number(right, values))
        case ast.Call(func=ast.Name(id=name), args=parts) if name in FUNCTIONS:
            return FUNCTIONS[name](*(_number(part, values) for part in parts))
    raise TypeError("expected numbers, + - * / %, blocks(n, size), min, max and the kernel's sizes")

"""Numba CUDA kernels: on CuPy arrays by Numba on a GPU, on NumPy arrays thread by thread in Python.

    start(kernel, grid, block, a, b, y)       one launch of a function under @cuda.jit
    with without_gpu():                       in here kernel[grid, block](a, b, y) is simulated too

The simulator runs the kernel's own text. A kernel with cuda.syncthreads() becomes a generator that
yields there, so a block is a list of generators, and the order in which they go on comes from a
seed, as in kernels/cpu. It stops, with block, thread and line, at

    an index outside of an array, also a negative one, which Python would take;
    a race: two threads at one element of shared memory between two barriers, and one writes;
    a barrier that not all threads of a block reach.

Shared and local arrays are full of NaN at first. Not here: functions of warps (shuffles, votes),
and a barrier in a function that the kernel calls. Numba has a simulator of its own
(NUMBA_ENABLE_CUDASIM=1); it has no order to choose, and says nothing of a race.
"""

import ast
import inspect
import itertools
import math
import random
import sys
import textwrap
import types
from contextlib import ExitStack, contextmanager
from unittest import mock

import numba
import numpy as np
from numba import cuda

from minigen.kernels.cpu.runner import EmulationError, check_sizes, emulation
from minigen.kernels.launch import module_of, only_cuda


def supports_arrays(*arrays):
    """None, or why a Numba rung cannot run on these arrays here."""
    if reason := only_cuda(*arrays):
        return reason
    if isinstance(arrays[0], np.ndarray):
        return None
    return None if cuda.is_available() else "Numba finds no GPU; pip install numba-cuda"


def start(kernel, grid, block, *arguments):
    """Run a kernel; on a GPU in the stream that CuPy is in."""
    arrays = [a for a in arguments if hasattr(a, "shape") and a.shape]
    if isinstance(arrays[0], np.ndarray):
        return simulate(kernel, grid, block, arguments)
    numba.config.CUDA_LOW_OCCUPANCY_WARNINGS = 0  # small grids are for tests
    stream = cuda.external_stream(module_of(arrays[0]).cuda.get_current_stream().ptr)
    kernel[grid, block, stream](*arguments)


def simulate(kernel, grid, block, arguments):
    """One launch on NumPy arrays, in the order of the `emulated(seed)` around.

    Raises: EmulationError.
    """
    function = getattr(kernel, "py_func", kernel)
    grid, block = (x if isinstance(x, tuple) else (x,) for x in (grid, block))
    grid, block = (tuple(map(int, (*x, 1, 1)[:3])) for x in (grid, block))
    check_sizes(function.__name__, (*grid, *block), 0)
    names = inspect.signature(function).parameters
    if len(names) != len(arguments):
        expected = f"takes {len(names)} arguments ({', '.join(names)})"
        raise TypeError(f"{function.__name__}: {expected}, got {len(arguments)}")
    seen = Seen(function.__name__, grid, block, random.Random(emulation() and emulation().seed))
    text = prepare(function, seen)
    arguments = [
        Checked(a, name, seen) if isinstance(a, np.ndarray) and a.ndim else a
        for name, a in zip(names, arguments)
    ]
    with np.errstate(all="ignore"):
        seen.run(text, arguments, 0 if emulation() is None else emulation().seed)


# ------------------------------------------------------------------------------------- the launch


class Index:
    """threadIdx and its like."""

    def __init__(self, x, y, z):
        self.x, self.y, self.z = x, y, z

    def __str__(self):
        return f"({self.x}, {self.y}, {self.z})"


class Seen:
    """What a kernel sees under the name `cuda`, and the launch behind it."""

    warpsize = 32

    def __init__(self, name, grid, block, chance):
        self.name, self.gridDim, self.blockDim, self.chance = (
            name,
            Index(*grid),
            Index(*block),
            chance,
        )
        self.blockIdx = self.threadIdx = Index(0, 0, 0)
        self.interval = 0  # how many barriers lie behind
        self.const, self.atomic = self, Atomic()
        self.tiles = {}  # the shared arrays of this block, by the place that asks for them
        orders = [range(n) for n in reversed(block)]
        self.threads = [Index(x, y, z) for z, y, x in itertools.product(*orders)]
        orders = [range(n) for n in reversed(grid)]
        self.blocks = [Index(x, y, z) for z, y, x in itertools.product(*orders)]

    def run(self, text, arguments, seed):
        if seed:
            self.chance.shuffle(self.blocks)
        for block in self.blocks:
            self.blockIdx, self.tiles, self.interval = block, {}, 0
            turn = list(self.threads)[:: -1 if seed == 1 else 1]
            if seed > 1:
                self.chance.shuffle(turn)
            if not inspect.isgeneratorfunction(text):
                for thread in turn:
                    self.threadIdx = thread
                    text(*arguments)
                continue
            waiting = [(thread, text(*arguments)) for thread in turn]
            while waiting:
                arrived = []
                for thread, text_of_it in waiting:
                    self.threadIdx = thread
                    if (line := next(text_of_it, None)) is not None:
                        arrived.append((thread, line))
                self.interval += 1
                if not arrived:
                    break
                self.threadIdx, line = arrived[0]
                if len(arrived) < len(waiting):
                    self.fail("waits at a barrier that not all threads reach", line)
                if any(other != line for _, other in arrived):
                    self.fail("the threads of a block wait at different barriers", line)
                if seed > 1:
                    self.chance.shuffle(waiting)

    def fail(self, what, line):
        where = f"block {self.blockIdx}, thread {self.threadIdx}, line {line}"
        raise EmulationError(f"{self.name}: {where}: {what}")

    # what the kernel calls

    def grid(self, ndim):
        names = "xyz"[:ndim]
        at = [
            getattr(self.blockIdx, n) * getattr(self.blockDim, n) + getattr(self.threadIdx, n)
            for n in names
        ]
        return at[0] if ndim == 1 else tuple(at)

    def gridsize(self, ndim):
        sizes = [getattr(self.gridDim, n) * getattr(self.blockDim, n) for n in "xyz"[:ndim]]
        return sizes[0] if ndim == 1 else tuple(sizes)

    @property
    def laneid(self):
        t, size = self.threadIdx, self.blockDim
        return (t.x + size.x * (t.y + size.y * t.z)) % 32

    def array_like(self, a):  # cuda.const.array_like
        return a

    def shared_array(self, shape, dtype):  # cuda.shared.array, renamed by prepare()
        caller = sys._getframe(1)
        place = caller.f_code, caller.f_lasti
        if place not in self.tiles:
            name = f"shared memory of line {caller.f_lineno}"
            self.tiles[place] = Checked(nans(shape, dtype), name, self, shared=True)
        return self.tiles[place]

    def local_array(self, shape, dtype):
        return Checked(nans(shape, dtype), "a local array", self)

    def __getattr__(self, name):
        raise EmulationError(f"{self.name}: cuda.{name} is not in the simulator")


def nans(shape, dtype):
    """A new array whose bits are all 1: NaN, or nonsense among the whole numbers."""
    dtype = np.dtype(getattr(dtype, "name", dtype))  # Numba's types have names
    size = math.prod(shape) if isinstance(shape, tuple) else shape
    return np.full(size * dtype.itemsize, 255, np.uint8).view(dtype).reshape(shape)


class Checked:
    """An array that checks every index, and in shared memory who else was there."""

    def __init__(self, array, name, seen, shared=False):
        self.array, self.name, self.seen = array, name, seen
        self.marks = {} if shared else None  # index -> {thread: (interval, whether it wrote)}
        for attribute in ("shape", "ndim", "size", "dtype", "strides"):
            setattr(self, attribute, getattr(array, attribute))

    def __len__(self):
        return len(self.array)

    def __getitem__(self, index):
        self.look(index, False, sys._getframe(1).f_lineno)
        found = self.array[index]
        return Checked(found, self.name, self.seen) if isinstance(found, np.ndarray) else found

    def __setitem__(self, index, value):
        self.look(index, True, sys._getframe(1).f_lineno)
        self.array[index] = value.array if isinstance(value, Checked) else value

    def look(self, index, writes, line):
        indices = index if isinstance(index, tuple) else (index,)
        for i, n in zip(indices, self.shape):
            if not isinstance(i, slice) and not 0 <= i < n:
                did, at = "writes" if writes else "reads", ", ".join(map(str, indices))
                self.seen.fail(f"{did} {self.name}[{at}], which has the shape {self.shape}", line)
        if self.marks is not None:
            self.mark(indices, writes, line)

    def mark(self, index, writes, line):
        here, now = self.seen.threadIdx, self.seen.interval
        interval, writer, reader = self.marks.get(index, (now, None, None))
        if interval < now:
            writer = reader = None
        other = writer if writer not in (None, here) else reader
        if (writes or other is writer) and other not in (None, here):
            did = "writes" if writes else "reads"
            theirs = "wrote" if other is writer else "read"
            at, who = (
                ", ".join(map(str, index)),
                "others" if other == "others" else f"thread {other}",
            )
            self.seen.fail(
                f"{did} element [{at}] of the {self.name} which {who} {theirs}, "
                "and there is no barrier between: a race",
                line,
            )
        if writes:
            writer = here
        else:
            reader = here if reader in (None, here) else "others"
        self.marks[index] = now, writer, reader


class Atomic:
    """cuda.atomic: threads run one at a time, so each of these is one step. They are no race."""

    def add(self, a, index, value):
        return self.change(a, index, lambda old: old + value)

    def sub(self, a, index, value):
        return self.change(a, index, lambda old: old - value)

    def max(self, a, index, value):
        return self.change(a, index, lambda old: max(old, value))

    def min(self, a, index, value):
        return self.change(a, index, lambda old: min(old, value))

    def change(self, a, index, f):
        marks, a.marks = a.marks, None
        old = a[index]
        a[index] = f(old)
        a.marks = marks
        return old


# ------------------------------------------------------------------------------- the kernel's text


class _Barriers(ast.NodeTransformer):
    """cuda.syncthreads() -> yield LINE;  cuda.shared.array -> cuda.shared_array."""

    def visit_Expr(self, node):
        call = node.value
        if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "syncthreads":
            node.value = ast.copy_location(ast.Yield(ast.Constant(node.lineno)), call)
            return ast.fix_missing_locations(node)
        return self.generic_visit(node)

    def visit_Attribute(self, node):
        self.generic_visit(node)
        kind = getattr(node.value, "attr", "")
        if node.attr == "array" and kind in ("shared", "local"):
            node.value, node.attr = node.value.value, f"{kind}_array"
        return node


def prepare(function, seen, device=False):
    """The function with `seen` for `cuda`; a generator where it has barriers."""
    code = function.__code__
    if device and "syncthreads" in code.co_names:
        name = function.__name__
        raise EmulationError(f"{seen.name}: {name} has a barrier; write it into the kernel itself")
    nonlocals = inspect.getclosurevars(function).nonlocals
    names = {**function.__globals__, **nonlocals}
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    ast.increment_lineno(tree, code.co_firstlineno - 1)
    tree = _Barriers().visit(tree)
    tree.body[0].decorator_list = []
    for name in {*code.co_names, *nonlocals} & set(names):
        names[name] = _replaced(names[name], seen)
    exec(compile(tree, code.co_filename, "exec"), names)
    return names[tree.body[0].name]


def _replaced(value, seen):
    if value is cuda:
        return seen
    if value is numba:
        return types.SimpleNamespace(**{**vars(numba), "cuda": seen})
    if hasattr(value, "py_func") and type(value).__module__.startswith("numba.cuda"):
        return prepare(value.py_func, seen, device=True)
    return value


# ------------------------------------------------------------------------------- without a GPU


class HostArray(np.ndarray):
    """What cuda.to_device gives inside of without_gpu()."""

    def copy_to_host(self, ary=None):
        if ary is None:
            return np.array(self)
        ary[...] = self
        return ary


@contextmanager
def without_gpu():
    """Inside the block Numba's CUDA kernels run on the CPU, also the functions that move arrays."""

    def jit(function=None, *_, **settings):
        if callable(function):
            return original(function)
        return lambda f: original(f, device=True) if settings.get("device") else original(f)

    def launcher(kernel, how):
        return lambda *arguments: simulate(kernel, how[0], how[1], arguments)

    def device_array(shape, dtype=np.float64, **_):
        return nans(shape, dtype).view(HostArray)

    original = cuda.jit
    replaced = {
        "jit": jit,
        "to_device": lambda a, **_: np.array(a).view(HostArray),
        "device_array": device_array,
        "device_array_like": lambda a, **_: device_array(a.shape, a.dtype),
        "synchronize": lambda: None,
    }
    with ExitStack() as stack:
        for name, function in replaced.items():
            stack.enter_context(mock.patch.object(cuda, name, function))
        kind = type(original(lambda: None))
        stack.enter_context(mock.patch.object(kind, "__getitem__", launcher))
        yield

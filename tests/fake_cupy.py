"""A CuPy without a GPU: NumPy behind CuPy's rules, to find here what would fail there.

Its arrays are not NumPy's, do not become NumPy's by themselves, and do not mix with them; a
reduction gives an array with 0 axes, not a number; new memory is full of NaN. CUDA kernels run on
the emulator. A stream that is captured writes down what is done, with the numbers of that moment; a
graph does it again in the same memory, and what CUDA refuses meanwhile is refused.

What it knows nothing of: speed, memory that runs out, what runs at the same time, the last bits.
"""

import sys
import types
from contextlib import nullcontext

import numpy as np
import pytest

from minigen.kernels import gpu
from minigen.kernels.cpu import runner

SCALARS = (bool, int, float, np.generic)


class CUDARuntimeError(RuntimeError):
    pass


CUDARuntimeError.__module__ = "cupy"


class Tape:
    """What was done while a stream was captured; None of it outside."""

    steps = None  # [(function, the arrays that it filled)]


def do(function):
    """The result of `function()`, as ours; also written down where a stream is captured."""
    y = wrapped(function())
    if Tape.steps is not None:
        Tape.steps.append((function, y))
    return y


def synchronise():
    if Tape.steps is not None:
        raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: operation not permitted")


def library(function, *args, **settings):
    """cuBLAS, which CuPy does not let into a graph."""
    if Tape.steps is not None:
        raise NotImplementedError("calling cuBLAS API during stream capture is unsupported")
    return function(*args, **settings)


class Graph:
    def __init__(self, steps):
        self.steps, self.launches = steps, 0

    def upload(self):
        pass

    def launch(self):
        self.launches += 1
        for function, y in self.steps:
            for old, new in zip(*map(_flat, (y, wrapped(function())))):
                if not np.shares_memory(old.a, new.a):
                    old.a[...] = new.a


def _flat(x):
    return (
        [a for part in x for a in _flat(part)]
        if isinstance(x, tuple | list)
        else ([x] if isinstance(x, ndarray) else [])
    )


class Stream:
    def __init__(self, non_blocking=False):
        self.non_blocking = non_blocking

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def synchronize(self):
        synchronise()

    def begin_capture(self):
        assert self.non_blocking
        Tape.steps = []

    def end_capture(self):
        graph, Tape.steps = Graph(Tape.steps), None
        return graph


class ndarray:  # noqa: N801, as CuPy calls it
    """A NumPy array that says it is CuPy's."""

    __array_priority__ = 100

    def __init__(self, a):
        self.a = a

    shape = property(lambda self: self.a.shape)
    ndim = property(lambda self: self.a.ndim)
    size = property(lambda self: self.a.size)
    dtype = property(lambda self: self.a.dtype)
    itemsize = property(lambda self: self.a.itemsize)
    nbytes = property(lambda self: self.a.nbytes)
    flags = property(lambda self: self.a.flags)
    strides = property(lambda self: self.a.strides)
    T = property(lambda self: ndarray(self.a.T))
    data = property(lambda self: types.SimpleNamespace(ptr=self.a.ctypes.data))
    device = property(lambda self: types.SimpleNamespace(id=0))

    def get(self):
        synchronise()
        return self.a.copy()

    def item(self):
        return self.get().item()

    def tolist(self):
        return self.get().tolist()

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed; use .get()")

    def __array_ufunc__(self, ufunc, method, *inputs, **settings):
        if method != "__call__":
            return NotImplemented
        return do(lambda: ufunc(*map(plain, inputs), **plain(settings)))

    def __array_function__(self, function, kinds, args, settings):
        return do(lambda: function(*plain(args), **plain(settings)))

    def __len__(self):
        return len(self.a)

    def __bool__(self):
        return bool(self.get())

    def __int__(self):
        return int(self.get())

    def __float__(self):
        return float(self.get())

    def __getitem__(self, index):
        return do(lambda: self.a[plain(index)])

    def __setitem__(self, index, value):
        do(lambda: self.a.__setitem__(plain(index), plain(value)))

    __hash__ = None


def plain(x):
    """NumPy's arrays inside ours; an error for those that are NumPy's already."""
    if isinstance(x, ndarray):
        return x.a
    if isinstance(x, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if isinstance(x, dict):
        return {name: plain(value) for name, value in x.items()}
    return type(x)(map(plain, x)) if isinstance(x, tuple | list) else x


def wrapped(x):
    if isinstance(x, tuple | list):
        return type(x)(map(wrapped, x))
    return ndarray(np.asarray(x)) if isinstance(x, np.ndarray | np.generic) else x


def _method(name):
    def method(self, *args, **settings):
        return do(lambda: getattr(self.a, name)(*plain(args), **plain(settings)))

    return method


def _operator(name):
    def operator(self, other):
        if not isinstance(other, (ndarray, *SCALARS)):
            if hasattr(other, "__array_priority__") and not isinstance(other, np.ndarray):
                return NotImplemented
            raise TypeError(f"Unsupported type {type(other)}")
        if "matmul" in name:
            return library(wrapped, getattr(self.a, name)(plain(other)))
        return do(lambda: getattr(self.a, name)(plain(other)))

    def in_place(self, other):
        do(lambda: getattr(self.a, name)(plain(other)))
        return self

    return in_place if name.startswith("__i") and name != "__invert__" else operator


METHODS = (
    "all any argmax argmin argsort astype clip copy cumsum dot fill flatten max mean min prod "
    "ravel repeat reshape round squeeze std sum swapaxes take transpose var view"
)
OPERATORS = "add sub mul truediv floordiv mod pow matmul and or xor"
for name in METHODS.split():
    setattr(ndarray, name, _method(name))
for name in ["lt", "le", "gt", "ge", "eq", "ne"]:
    setattr(ndarray, f"__{name}__", _operator(f"__{name}__"))
for name in OPERATORS.split():
    for form in (name, "r" + name, "i" + name):
        setattr(ndarray, f"__{form}__", _operator(f"__{form}__"))
for name in ["neg", "abs", "invert"]:
    setattr(ndarray, f"__{name}__", _method(f"__{name}__"))
ndarray.__module__ = "cupy"


class _Space(types.ModuleType):
    """A module of NumPy's with our arrays in its functions; `used`: what was asked for."""

    def __init__(self, name, module, used):
        super().__init__(name)
        self.__dict__.update(_module=module, used=used)

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        found = getattr(self._module, name)
        self.used.add(f"{self.__name__}.{name}")
        if isinstance(found, types.ModuleType):
            return _Space(f"{self.__name__}.{name}", found, self.used)
        if isinstance(found, np.ufunc):
            return _Ufunc(found)
        if not callable(found) or isinstance(found, type):
            return found
        if name in ("einsum", "tensordot", "dot", "vdot"):
            return lambda *args: library(wrapped, found(*plain(args)))
        return lambda *args, **settings: do(lambda: found(*plain(args), **plain(settings)))


class _Ufunc:
    def __init__(self, ufunc):
        self.ufunc = ufunc

    def __call__(self, *args, out=None, **settings):
        to = None if out is None else out.a
        y = do(lambda: self.ufunc(*plain(args), out=to, **plain(settings)))
        return y if out is None else out

    def at(self, a, index, *values):
        do(lambda: self.ufunc.at(a.a, plain(index), *plain(values)))

    def reduceat(self, a, indices, axis=0):
        return do(lambda: self.ufunc.reduceat(a.a, plain(indices), axis))


def make():
    """The module, as a fresh one."""
    cupy = _Space("cupy", np, set())

    def asarray(x, dtype=None):
        return x if isinstance(x, ndarray) and dtype in (None, x.dtype) else array(x, dtype)

    def array(x, dtype=None):  # the one way in for NumPy's arrays
        if not isinstance(x, ndarray) and np.ndim(x):
            cupy.pinned(np.asarray(x).nbytes)
        return do(lambda: np.array(x.a if isinstance(x, ndarray) else x, dtype))

    def empty(shape, dtype=float):
        a = np.zeros(shape, dtype)
        if a.size:
            a.view(np.uint8)[...] = 255
        return ndarray(a)

    def matmul(a, b, out=None):
        y = library(np.matmul, a.a, b.a, out=None if out is None else out.a)
        return ndarray(y) if out is None else out

    def set_pinned_memory_allocator(allocator):
        cupy.__dict__["pinned"] = allocator

    limits = {"MaxSharedMemoryPerBlockOptin": 232448}
    device = types.SimpleNamespace(
        id=0, compute_capability="90", attributes=limits, synchronize=lambda: None
    )
    pool = types.SimpleNamespace(malloc=lambda size: None)
    runtime = types.SimpleNamespace(
        getDeviceCount=lambda: 1,
        getDeviceProperties=lambda i: {
            "totalGlobalMem": 2**36,
            "major": 9,
            "minor": 0,
            "name": b"a GPU that is none",
        },
        driverGetVersion=lambda: 12090,
        runtimeGetVersion=lambda: 12090,
    )
    own = {
        "ndarray": ndarray,
        "array": array,
        "asarray": asarray,
        "asnumpy": lambda x: x.get(),
        "empty": empty,
        "empty_like": lambda x: empty(x.shape, x.dtype),
        "matmul": matmul,
        "__version__": "14.0 without a GPU",
        "pinned": pool.malloc,
        "get_default_pinned_memory_pool": lambda: pool,
        "cuda": types.SimpleNamespace(
            Device=lambda i=0: device,
            MemoryPool=lambda: pool,
            Stream=Stream,
            get_current_stream=Stream,
            runtime=runtime,
            set_pinned_memory_allocator=set_pinned_memory_allocator,
            using_allocator=lambda malloc: nullcontext(),
        ),
    }
    cupy.__dict__.update(own)
    return cupy


def launch(source, kernel, grid, block, arguments, shared=0, defines=None):
    """In the place of minigen.kernels.gpu.launch: the same kernel, on the emulator."""
    for a in arguments:
        if isinstance(a, np.ndarray):
            raise TypeError(f"{kernel}: expected CuPy arrays, got NumPy's")
    given = [a.a if isinstance(a, ndarray) else a for a in arguments]
    do(lambda: runner.launch(source, kernel, grid, block, given, shared, defines))


@pytest.fixture
def fake_cupy(monkeypatch):
    """A machine that has this CuPy."""
    module = make()
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setattr(gpu, "launch", launch)
    gpu.require.cache_clear()
    yield module
    gpu.require.cache_clear()

"""Say what is installed, and which implementation of each op runs on this machine."""

import argparse
import importlib
import os
import platform
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from minigen import __version__, explain
from minigen.backend import GPUError, explain_on_gpu, rungs_of
from minigen.kernels import precision

EXAMPLES = """examples:
  minigen doctor
  MINIGEN_KERNELS=reference minigen doctor"""

PACKAGES = ("numpy", "numba", "matplotlib", "pillow", "safetensors", "tqdm", "threadpoolctl")
GPU_PACKAGES = ("cupy", "cupy-cuda12x", "cupy-cuda13x", "numba-cuda")

# the shapes of a small U-Net: arrays and settings of each op
SAMPLES: dict[str, tuple[list[tuple[int, ...]], dict[str, Any]]] = {
    "matmul": ([(64, 256, 128), (128, 128)], {}),
    "conv2d": ([(64, 16, 16, 64), (3, 3, 64, 64)], {"stride": 1, "padding": 1}),
    "conv2d_input_grad": (  # what conv_transpose2d is
        [(64, 8, 8, 64), (4, 4, 64, 64)],
        {"size": (16, 16), "stride": 2, "padding": 1},
    ),
    "scaled_dot_product_attention": ([(64, 4, 256, 32)] * 3, {"mask": None, "is_causal": False}),
    "group_norm": ([(64, 16, 16, 64), (64,), (64,)], {"num_groups": 8, "eps": 1e-5}),
    "layer_norm": ([(64, 16, 128), (128,), (128,)], {"eps": 1e-5}),
    "softmax": ([(64, 4, 256, 256)], {"axis": -1}),
    "silu": ([(64, 16, 16, 64)], {}),
    "gelu": ([(64, 16, 512)], {"approximate": "none"}),
}


def add_options(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """None of its own."""


def run(args: argparse.Namespace) -> int:
    for title, section in SECTIONS.items():
        print(f"{title}:")
        try:
            for line in section():
                print("  " + line)
        except Exception as error:  # a doctor must get to the end on any machine
            print(f"  could not be told: {type(error).__name__}: {error}")
    return 0


def _system() -> Iterator[str]:
    yield f"minigen {__version__} in {Path(__file__).resolve().parents[1]}"
    yield f"Python {platform.python_version()} in {sys.executable}"
    yield f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"


def _packages() -> Iterator[str]:
    for name in PACKAGES:
        yield f"{name:14} {_version(name) or 'is not installed'}"
    for name in GPU_PACKAGES:
        if found := _version(name):
            yield f"{name:14} {found}"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _blas() -> Iterator[str]:
    """Which library multiplies matrices, and in how many threads."""
    np.ones((2, 2)) @ np.ones((2, 2))
    try:
        from threadpoolctl import threadpool_info

        for pool in threadpool_info():
            if pool["user_api"] == "blas":
                yield f"{pool['internal_api']} {pool['version']}, {pool['num_threads']} threads"
    except ImportError:
        blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]  # type: ignore[index]
        yield f"{blas['name']} {blas['version']}; pip install threadpoolctl tells the threads"
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        if name in os.environ:
            yield f"{name}={os.environ[name]}"


def _gpu() -> Iterator[str]:
    gpu = importlib.import_module("minigen.kernels.gpu")
    try:
        cupy = gpu.require()
    except GPUError as error:
        yield str(error)
        yield "so everything runs on the CPU"
        return
    except Exception as error:  # CuPy's errors cannot be named without CuPy
        yield f"no usable GPU: {error}"
        return
    yield f"CuPy {cupy.__version__}"
    try:
        runtime = cupy.cuda.runtime
        for i in range(runtime.getDeviceCount()):
            found = runtime.getDeviceProperties(i)
            memory = found["totalGlobalMem"] / 2**30
            capability = f"{found['major']}.{found['minor']}"
            yield f"{found['name'].decode()}, {memory:.0f} GiB, compute capability {capability}"
        yield f"CUDA driver {runtime.driverGetVersion()}, runtime {runtime.runtimeGetVersion()}"
        total = int((cupy.arange(4) ** 2).sum())  # compiles a kernel, for which NVRTC needs headers
        yield "CuPy computes" if total == 14 else f"CuPy gives a wrong sum: {total}"
        ones = cupy.ones((2, 2), "float32")
        naive = importlib.import_module("minigen.kernels.matmul.k1_naive")
        total = int(naive.launch(ones, ones)[0].sum())
        yield "our kernels compute" if total == 8 else f"our kernels give a wrong sum: {total}"
    except Exception as error:
        yield f"no usable GPU: {error}"


def _cuda_kernels() -> Iterator[str]:
    """What builds them, and which would run on a GPU, also where there is none."""
    others = ", ".join(precision.PRECISIONS)
    yield f"precision {precision.current()}; MINIGEN_PRECISION chooses one of {others}"
    yield importlib.import_module("minigen.kernels.build").report()
    try:
        _, compiler = importlib.import_module("minigen.kernels.cpu.build").find_compiler()
        yield f"on the CPU, for tests and students, by {compiler}"
    except RuntimeError as error:
        yield str(error)
    for op, (shapes, settings) in SAMPLES.items():
        yield explain_on_gpu(op, *(np.zeros(shape, np.float32) for shape in shapes), **settings)


def _kernels() -> Iterator[str]:
    """What would run for float32 arrays of a small U-Net's shapes."""
    chosen = os.environ.get("MINIGEN_KERNELS")
    yield f"MINIGEN_KERNELS={chosen}" if chosen else 'MINIGEN_KERNELS is not set, so "auto" is used'
    on_gpu = _to_gpu()
    for op, (shapes, settings) in SAMPLES.items():
        arrays = [np.zeros(shape, np.float32) for shape in shapes]
        yield explain(op, *arrays, **settings)
        if on_gpu and rungs_of(op):
            yield explain(op, *map(on_gpu, arrays), **settings)
    yield "all other ops: the reference, or kernels where a folder has any: kernels/README.md"
    for name in ("pool", "tuning"):
        yield f"{name}: {importlib.import_module(f'minigen.kernels.{name}').report()}"


def _to_gpu() -> Callable[[np.ndarray], Any] | None:
    """cupy.asarray, where there is a GPU."""
    try:
        cupy = importlib.import_module("cupy")
        cupy.zeros(1)
        return cupy.asarray
    except Exception:
        return None


def _data() -> Iterator[str]:
    from minigen.data.mnist import FASHION_MNIST, MNIST, cache_folder

    places = {"MINIGEN_DATA": os.environ.get("MINIGEN_DATA"), "cache": cache_folder()}
    for name, place in places.items():
        if not place:
            yield f"{name} is not set"
            continue
        if not Path(place).is_dir():
            yield f"{name} is {place}, which is no folder yet"
            continue
        yield f"{name} is {place}"
        for data in (MNIST, FASHION_MNIST):
            names = [p.name.removesuffix(".gz") for p in (Path(place) / data.name).glob("*")]
            found = sum(file in names for file in data.sums)
            yield f"  {data.name}: {found} of {len(data.sums)} files"


def _weights() -> Iterator[str]:
    from minigen import weights
    from minigen.train import DamagedFileError, load_weights

    for name in weights.names():
        path = weights.find(name)
        try:
            state, _ = load_weights(path)  # looks at the digest too
        except DamagedFileError as error:
            yield str(error)
            continue
        numbers = sum(a.size for a in state.values()) / 1e6
        yield f"{name}: {numbers:.2f} million numbers, {path.stat().st_size / 1e6:.1f} MB, whole"
    if not weights.names():
        yield "none ship"


SECTIONS: dict[str, Callable[[], Iterator[str]]] = {
    "system": _system,
    "packages": _packages,
    "BLAS": _blas,
    "GPU": _gpu,
    "kernels": _kernels,
    "CUDA kernels": _cuda_kernels,
    "data": _data,
    "weights": _weights,
}

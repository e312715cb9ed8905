"""Launches of CUDA kernels on CuPy arrays, and plain words for what can go wrong there.

    launch(source, "matmul", grid, block, [a, b, y, M, N, K])     what CudaFile.launch calls

A kernel is built for the GPU that is current (build.py) and put into the current stream.
"""

import importlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from minigen.kernels.build import build
from minigen.kernels.errors import GPUError, GPUMemoryError
from minigen.kernels.signature import Parameter, check, parameters_of, wrong_sizes

INSTALL = 'pip install "minigen[cuda12]" or "minigen[cuda13]"; nvidia-smi says which CUDA'
STATIC = 48 << 10  # bytes of shared memory that a kernel has without asking for more


def launch(
    source: Path,
    kernel: str,
    grid: Sequence[int],
    block: Sequence[int],
    arguments: Sequence[Any],
    shared: int = 0,
    defines: Mapping[str, object] | None = None,
) -> None:
    """Put one kernel of a .cu file into the current stream, for a grid of blocks.

    Raises: GPUError; CompileError; TypeError for arguments that do not fit; ValueError for a grid
    or a block that no GPU takes.
    """
    cupy = require()
    device = cupy.cuda.Device()
    sizes = (*grid, 1, 1)[:3] + (*block, 1, 1)[:3]
    names = tuple(sorted((defines or {}).items()))
    stamp = source.stat().st_mtime_ns  # a student edits it between two launches
    function, parameters = _loaded(source, stamp, kernel, names, device.id)
    fitting = check(kernel, parameters, arguments, lambda a: _pointer(kernel, a, device.id))
    _check_sizes(kernel, sizes, shared, device)
    # CuPy takes None for an argument that is not there, not for the pointer to nothing
    values = tuple(np.uint64(0) if a is None else a for a in fitting)
    with plain_errors(f"{kernel}, {sizes[:3]} blocks of {sizes[3:]} threads"):
        if shared > STATIC and function.max_dynamic_shared_size_bytes < shared:
            function.max_dynamic_shared_size_bytes = shared
        function(sizes[:3], sizes[3:], values, shared_mem=shared)


@cache
def _loaded(
    source: Path, stamp: int, kernel: str, defines: tuple[tuple[str, object], ...], device: int
) -> tuple[Any, list[Parameter]]:
    """A kernel on a GPU, as CuPy's RawKernel, and its parameters."""
    parameters = parameters_of(source, kernel)
    cupy = require()
    built = build(source, arch_of(cupy.cuda.Device(device).compute_capability), dict(defines))
    with plain_errors(f"{source.name} cannot be loaded"):
        function = cupy.RawModule(path=str(built.cubin)).get_function(kernel)
        _ = function.num_regs  # loads it now: what fails, fails here
    return function, parameters


def arch_of(capability: str) -> str:
    """What to build for: "86" -> "86", but "90" -> "90a", which has all that a Hopper can do."""
    return "90a" if capability == "90" else capability


def capability() -> tuple[int, int]:
    """That of the current GPU: (8, 6) of an RTX 3090. Raises: GPUError."""
    digits = str(require().cuda.Device().compute_capability)
    return int(digits[:-1]), int(digits[-1])


def _pointer(kernel: str, a: Any, device: int) -> int:
    if type(a).__module__.partition(".")[0] != "cupy":
        raise TypeError(f"{kernel}: expected CuPy arrays, got a {type(a).__name__}; move it first")
    if a.device.id != device:
        raise GPUError(
            f"{kernel}: an array is on GPU {a.device.id}, the current one is GPU {device}; "
            f"copy it, or work inside `with cupy.cuda.Device({a.device.id}):`"
        )
    return a.data.ptr


def _check_sizes(kernel: str, sizes: Sequence[int], shared: int, device: Any) -> None:
    if wrong := wrong_sizes(kernel, sizes):
        raise ValueError(wrong)
    if shared > STATIC:
        most = device.attributes["MaxSharedMemoryPerBlockOptin"]
        if shared > most:
            raise GPUError(f"{kernel}: {shared} bytes of shared memory; this GPU has {most}")


# --------------------------------------------------------------------------- what can go wrong


@cache
def require() -> Any:
    """The module cupy, on a machine where it can run.

    Raises: GPUError: CuPy is missing, the driver is missing or too old, or there is no GPU.
    """
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as error:
        if error.name == "cupy":
            raise GPUError(f"CuPy is not installed: {INSTALL}") from error
        raise GPUError(f"CuPy cannot be imported ({error}): {INSTALL}") from error
    with plain_errors("no usable GPU"):
        if cupy.cuda.runtime.getDeviceCount() < 1:
            raise GPUError("no usable GPU: CUDA finds none")
        cupy.cuda.Device().compute_capability  # noqa: B018, fails where the GPU cannot be used
    return cupy


@contextmanager
def plain_errors(doing: str) -> Iterator[None]:
    """Inside the block, CuPy's errors become GPUErrors that say what to do."""
    try:
        yield
    except GPUError:
        raise
    except Exception as error:
        plain = _in_plain_words(doing, error)
        if plain is None:
            raise
        raise plain from error


def _in_plain_words(doing: str, error: Exception) -> GPUError | None:
    """None for an error that is not CUDA's or CuPy's."""
    if type(error).__module__.partition(".")[0] not in ("cupy", "cupy_backends"):
        return None
    text = str(error)
    if isinstance(error, MemoryError) or "OUT_OF_MEMORY" in text or "MemoryAllocation" in text:
        return GPUMemoryError(f"{doing}: the GPU's memory is full: {text}; work on less at a time")
    for names, advice in ADVICE.items():
        if any(name in text for name in names.split()):
            return GPUError(f"{doing}: {advice()} ({text})")
    return GPUError(f"{doing}: {text}")


def _about_the_driver() -> str:
    cuda = importlib.import_module("cupy").cuda.runtime
    has, needs = (f"{n // 1000}.{n % 1000 // 10}" for n in _versions(cuda))
    if has == "0.0":
        return "there is no NVIDIA driver here"
    return (
        f"the driver is for CUDA {has}, and CuPy for {needs}: install a newer driver, or {INSTALL}"
    )


def _versions(cuda: Any) -> tuple[int, int]:
    return cuda.driverGetVersion(), cuda.runtimeGetVersion()


def _about_the_devices() -> str:
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    return "there is no GPU here" if hidden is None else f"CUDA_VISIBLE_DEVICES is {hidden!r}"


ADVICE = {  # words in CUDA's error -> what it means to a user
    "cudaErrorInsufficientDriver cudaErrorSystemDriverMismatch": _about_the_driver,
    "cudaErrorNoDevice CUDA_ERROR_NO_DEVICE cudaErrorInvalidDevice": _about_the_devices,
    "CUDA_ERROR_NO_BINARY_FOR_GPU CUDA_ERROR_INVALID_IMAGE CUDA_ERROR_UNSUPPORTED_PTX_VERSION "
    "CUDA_ERROR_INVALID_SOURCE": lambda: (
        f"the driver cannot load what NVRTC built: install a newer driver, or {INSTALL}"
    ),
    "IllegalAddress ILLEGAL_ADDRESS MisalignedAddress MISALIGNED_ADDRESS LaunchFailure "
    "LAUNCH_FAILED": lambda: (
        "a kernel went beyond an array, and this process cannot use the GPU any more; "
        'minigen.kernels.cpu.run(..., sanitize="address") finds the line'
    ),
    "LaunchOutOfResources LAUNCH_OUT_OF_RESOURCES": lambda: (
        "a block takes more registers or shared memory than a multiprocessor has"
    ),
}

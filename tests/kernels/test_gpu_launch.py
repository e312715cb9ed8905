"""Launches on CuPy arrays, with a CuPy that only writes down what it is asked for.

What must be right is decided before the GPU is reached: the arguments, the architecture, the shared
memory, the words for each error. The tests marked `gpu` launch in earnest.
"""

import os
import sys
import types

import numpy as np
import pytest

from minigen.kernels import gpu
from minigen.kernels.build import Built
from minigen.kernels.errors import GPUError, GPUMemoryError
from minigen.kernels.launch import CudaFile

TEXT = """
extern "C" __global__ void add(const float* a, float* y, const float* maybe, int n, float f) {}
"""


class CUDARuntimeError(RuntimeError):
    pass


class OutOfMemoryError(MemoryError):
    pass


class ndarray:  # noqa: N801, as CuPy calls it
    def __init__(self, a, device=0):
        self.a, self.device = a, types.SimpleNamespace(id=device)
        self.dtype, self.flags, self.shape = a.dtype, a.flags, a.shape
        self.data = types.SimpleNamespace(ptr=a.ctypes.data)


for kind in (CUDARuntimeError, OutOfMemoryError, ndarray):
    kind.__module__ = "cupy.fake"


class FakeCupy(types.ModuleType):
    """One GPU of compute capability 9.0, or what `failure` says."""

    def __init__(self):
        super().__init__("cupy")
        self.launches, self.built, self.failure = [], [], None
        self.driver, self.count = 12090, 1

        def device(i=0):
            limits = {"MaxSharedMemoryPerBlockOptin": 232448}
            return types.SimpleNamespace(id=i, compute_capability="90", attributes=limits)

        def get_device_count():
            if self.driver < 12000:
                raise CUDARuntimeError("cudaErrorInsufficientDriver: too old")
            if not self.count:
                raise CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")
            return self.count

        runtime = types.SimpleNamespace(
            getDeviceCount=get_device_count,
            driverGetVersion=lambda: self.driver,
            runtimeGetVersion=lambda: 12090,
        )
        self.cuda = types.SimpleNamespace(Device=device, runtime=runtime)

    def RawModule(self, path):  # noqa: N802
        cupy = self

        class Function:
            num_regs = 8
            max_dynamic_shared_size_bytes = 49152

            def __call__(self, grid, block, arguments, shared_mem):
                if cupy.failure:
                    raise cupy.failure
                most = self.max_dynamic_shared_size_bytes
                cupy.launches.append((grid, block, arguments, shared_mem, most))

        return types.SimpleNamespace(get_function=lambda name: Function())


@pytest.fixture
def cupy(monkeypatch, tmp_path):
    """The fake in the place of CuPy, and no compiler."""
    fake = FakeCupy()

    def build(source, arch, defines):
        fake.built.append((source.name, arch, defines))
        return Built(tmp_path / "built.cubin", {})

    monkeypatch.setitem(sys.modules, "cupy", fake)
    monkeypatch.setattr(gpu, "build", build)
    for cached in (gpu.require, gpu._loaded):
        cached.cache_clear()
    yield fake
    for cached in (gpu.require, gpu._loaded):
        cached.cache_clear()


@pytest.fixture
def file(tmp_path):
    (tmp_path / "add.cu").write_text(TEXT)
    return CudaFile(tmp_path / "add.py", TILE=16)


def arrays(n=4, device=0):
    return [ndarray(np.ones(n, np.float32), device) for _ in range(2)]


# ----------------------------------------------------------------------------------------- it works


def test_a_launch_reaches_the_gpu_with_typed_arguments(cupy, file):
    a, y = arrays()
    file.launch("add", (3,), (32, 2), a, y, None, 4, 0.5, WIDE=1)
    (grid, block, arguments, shared, _) = cupy.launches[0]
    assert (grid, block, shared) == ((3, 1, 1), (32, 2, 1), 0)
    assert arguments[:2] == (a, y)
    assert [type(x) for x in arguments[2:]] == [np.uint64, np.int32, np.float32]
    assert arguments[2] == 0  # the pointer to nothing; CuPy takes None for no argument at all
    assert cupy.built == [("add.cu", "90a", {"TILE": 16, "WIDE": 1})]


def test_a_kernel_is_built_once_and_again_when_its_file_has_changed(cupy, file):
    a, y = arrays()
    for _ in range(3):
        file.launch("add", (1,), (1,), a, y, None, 4, 0.5)
    assert len(cupy.built) == 1
    os.utime(file.source, ns=(1, 1))
    file.launch("add", (1,), (1,), a, y, None, 4, 0.5)
    assert len(cupy.built) == 2


@pytest.mark.parametrize(("shared", "most"), [(49152, 49152), (100_000, 100_000)])
def test_more_shared_memory_than_48_kib_is_asked_for(cupy, file, shared, most):
    a, y = arrays()
    file.launch("add", (1,), (1,), a, y, None, 4, 0.5, shared=shared)
    assert cupy.launches[0][3:] == (shared, most)


@pytest.mark.parametrize(("capability", "arch"), [("75", "75"), ("86", "86"), ("90", "90a")])
def test_a_hopper_gets_all_its_instructions(capability, arch):
    assert gpu.arch_of(capability) == arch


# ------------------------------------------------------------------------- it does not: plain words


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"driver": 0}, "no usable GPU: there is no NVIDIA driver here"),
        ({"driver": 11040}, "the driver is for CUDA 11.4, and CuPy for 12.9: install a newer"),
        ({"count": 0}, "no usable GPU: CUDA_VISIBLE_DEVICES is '7'"),
    ],
)
def test_a_machine_that_cannot_says_what_is_missing(cupy, file, monkeypatch, change, message):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    vars(cupy).update(change)
    a, y = arrays()
    with pytest.raises(GPUError, match=message):
        file.launch("add", (1,), (1,), a, y, None, 4, 0.5)


def test_without_cupy_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    gpu.require.cache_clear()
    with pytest.raises(GPUError, match=r'pip install "minigen\[cuda12\]"'):
        gpu.require()


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (OutOfMemoryError("Out of memory allocating 4 bytes"), "the GPU's memory is full: Out of"),
        (CUDARuntimeError("CUDA_ERROR_ILLEGAL_ADDRESS: x"), "went beyond an array"),
        (CUDARuntimeError("CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES: x"), "more registers or shared"),
        (CUDARuntimeError("CUDA_ERROR_UNSUPPORTED_PTX_VERSION: x"), "install a newer driver"),
        (
            CUDARuntimeError("cudaErrorUnknown: x"),
            r"add, \(2, 1, 1\) blocks of \(8, 1, 1\) threads",
        ),
    ],
)
def test_an_error_of_cuda_says_what_to_do(cupy, file, failure, message):
    cupy.failure = failure
    a, y = arrays()
    with pytest.raises(GPUError, match=message):
        file.launch("add", (2,), (8,), a, y, None, 4, 0.5)


def test_no_memory_is_a_memory_error_too(cupy, file):
    cupy.failure = OutOfMemoryError("full")
    with pytest.raises(MemoryError):
        file.launch("add", (1,), (1,), *arrays(), None, 4, 0.5)


def test_an_error_that_is_not_cudas_stays_what_it_is(cupy, file):
    cupy.failure = ZeroDivisionError("mine")
    with pytest.raises(ZeroDivisionError):
        file.launch("add", (1,), (1,), *arrays(), None, 4, 0.5)


def test_an_array_on_another_gpu_is_named(cupy, file):
    with pytest.raises(GPUError, match=r"add: an array is on GPU 1, the current one is GPU 0"):
        file.launch("add", (1,), (1,), *arrays(device=1), None, 4, 0.5)


def test_an_array_of_numpy_beside_cupys_is_an_error(cupy, file):
    a, _ = arrays()
    with pytest.raises(TypeError, match=r"add: .*NumPy"):
        file.launch("add", (1,), (1,), a, np.ones(4, np.float32), None, 4, 0.5)


@pytest.mark.parametrize(
    ("grid", "block", "shared", "error", "message"),
    [
        ((0,), (1,), 0, ValueError, "the grid's x is 0, it must be 1 to 2147483647"),
        ((1, 70000), (1,), 0, ValueError, "the grid's y is 70000, it must be 1 to 65535"),
        ((1,), (1, 1, 65), 0, ValueError, "the block's z is 65"),
        ((1,), (64, 32), 0, ValueError, "a block of .* threads; 1024 are the most"),
        ((1,), (1,), 300_000, GPUError, "300000 bytes of shared memory; this GPU has 232448"),
    ],
)
def test_a_grid_that_no_gpu_takes_is_refused(cupy, file, grid, block, shared, error, message):
    with pytest.raises(error, match=message):
        file.launch("add", grid, block, *arrays(), None, 4, 0.5, shared=shared)
    assert not cupy.launches


def test_a_kernel_that_is_not_in_the_file_is_named(cupy, file):
    with pytest.raises(ValueError, match=r"add.cu: has no kernel 'sub', it has \['add'\]"):
        file.launch("sub", (1,), (1,), *arrays())


# ---------------------------------------------------------------------------------------- on a GPU


SQUARES = """
#include "mg.cuh"
extern "C" __global__ void squares(const float* a, float* y, const float* plus, int n) {
  MG_DYNAMIC_SHARED(float, row);
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  row[threadIdx.x] = i < n ? a[i] : 0;
  __syncthreads();
  if (i < n) y[i] = row[threadIdx.x] * row[threadIdx.x] + (plus ? plus[i] : 0);
}
"""


@pytest.mark.gpu
@pytest.mark.parametrize("shared", [256, 60_000])
def test_a_kernel_computes_on_the_gpu(real_cupy, tmp_path, shared):
    (tmp_path / "squares.cu").write_text(SQUARES)
    a = real_cupy.arange(100, dtype="float32")
    y = real_cupy.full(100, np.nan, "float32")
    file = CudaFile(tmp_path / "squares.cu")
    file.launch("squares", (2,), (64,), a, y, None, 100, shared=shared)
    np.testing.assert_array_equal(y.get(), np.arange(100.0, dtype="f") ** 2)
    file.launch("squares", (2,), (64,), a, y, a, 100, shared=shared)
    np.testing.assert_array_equal(y.get(), np.arange(100.0, dtype="f") * np.arange(1, 101))


@pytest.mark.gpu
def test_a_launch_goes_into_the_current_stream(real_cupy, tmp_path):
    (tmp_path / "squares.cu").write_text(SQUARES)
    a = real_cupy.ones(64, dtype="float32")
    y = real_cupy.zeros(64, dtype="float32")
    real_cupy.cuda.Device().synchronize()
    with real_cupy.cuda.Stream(non_blocking=True) as stream:
        CudaFile(tmp_path / "squares.cu").launch("squares", (1,), (64,), a, y, None, 64, shared=256)
        stream.synchronize()
    assert float(y.sum()) == 64


@pytest.mark.gpu
def test_too_much_memory_is_said_in_plain_words(real_cupy):
    with (
        pytest.raises(GPUMemoryError, match="the GPU's memory is full"),
        gpu.plain_errors("test"),
    ):
        real_cupy.empty(1 << 50, "uint8")

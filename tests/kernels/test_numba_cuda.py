"""Numba CUDA rungs: what they compute, that they compile to PTX, and what the simulator stops."""

import importlib
import os
import subprocess
import sys

import numpy as np
import pytest
from close import assert_close
from cuda_rungs import WHERE, launch, rungs_of
from numba import cuda, float32

from minigen.backend import KernelError, explain, use_kernels
from minigen.kernels.cpu import EmulationError, emulated
from minigen.kernels.simulator import simulate, without_gpu
from minigen.ops import conv2d, scaled_dot_product_attention, softmax

everywhere = pytest.mark.parametrize("where", WHERE)


def normal(rng, *shape):
    return rng.standard_normal(shape, np.float32)


def exact(op, *arrays, **settings):
    return op.forward(*(a.astype(float) for a in arrays), **settings).astype(np.float32)


# ---------------------------------------------------------------------------------------- the rungs


@everywhere
@pytest.mark.parametrize("size", [(1, 1, 1), (15, 16, 17), (16, 16, 16), (3, 18, 19)], ids=str)
@pytest.mark.parametrize("rung", rungs_of("matmul", "numba"))
def test_matmul(rung, size, where, rng):
    M, N, K = size
    a, b = normal(rng, M, K), normal(rng, N, K).T  # b: a view
    y = launch(where, f"matmul/{rung}", [a, b])
    assert_close(y, (a.astype(float) @ b).astype(np.float32), K)


@pytest.mark.parametrize("rung", rungs_of("matmul", "numba"))
def test_matmul_with_leading_axes(rung, rng):
    a, b = normal(rng, 2, 3, 4, 5), normal(rng, 2, 3, 5, 2)
    y = launch(0, f"matmul/{rung}", [a, b])
    assert_close(y, (a.astype(float) @ b).astype(np.float32), 5)


@everywhere
@pytest.mark.parametrize("rung", rungs_of("conv2d", "numba"))
@pytest.mark.parametrize(
    ("x", "w", "settings"),
    [
        ((1, 1, 1, 1), (1, 1, 1, 1), {}),
        ((2, 5, 4, 3), (3, 3, 3, 4), {"padding": 1}),
        ((1, 7, 6, 2), (2, 3, 2, 3), {"stride": (2, 1), "padding": (1, 2)}),
    ],
    ids=str,
)
def test_conv2d(rung, x, w, settings, where, rng):
    x, w = normal(rng, *x), normal(rng, *w)
    y = launch(where, f"conv2d/{rung}", [x, w], **settings)
    assert_close(y, exact(conv2d, x, w, **settings), 18)


@everywhere
@pytest.mark.parametrize("shape", [(1, 1), (2, 127), (2, 128), (2, 1, 129), (300,)], ids=str)
@pytest.mark.parametrize("rung", rungs_of("softmax", "numba"))
def test_softmax(rung, shape, where, rng):
    x = 30 * normal(rng, *shape)
    assert_close(launch(where, f"softmax/{rung}", [x]), exact(softmax, x), 30)


@everywhere
@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("size", [(1, 1, 1, 1), (7, 5, 3, 2), (65, 4, 2, 3)], ids=str)
@pytest.mark.parametrize("rung", rungs_of("scaled_dot_product_attention", "numba"))
def test_attention(rung, size, is_causal, where, rng):
    L, S, DH, DV = size
    q, k, v = normal(rng, 2, L, DH), normal(rng, 2, S, DH), normal(rng, 2, S, DV)
    name = f"scaled_dot_product_attention/{rung}"
    y = launch(where, name, [q, k, v], is_causal=is_causal)
    assert_close(y, exact(scaled_dot_product_attention, q, k, v, is_causal=is_causal), 10)


@everywhere
@pytest.mark.parametrize("n", [1, 255, 256, 257])
@pytest.mark.parametrize("factors", [(0.5, -2.0), (0.5, -2.0, 3.0)], ids=len)
@pytest.mark.parametrize("rung", rungs_of("affine_step", "numba"))
def test_affine_step(rung, factors, n, where, rng):
    arrays = [normal(rng, n) for _ in factors]
    y = launch(where, f"affine_step/{rung}", arrays, factors=factors)
    assert_close(y, sum(f * x.astype(float) for f, x in zip(factors, arrays)).astype(np.float32), 3)


ALL = [
    f"{op}/{rung}"
    for op in (
        "matmul",
        "conv2d",
        "softmax",
        "scaled_dot_product_attention",
        "affine_step",
        "denoise_step",
    )
    for rung in rungs_of(op, "numba")
]


def test_the_rungs_in_cpp_come_before_those_in_numba():
    assert len(ALL) == 7
    for op in {name.partition("/")[0] for name in ALL}:
        rungs = importlib.import_module(f"minigen.kernels.{op}").CUDA_RUNGS
        numbas = [rung.startswith("numba") for rung in rungs]
        assert numbas == sorted(numbas, reverse=True)  # auto takes the last one


def test_numpy_arrays_are_for_the_simulator_only():
    a = np.ones((2, 2), np.float32)
    with use_kernels(matmul="numba_naive"):
        assert "it takes CuPy arrays" in explain("matmul", a, a)
        with emulated():
            assert "asked for by name" in explain("matmul", a, a)
    with use_kernels("auto"), emulated():
        assert "cpu_threads" in explain("matmul", a, a)
    with pytest.raises(KernelError):
        use_kernels(matmul="numba_fast")


PTX = """
import importlib
from numba import cuda, float32, int32, int64, boolean
rows = slice(None, None, 1)  # as C lays an array down
arrays = [None, *(float32[(slice(None),) * n + (rows,)] for n in range(4))]
ATTENTION = "scaled_dot_product_attention.numba_naive"
STEP = (arrays[1],) * 4 + (arrays[2],)
KERNELS = [
    ("matmul.numba_naive", "matmul", (arrays[3],) * 3),
    ("matmul.numba_shared_tile", "matmul", (arrays[3],) * 3),
    ("conv2d.numba_naive", "conv2d", (arrays[4],) * 3 + (int64,) * 4),
    ("softmax.numba_shared", "softmax", (arrays[2],) * 2),
    (ATTENTION, "attention", (arrays[3],) * 4 + (float32, boolean)),
    ("affine_step.numba_naive", "two", (arrays[1],) * 3 + (float32,) * 2),
    ("affine_step.numba_naive", "three", (arrays[1],) * 4 + (float32,) * 3),
    ("denoise_step.numba_naive", "denoise_step", (*STEP, int32[rows], boolean, boolean)),
]
for module, name, types in KERNELS:
    kernel = getattr(importlib.import_module("minigen.kernels." + module), name)
    for cc in ((7, 5), (8, 0), (9, 0)):
        ptx, _ = cuda.compile_ptx(kernel.py_func, types, cc=cc)
        assert ".visible .entry" in ptx and ".f64" not in ptx, (module, name, cc)
        assert ("bar.sync" in ptx) == ("shared" in module), module
print(len(KERNELS))
"""


def test_the_kernels_compile_to_ptx_without_a_double_in_them():
    """With numba-cuda in this Python, or in the one that MINIGEN_CUDA_PYTHON names."""
    python = os.environ.get("MINIGEN_CUDA_PYTHON", sys.executable)
    try_it = [python, "-c", "import numba_cuda, cuda.bindings.nvvm as n; n.version()"]
    if subprocess.run(try_it, capture_output=True).returncode:
        pytest.skip("needs numba-cuda and NVVM: pip install numba-cuda[cu12]")
    paths = os.pathsep.join(p for p in sys.path if p and "site-packages" not in p)
    done = subprocess.run(
        [python, "-c", PTX], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": paths}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "8"


# ------------------------------------------------------------------------------------ the simulator

SIZE = 8


@cuda.jit(device=True)
def twice(x):
    return x * float32(2)


@cuda.jit
def turned(x, y):
    tile = cuda.shared.array(SIZE, float32)
    i = cuda.grid(1)
    tile[cuda.threadIdx.x] = twice(x[i])
    cuda.syncthreads()
    y[i] = tile[SIZE - 1 - cuda.threadIdx.x]


@pytest.mark.parametrize("seed", range(4))
def test_blocks_share_memory_and_wait(seed, rng):
    x, y = normal(rng, 16), np.zeros(16, np.float32)
    with emulated(seed):
        simulate(turned, 2, SIZE, (x, y))
    assert_close(y, 2 * x.reshape(2, 8)[:, ::-1].reshape(16))


@cuda.jit
def no_barrier(y):
    tile = cuda.shared.array(SIZE, float32)
    i = cuda.threadIdx.x
    tile[i] = i
    if y[0] < 0:
        cuda.syncthreads()
    y[i] = tile[SIZE - 1 - i]


@cuda.jit
def no_second_barrier(y):
    tile = cuda.shared.array(SIZE, float32)
    i = cuda.threadIdx.x
    for k in range(2):
        tile[i] = i + k
        cuda.syncthreads()
        y[i] += tile[SIZE - 1 - i]


@cuda.jit
def all_write_one(y):
    tile = cuda.shared.array(1, float32)
    tile[0] = cuda.threadIdx.x
    cuda.syncthreads()
    y[cuda.threadIdx.x] = tile[0]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kernel", [no_barrier, no_second_barrier, all_write_one])
def test_races_are_found_in_any_order(kernel, seed):
    with emulated(seed), pytest.raises(EmulationError, match=r"line \d+: \w+ element .* a race"):
        simulate(kernel, 1, SIZE, (np.zeros(SIZE, np.float32),))


@cuda.jit
def atomic_sum(x, y):
    total = cuda.shared.array(1, float32)
    if cuda.threadIdx.x == 0:
        total[0] = 0
    cuda.syncthreads()
    cuda.atomic.add(total, 0, x[cuda.threadIdx.x])
    cuda.syncthreads()
    y[cuda.threadIdx.x] = total[0]


def test_atomics_are_no_race():
    y = np.zeros(SIZE, np.float32)
    simulate(atomic_sum, 1, SIZE, (np.ones(SIZE, np.float32), y))
    assert_close(y, np.full(SIZE, SIZE, np.float32))


@cuda.jit
def some_return(y):
    if cuda.threadIdx.x < 3:
        cuda.syncthreads()
    y[cuda.threadIdx.x] = 1


@cuda.jit
def two_barriers(y):
    if cuda.threadIdx.x < 3:
        cuda.syncthreads()
    else:
        cuda.syncthreads()


@cuda.jit
def beyond(y):
    y[cuda.grid(1) + 1] = 1


@cuda.jit
def before(y):
    y[cuda.grid(1)] = y[cuda.grid(1) - 1]


@cuda.jit
def shuffled(y):
    y[cuda.grid(1)] = cuda.shfl_down_sync(0xFFFFFFFF, y[cuda.grid(1)], 1)


@pytest.mark.parametrize(
    ("kernel", "said"),
    [
        (some_return, r"thread \(0, 0, 0\), line \d+: waits at a barrier that not all"),
        (two_barriers, "different barriers"),
        (beyond, r"thread \(7, 0, 0\), line \d+: writes y\[8\], which has the shape \(8,\)"),
        (before, r"thread \(0, 0, 0\), line \d+: reads y\[-1\]"),
        (shuffled, "cuda.shfl_down_sync is not in the simulator"),
    ],
)
def test_what_a_gpu_would_not_forgive(kernel, said):
    with pytest.raises(EmulationError, match=said):
        simulate(kernel, 1, SIZE, (np.zeros(SIZE, np.float32),))


def test_a_launch_in_numbas_words_runs_without_a_gpu(rng):
    x = normal(rng, 16)
    with without_gpu():
        there, y = cuda.to_device(x), cuda.device_array(16, np.float32)
        assert np.isnan(y).all()
        turned[2, SIZE](there, y)
        cuda.synchronize()
    assert_close(y.copy_to_host(), 2 * x.reshape(2, 8)[:, ::-1].reshape(16))


def test_wrong_arguments_are_named():
    with pytest.raises(TypeError, match=r"turned: takes 2 arguments \(x, y\), got 1"):
        simulate(turned, 1, SIZE, (np.zeros(8),))
    with pytest.raises(EmulationError, match="1024 are the most"):
        simulate(turned, 1, (64, 64), (np.zeros(8), np.zeros(8)))

"""The emulator: the language, the orders of threads, and an error message for every mistake."""

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from minigen.kernels import signature
from minigen.kernels.cpu import (
    CompileError,
    EmulationError,
    NoCompilerError,
    build,
    emulated,
    run,
    runner,
)
from minigen.kernels.launch import CudaFile, empty

HERE = Path(__file__).parent / "emulator"
SEEDS = (0, 1, 2, 3)
language, mistakes, races, overruns = (
    CudaFile(HERE / name) for name in ("language", "mistakes", "races", "overruns")
)


def floats(*shape):
    return np.zeros(shape, np.float32)


def line_of(file, kernel):
    """The number of the line that the kernel's text marks with "// here"."""
    text = file.source.read_text()
    start = text.index(f" {kernel}(")
    return text[: text.index("// here", start)].count("\n") + 1


# ------------------------------------------------------------------------------------- the language


@pytest.mark.parametrize("defines", [{}, {"MG_UCONTEXT": 1}], ids=["own", "ucontext"])
def test_every_thread_knows_its_place(defines):
    grid, block = (2, 3, 2), (4, 2, 3)
    y = np.zeros((2, 3, 2, 3, 2, 4), np.int32)
    language.launch("where", grid, block, y, **defines)
    k = np.indices(y.shape)
    assert np.array_equal(y, (k[0] * 100 + k[1] * 10 + k[2]) * 1000 + k[3] * 100 + k[4] * 10 + k[5])


def tickets(seed, **defines):
    y = np.zeros((2, 3, 64), np.int32)
    with emulated(seed):
        language.launch("order", (3,), (64,), np.zeros(2, np.int32), y, **defines)
    return y


def test_seed_0_is_the_order_of_the_numbers_and_1_its_reverse():
    first, second = tickets(0)
    assert np.array_equal(first.ravel(), np.arange(192))
    assert np.array_equal(first, second)
    assert all(np.all(np.diff(block) == -1) for block in tickets(1).reshape(-1, 64))


def test_a_seed_gives_one_order_always_and_every_seed_another():
    assert np.array_equal(tickets(7), tickets(7))
    orders = {tickets(seed).tobytes() for seed in range(8)}
    assert len(orders) == 8


def test_the_order_is_another_one_after_a_barrier():
    before, after = tickets(2)
    assert not np.array_equal(before, after)
    assert np.array_equal(np.sort(before.ravel()), np.sort(after.ravel()))


def test_ucontext_goes_through_the_threads_in_the_same_order():
    assert np.array_equal(tickets(5), tickets(5, MG_UCONTEXT=1))


@pytest.mark.parametrize("defines", [{}, {"MG_UCONTEXT": 1}], ids=["own", "ucontext"])
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("width", [32, 8])
@pytest.mark.parametrize("threads", [32, 64, 40])
def test_lanes_of_a_warp_see_each_other(threads, width, seed, defines):
    x = np.arange(threads, dtype=np.float32)
    if threads == 40 and width == 32:
        x = x[:34]  # of the last warp two lanes; lane 2 of it is read: see below
    y = floats(8, x.size)
    lanes = np.arange(x.size)
    start = lanes // width * width
    if start[-1] + 2 >= x.size:
        with emulated(seed), pytest.raises(EmulationError, match="that the block does not have"):
            language.launch("lanes", (1,), (x.size,), x, y, width, **defines)
        return
    with emulated(seed):
        language.launch("lanes", (1,), (x.size,), x, y, width, **defines)
    ballot = [sum(1 << i for i in range(32) if w + i < x.size and w + i > 4) for w in (0, 32)]
    own, half = lanes % width, min(width, 16)
    expected = [
        x[start + 2],
        np.where(own > 0, lanes - 1, lanes),
        np.where(lanes % half < half - 1, lanes + 1, lanes),
        lanes ^ 1,
        np.take(ballot, lanes // 32),
        lanes < 32,
        np.ones(x.size),
        np.where(lanes < 3, 3, lanes ^ 2),
    ]
    assert np.array_equal(y, np.array(expected, np.float32))


@pytest.mark.parametrize("seed", SEEDS)
def test_atomics(seed):
    i, f, u = np.zeros(3, np.int32), floats(1), np.zeros(2, np.uint32)
    with emulated(seed):
        language.launch("atomics", (3,), (50,), i, f, u)
    assert i.tolist() == [3 * 50 * 49 // 2, 49, -49]
    assert f.tolist() == [75]
    assert u.tolist() == [7, 300]


def test_constants_globals_and_dynamic_shared_memory(tmp_path):
    source = tmp_path / "language.cu"  # a library of its own: its globals are new
    source.write_text(language.source.read_text())
    y = floats(9)
    for launches in (1, 2):
        CudaFile(source).launch("globals", (1,), (8,), y, 2, shared=32)
        assert y.tolist() == [1008, 106, 18, 7, 1008, 106, 18, 7, launches]


def test_vectors_and_least_and_largest():
    x, y = np.arange(32, dtype=np.float32).reshape(8, 4), floats(8)
    language.launch("vectors", (1,), (8,), x, y)
    assert np.array_equal(y, x[:, 0] + x[:, 3] + 5)


def test_mathematics(rng):
    x = rng.uniform(0.1, 3, 32).astype(np.float32)
    y = floats(6, 32)
    language.launch("mathematics", (1,), (32,), x, y)
    exact = [x**-0.5, np.exp(x), 1 / x, np.sin(np.pi * x), x * x + 1, x]
    assert np.allclose(y, exact, rtol=1e-6, atol=1e-6)


def test_halves_round_to_nearest_even(rng):
    edges = [0, -0.0, 1, 65504, 65519, 65520, -7e4, 6e-8, 2.9e-8, 1e-5, np.inf, np.nan]
    x = np.array([*edges, *rng.standard_normal(20) * 10.0 ** rng.integers(-8, 6, 20)], np.float32)
    h, b, y = np.zeros(32, np.float16), np.zeros(32, np.uint16), floats(32)
    language.launch("halves", (1,), (32,), x, h, b, y)
    with np.errstate(over="ignore"):
        assert np.array_equal(h, x.astype(np.float16), equal_nan=True)
    bits = x.view(np.uint32).astype(np.uint64)
    rounded = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
    assert np.array_equal(b[~np.isnan(x)], rounded[~np.isnan(x)])
    assert np.isnan(y[np.isnan(x)]).all()


def test_an_array_that_comes_twice_is_one_memory():
    y = np.arange(8, dtype=np.float32)
    for sanitize in (None, "address"):
        with emulated(sanitize=sanitize):
            language.launch("in_place", (1,), (8,), y, y)
    assert np.array_equal(y, np.arange(8) + 2)


@pytest.mark.parametrize("sanitize", [None, "address"])
def test_a_kernel_can_print(sanitize):
    program = f"""
from minigen.kernels.cpu import emulated
from minigen.kernels.launch import CudaFile
import numpy as np
with emulated(sanitize={sanitize!r}):
    from minigen.kernels.cpu import runner
    runner.launch(CudaFile({str(language.source)!r}).source, "says", (1,), (3,), (3,))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.splitlines() == [f"thread {i} of 3" for i in range(3)], done.stderr


def test_the_launches_of_a_block_are_listed():
    with emulated() as launches:
        language.launch("in_place", (1,), (8,), floats(8), floats(8), shared=64)
    (launch,) = launches
    assert launch[:3] == ("in_place", (1, 1, 1, 8, 1, 1), 64)
    assert 0 < launch.seconds < 5


def test_threads_of_python_take_turns(rng):
    x = rng.standard_normal((8, 64), np.float32)
    y = floats(8, 64)
    races.launch("neighbours", (1,), (64,), x[0], y[0])  # builds it
    work = [
        threading.Thread(target=lambda i=i: races.launch("neighbours", (1,), (64,), x[i], y[i]))
        for i in range(8)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert np.array_equal(y, x[:, np.arange(64) ^ 33])


# ----------------------------------------------------------------------------------------- mistakes

MISTAKES = [
    ("divergent", r"thread \(32, 0, 0\), LINE: the threads of a block wait at different", 64, 2),
    ("returned", r"LINE: a barrier after some threads of the block have returned", 64, 0),
    ("deadlock", r"thread \(0, 0, 0\), LINE: waits at a barrier that not all threads", 64, 0),
    ("lonely", r"thread \(0, 0, 0\), LINE: waits for lanes that never come", 64, 0),
    ("not_the_caller", r"thread \(0, 0, 0\), LINE: its mask does not name the calling", 64, 0),
    ("returned_lane", r"LINE: its mask names a lane that has returned", 64, 0),
    ("not_in_mask", r"thread \(15, 0, 0\), LINE: reads from a lane that its mask", 64, 0),
    ("beyond_the_block", r"thread \(32, 0, 0\), LINE: reads from a lane that the b", 40, 0),
    ("two_lines", r"LINE: the lanes of a warp wait for each other in different lines", 64, 0),
    ("odd_address", r"thread \(1, 0, 0\), LINE: cp.async needs addresses that are mul", 64, 0),
    ("odd_matrix", r"thread \(0, 0, 0\), LINE: ldmatrix needs an address that is a mu", 64, 0),
    ("untrue", r"thread \(9, 0, 0\), LINE: assert\(threadIdx.x != 9\) fails", 64, 0),
]


@pytest.mark.parametrize("sanitize", [None, "thread", "address"], ids=str)
@pytest.mark.parametrize(("kernel", "message", "threads", "later"), MISTAKES, ids=lambda x: str(x))
def test_a_mistake_is_named_with_block_thread_and_line(kernel, message, threads, later, sanitize):
    line = line_of(mistakes, kernel) + later
    start = r"thread \(\d+, 0, 0\), " if message.startswith("LINE") else ""
    message = rf"^{kernel}: block \(0, 0, 0\), {start}" + message.replace(
        "LINE", f"mistakes.cu line {line}"
    )
    with emulated(sanitize=sanitize), pytest.raises(EmulationError, match=message):
        mistakes.launch(kernel, (1,), (threads,), floats(64))
    with emulated():  # the next launch is not disturbed
        test_vectors_and_least_and_largest()


@pytest.mark.parametrize(("by", "element"), [(1, 64), (-1, -1), (4000, 4000)])
def test_a_write_beyond_an_array_is_named(by, element):
    with pytest.raises(
        EmulationError, match=rf"^write_beyond: wrote element {element} of y, which has 64; "
    ):
        mistakes.launch("write_beyond", (1,), (64,), floats(64), by)


def test_a_write_of_what_lies_beyond_an_array_is_seen_too():
    for kernel in ("copy_beyond", "change_beyond"):
        with pytest.raises(EmulationError, match="wrote element 64 of y"):
            mistakes.launch(kernel, (1,), (65,), floats(64), floats(64))


@pytest.mark.parametrize("by", [1, -1, 4000])
def test_a_read_beyond_an_array_gives_nan(by):
    y = floats(64)
    mistakes.launch("read_beyond", (1,), (64,), floats(64), y, by)
    assert np.isnan(y).any()


@pytest.mark.parametrize("seed", SEEDS)
def test_what_nobody_wrote_is_seen(seed):
    y = empty((64,), floats(1))
    assert np.isnan(y).all()
    with emulated(seed):
        mistakes.launch("uninitialised", (1,), (64,), y)
    assert np.isnan(y[1::2]).all()  # shared memory
    if build._poison(build.find_compiler()[1]):
        assert (np.abs(y[::2]) > 1e30).all()


def test_an_address_without_memory_does_not_end_python():
    far = r"^write_beyond: block \(0, 0, 0\), thread \(0, 0, 0\): reads or writes where no memory"
    for _ in range(3):
        with pytest.raises(EmulationError, match=far):
            mistakes.launch("write_beyond", (1,), (64,), floats(64), -(2**30))


def test_a_division_by_zero_does_not_end_python():
    with pytest.raises(EmulationError, match=r"thread \(0, 0, 0\): divides by zero"):
        mistakes.launch("divides", (1,), (64,), np.zeros(64, np.int32), 0)


def test_ctrl_c_ends_an_endless_kernel():
    handler = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's & ignores it
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    try:
        mistakes.launch("loops", (1,), (1,), np.ones(1, np.int32))  # built, and not endless
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            mistakes.launch("loops", (1,), (1,), np.zeros(1, np.int32))
    finally:
        timer.join()
        signal.signal(signal.SIGINT, handler)


# --------------------------------------------------------------------------------------- sanitizers

OVERRUNS = [
    ("global_write", 1, "heap-buffer-overflow"),
    ("shared_write", 1, "global-buffer-overflow|index 64 out of bounds"),
    ("dynamic_read", 1, "heap-buffer-overflow"),
    ("local_write", 4, "stack-buffer-overflow|index 4 out of bounds"),
    ("overflow", 2, "signed integer overflow"),
    ("odd_vector", 1, "misaligned address|requires 16 byte alignment"),
]


@pytest.mark.parametrize(("kernel", "n", "what"), OVERRUNS, ids=lambda x: str(x))
def test_the_address_sanitizer_names_the_line(kernel, n, what):
    y = np.zeros(64, np.int32 if kernel == "overflow" else np.float32)
    line = line_of(overruns, kernel)
    place = rf"^{kernel}: block \(0, 0, 0\), thread \(\d+, 0, 0\), overruns.cu line {line}: "
    threads = 1 if kernel in ("local_write", "odd_vector") else 64
    with emulated(sanitize="address"), pytest.raises(EmulationError, match=place) as error:
        overruns.launch(kernel, (1,), (threads,), y, n, shared=256)
    assert re.search(what, str(error.value))
    assert str(error.value).endswith(" (address sanitizer)")


def test_the_address_sanitizer_finds_a_read_beyond_an_array():
    line = line_of(overruns, "global_read")
    with (
        emulated(sanitize="address"),
        pytest.raises(EmulationError, match=rf"thread \(63, 0, 0\), overruns.cu line {line}: heap"),
    ):
        overruns.launch("global_read", (1,), (64,), floats(64), floats(64), 64)


@pytest.mark.parametrize("sanitize", ["address", "thread"])
@pytest.mark.parametrize("seed", SEEDS)
def test_no_sanitizer_complains_of_a_clean_kernel(sanitize, seed):
    y = np.arange(64, dtype=np.float32)
    with emulated(seed, sanitize):
        overruns.launch("clean", (2,), (64,), y.copy(), 1)
        overruns.launch("clean", (1,), (64,), y, 1)
    assert np.array_equal(y, np.arange(64)[::-1] + 1)


def racing(kernel, **how):
    y = floats(64)
    x = np.arange(64 * 4 * 4, dtype=np.float32)
    more = {"rare": (y,), "stages": (x, y, 4)}.get(kernel, (x, y))
    defines = {"RACY": 1} if how.pop("racy", True) else {}
    with emulated(**how):
        races.launch(kernel, (1,), (64,), *more, **defines)
    return y


KERNELS_THAT_RACE = ["rare", "neighbours", "lanes", "total", "stages"]


@pytest.mark.parametrize("kernel", KERNELS_THAT_RACE)
def test_the_thread_sanitizer_finds_a_missing_barrier(kernel):
    place = rf"^{kernel}: block \(0, 0, 0\), thread .*, races.cu line \d+.*: data race \(thread"
    with pytest.raises(EmulationError, match=place):
        racing(kernel, sanitize="thread")


@pytest.mark.parametrize("kernel", KERNELS_THAT_RACE)
def test_with_its_barrier_a_kernel_has_no_race(kernel):
    for seed in (0, 3):
        racing(kernel, seed=seed, sanitize="thread", racy=False)


def test_there_are_races_that_no_order_shows():
    clean = racing("rare", racy=False)
    assert all(np.array_equal(racing("rare", seed=seed), clean) for seed in range(8))


@pytest.mark.parametrize("kernel", ["neighbours", "lanes", "stages"])
def test_most_races_change_the_result_in_some_order(kernel):
    clean = racing(kernel, racy=False)
    assert not all(np.array_equal(racing(kernel, seed=seed), clean) for seed in SEEDS)
    assert all(np.array_equal(racing(kernel, seed=seed, racy=False), clean) for seed in SEEDS)


def test_a_race_is_named_with_both_lines():
    first = line_of_text(races, "tile[threadIdx.x] = x[threadIdx.x];")
    lines = rf"races.cu line ({first}|{first + 2}) and races.cu line ({first}|{first + 2}): data"
    with pytest.raises(EmulationError, match=lines):
        racing("neighbours", sanitize="thread")


def line_of_text(file, text):
    return file.source.read_text().partition(text)[0].count("\n") + 1


def test_random_places_in_memory_are_switched_off_where_the_sanitizer_asks(monkeypatch):
    commands = []

    def program(command, **_):
        commands.append(command)
        said = (
            "" if command[0] == "setarch" else "FATAL: ThreadSanitizer: unexpected memory mapping"
        )
        return subprocess.CompletedProcess(command, int(bool(said)), "", said)

    monkeypatch.setattr(runner.subprocess, "run", program)
    assert runner._run_program(["kernel"]).returncode == 0
    assert commands == [["kernel"], ["setarch", "-R", "kernel"]]


# ----------------------------------------------------------------------------------- wrong launches

WRONG = [
    ((1,), (1025,), r"the block's x is 1025, it must be 1 to 1024"),
    ((1,), (0,), r"the block's x is 0, it must be 1 to 1024"),
    ((1,), (32, 64), r"a block of \(32, 64, 1\) threads; 1024 are the most"),
    ((1,), (1, 1, 65), r"the block's z is 65, it must be 1 to 64"),
    ((0,), (1,), r"the grid's x is 0, it must be 1 to 2147483647"),
    ((1, 65536), (1,), r"the grid's y is 65536, it must be 1 to 65535"),
]


@pytest.mark.parametrize(("grid", "block", "message"), WRONG, ids=lambda x: str(x))
def test_a_launch_that_no_gpu_takes(grid, block, message):
    with pytest.raises(EmulationError, match=f"^in_place: {message}"):
        language.launch("in_place", grid, block, floats(8), floats(8))


def test_too_much_shared_memory():
    with pytest.raises(EmulationError, match="232449 bytes of shared memory; 232448 are the most"):
        language.launch("in_place", (1,), (8,), floats(8), floats(8), shared=232449)


def read_only():
    a = floats(8)
    a.flags.writeable = False
    return a


ARGUMENTS = [
    ([floats(8)], r"takes 2 arguments \(x, y\), got 1"),
    ([1.0, floats(8)], r"float\* x: expected an array, got 1.0"),
    ([floats(8), np.zeros(8)], r"float\* y: expected an array of float32, got float64"),
    ([floats(16)[::2], floats(8)], r"float\* x: the array is a view with gaps; copy it first"),
    ([floats(8), read_only()], r"float\* y: the array may not be written to"),
]


@pytest.mark.parametrize(("arguments", "message"), ARGUMENTS, ids=lambda x: str(x)[-30:])
def test_arguments_are_held_against_the_signature(arguments, message):
    with pytest.raises(TypeError, match=f"^in_place: {message}"):
        language.launch("in_place", (1,), (8,), *arguments)


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (floats(2), r"expected a number, got an array of the shape \(2,\)"),
        ("3", "expected a number, got '3'"),
        (None, "expected a number, got None"),
        (2.5, "2.5 does not fit"),
        (float("nan"), "nan does not fit"),
        (2**31, "2147483648 does not fit"),
    ],
    ids=str,
)
def test_numbers_are_held_against_the_signature(number, message):
    with pytest.raises(TypeError, match=rf"^write_beyond: int by: {message}"):
        mistakes.launch("write_beyond", (1,), (64,), floats(64), number)


def test_a_float4_needs_an_address_that_fits():
    whole = floats(40)
    start = -whole.ctypes.data % 16 // 4 + 1
    with pytest.raises(TypeError, match="its address is no multiple of 16 bytes"):
        language.launch("vectors", (1,), (8,), whole[start : start + 32], floats(8))


def test_a_signature_is_read():
    text = """
extern "C" __global__ void __launch_bounds__(256) a(const float* __restrict__ x /* in */, int n) {}
extern "C" __global__ __launch_bounds__(128, 2) void b(unsigned int* y, unsigned long long seed,
                                                       // a line between
                                                       bool last) {}
// extern "C" __global__ void c() {}
"""
    of = signature.kernels_of(text)
    assert list(of) == ["a", "b"]
    assert of["a"] == [("float*", "x", True), ("int", "n", False)]
    assert [p.type for p in of["b"]] == ["unsigned*", "unsigned long long", "bool"]


def test_a_type_that_cannot_be_passed_is_named():
    parameters = signature.kernels_of('extern "C" __global__ void k(Shape s, float** p) {}')["k"]
    for p in parameters:
        with pytest.raises(TypeError, match=r"of this type cannot be passed"):
            signature.check("k", [p], [1], None)


def test_a_kernel_that_is_not_there():
    with pytest.raises(ValueError, match=r"language.cu: has no kernel 'nothing', it has \['where"):
        language.launch("nothing", (1,), (1,), floats(1))


def test_a_rung_that_is_not_there():
    with pytest.raises(ValueError, match="there is no kernel 'matmul/k0'; one is \"matmul/k1_na"):
        run("matmul/k0", floats(2, 2), floats(2, 2))
    with pytest.raises(ValueError, match="there is no kernel 'nothing'"):
        run("nothing", floats(2, 2))


@pytest.mark.parametrize("how", [{"seed": -1}, {"seed": "one"}, {"seed": 2**32}], ids=str)
def test_a_wrong_seed(how):
    with (
        pytest.raises(ValueError, match=r"seed is .*, expected a whole number from 0"),
        emulated(**how),
    ):
        pass


def test_a_wrong_sanitizer():
    with emulated(sanitize="memory"), pytest.raises(ValueError, match="sanitize is 'memory'"):
        language.launch("in_place", (1,), (8,), floats(8), floats(8))


def test_numpy_arrays_are_refused_outside_of_the_emulator():
    from minigen.kernels.matmul.k1_naive import supports

    assert "minigen emulate" in supports(floats(2, 2), floats(2, 2))


# -------------------------------------------------------------------------------------------- build


def written(folder, text):
    path = folder / "own.cu"
    path.write_text(text)
    return CudaFile(path)


def test_a_syntax_error_is_named_with_file_line_and_text(tmp_path):
    own = written(
        tmp_path, '#include "mg.cuh"\nextern "C" __global__ void f(float* y) {\n  y[0] = z;\n}\n'
    )
    with pytest.raises(
        CompileError, match=r"own.cu:3:\d+: error: .z. was not declared.*y\[0\] = z"
    ):
        own.launch("f", (1,), (1,), floats(1))


def test_a_missing_header_is_named(tmp_path):
    own = written(tmp_path, '#include "none.cuh"\nextern "C" __global__ void f(float* y) {}\n')
    with pytest.raises(CompileError, match=r"own.cu:1:\d+: fatal error: none.cuh: No such file"):
        own.launch("f", (1,), (1,), floats(1))


def test_a_file_without_kernels(tmp_path):
    with pytest.raises(CompileError, match="exports no kernel"):
        build.build(written(tmp_path, "int x;\n").source, {}, None)


def test_what_was_built_is_kept_until_a_text_changes(tmp_path, monkeypatch):
    own = written(tmp_path, 'extern "C" __global__ void f(float* y) { y[0] = VALUE; }\n')
    first = build.build(own.source, {"VALUE": 1}, None)
    monkeypatch.setattr(build, "_compile", None)  # nothing more is compiled
    assert build.build(own.source, {"VALUE": 1}, None) == first
    monkeypatch.undo()
    header = tmp_path / "more.cuh"
    header.write_text("// beside it, not in UTF-8: \u00e9\n", "latin-1")
    assert build.build(own.source, {"VALUE": 1}, None) != first
    y = floats(1)
    for value in (1, 2):
        own.launch("f", (1,), (1,), y, VALUE=value)
        assert y[0] == value


def test_what_was_not_used_for_long_makes_room(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "KEPT", 2)
    (tmp_path / "folder").mkdir()
    for age, name in enumerate("abcd"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    build._make_room(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "folder"]


@pytest.fixture
def fresh_compiler():
    build.find_compiler.cache_clear()
    yield
    build.find_compiler.cache_clear()


@pytest.mark.usefixtures("fresh_compiler")
def test_a_missing_compiler(monkeypatch):
    monkeypatch.setenv("CXX", "g++-of-tomorrow")
    with pytest.raises(NoCompilerError, match="g\\+\\+-of-tomorrow is missing: install it, on Deb"):
        language.launch("in_place", (1,), (8,), floats(8), floats(8))


@pytest.mark.usefixtures("fresh_compiler")
def test_another_system(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(NoCompilerError, match="need Linux: a container, or on Windows its WSL"):
        language.launch("in_place", (1,), (8,), floats(8), floats(8))

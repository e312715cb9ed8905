"""minigen check: kernels that are right, planted bugs whose cause is named, wrong inputs."""

import ctypes
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numba import cuda, float32

import minigen as mg
from minigen.check.ops import OPS
from minigen.cli import main
from minigen.kernels import gpu
from minigen.kernels.cpu import CompileError, build

TEMPLATES = Path(mg.check.__file__).parent / "templates"
needs_gcc = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++ to build a .cu file")


def text_of(name):
    return (TEMPLATES / name).read_text("utf-8")


def checked(op, text, suffix, folder, **how):
    """The report on a kernel with this text."""
    path = folder / f"mine{suffix}"
    path.write_text(text, "utf-8")
    return getattr(mg.check, op)(path, **how)


def changed(text, old, new):
    assert text.count(old) == 1, old
    return text.replace(old, new)


@pytest.mark.parametrize("kind", ["_python.py", "_numba.py", pytest.param(".cu", marks=needs_gcc)])
@pytest.mark.parametrize("op", OPS)
def test_what_a_template_prints_is_right(op, kind):
    report = getattr(mg.check, op)(TEMPLATES / f"{op}{kind}", tile=5)
    assert report, report
    assert report.cases >= 12
    assert report.schedules == (1 if "python" in kind else 4)
    assert "right at" in str(report)


@pytest.mark.parametrize("op", OPS.values(), ids=list(OPS))
def test_the_cases_of_an_op_tell_its_mistakes_apart(op):
    """A mistake differs from the right result somewhere, and from every other mistake."""
    results = []
    for mistake in op.mistakes:
        results.append([])
        for case in op.cases(16):
            arrays = [a.astype(float) for a in case.arrays()]
            try:
                y = mistake.formula(*arrays, **case.settings)
            except ValueError:
                y = np.zeros(0)
            exact = op.formula(*arrays, **case.settings)
            same = y.shape == exact.shape and np.allclose(y, exact, equal_nan=True)
            results[-1].append(b"" if same else np.float32(y).tobytes())
    assert all(any(row) for row in results)
    assert len({tuple(row) for row in results}) == len(results)


def test_the_last_case_has_an_incomplete_tile_along_each_axis():
    for op in OPS.values():
        axes = op.axes(op.sorted_cases(16)[-1])
        assert all(axes[name] % 16 for name in op.tiled)


# --------------------------------------------------------------------------------------- in Python

PYTHON = [  # op, kind, what stands there, what is planted, the cause, words of the report
    ("matmul", "python", "np.zeros((M, N), np.float32)", "np.zeros((M, N))", "dtype", "float64"),
    ("matmul", "python", "a[m, k]", "a[k, m]", "stride", "a is read by columns"),
    ("matmul", "python", "return y", "return y.T", "stride", r"shape \(5, 2\)"),
    ("matmul", "python", "return y", "pass", "shape", "does it lack its return"),
    ("matmul", "python", "return y", "return y[:-1]", "shape", r"expected \(1, 1\)"),
    ("matmul", "python", "range(K)", "range(min(K, 16))", "bounds", "only the first tile of K"),
    ("matmul", "python", "range(K)", "range(K + 1)", "bounds", "mine.py line 12: IndexError"),
    ("matmul", "python", "np.zeros(", "np.full_like(a[:1, :1], np.nan) + np.zeros(",
     "uninitialised", "NaN"),
    ("matmul", "python", "a[m, k] *", "np.float16(a[m, k]) *", "accumulation", "float16"),
    ("matmul", "python", "return y", "a *= 2; return y", "arguments", "writes into a"),
    ("matmul", "python", "return y", "return 1 / 0", "error", "line 13: ZeroDivisionError"),
    ("conv2d", "python", "w[i, j]", "w[-1 - i, -1 - j]", "stride", "turned by 180 degrees"),
    ("conv2d", "python", "p * stride + i - padding", "p * stride + i", "stride", "wrong|padding"),
    ("conv2d", "python", "p * stride + i - padding, q * stride", "p + i - padding, q", "stride",
     "the stride is ignored"),
    ("conv2d", "python", "0 <= h < H and 0 <= v < W", "0 <= h < H and v < W", "bounds", "below 0"),
    ("softmax", "python", "x[r] - x[r].max()", "x[r]", "overflow", "subtract the largest"),
    ("softmax", "python", "weights / weights.sum()", "weights", "formula", "not divided"),
    ("scaled_dot_product_attention", "python", " / np.float32(q.shape[2] ** 0.5)", "", "formula",
     r"sqrt\(DH\)"),
    ("scaled_dot_product_attention", "python", "k[b] @ q[b, i]", "k[b] @ k[b, i % k.shape[1]]",
     "formula", "no known mistake"),
    ("group_norm_silu", "python", "group.var()", "group.var(ddof=group.size > 1)", "formula",
     "n - 1"),
    ("group_norm_silu", "python", "slice(g * size, (g + 1) * size)", "slice(g, None, num_groups)",
     "stride", r"not in c % G"),
    ("group_norm_silu", "python", "z / (1 + np.exp(-z))", "z", "formula", "SiLU is missing"),
    ("affine_step", "python", "a * x[i] + b * z[i]", "b * x[i] + a * z[i]", "formula", "exchanged"),
    ("affine_step", "python", "range(len(x))", "range(len(x) // 2 * 2)", "bounds|uninitialised",
     "is a multiple|written"),
    ("matmul", "numba", "a[row, k]", "a[k, row]", "stride", "a is read by columns"),
    ("matmul", "numba", "row < y.shape[0] and column < y.shape[1]", "True", "bounds", "reads b"),
    ("matmul", "numba", "-(-N // TILE), -(-M // TILE)", "N // TILE, M // TILE", "bounds",
     "rounded down"),
    ("matmul", "numba", "-(-N // TILE),", "max(N // TILE, 1),", "bounds", "N .* never written"),
    ("matmul", "numba", "y[row, column] = total", "y[row, column] += total", "uninitialised",
     "added to before"),
    ("matmul", "numba", ", np.float32)", ")", "dtype", "float64"),
    ("softmax", "numba", "range(1, x.shape[1])", "range(1, x.shape[1] + 1)", "bounds", "reads x"),
]  # fmt: skip


@pytest.mark.parametrize(("op", "kind", "old", "new", "cause", "words"), PYTHON)
def test_a_bug_in_python_is_named(op, kind, old, new, cause, words, tmp_path):
    text = changed(text_of(f"{op}_{kind}.py"), old, new)
    small = {} if kind == "python" or "TILE" in new else {"tile": 4}
    report = checked(op, text, ".py", tmp_path, **small)
    assert not report
    assert re.fullmatch(cause, report.cause), report
    assert re.search(words, str(report)), report


TILE = 4


@cuda.jit
def tiled(a, b, y, first, second):
    a_tile = cuda.shared.array((TILE, TILE), float32)
    b_tile = cuda.shared.array((TILE, TILE), float32)
    tx, ty = cuda.threadIdx.x, cuda.threadIdx.y
    column, row = cuda.grid(2)
    total = float32(0)
    for k0 in range(0, a.shape[1], TILE):
        a_tile[ty, tx] = b_tile[ty, tx] = 0
        if row < a.shape[0] and k0 + tx < a.shape[1]:
            a_tile[ty, tx] = a[row, k0 + tx]
        if column < b.shape[1] and k0 + ty < a.shape[1]:
            b_tile[ty, tx] = b[k0 + ty, column]
        if first or tx == 0 == ty:
            cuda.syncthreads()
        for k in range(TILE):
            total += a_tile[ty, k] * b_tile[k, tx]
        if second:
            cuda.syncthreads()
    if row < y.shape[0] and column < y.shape[1]:
        y[row, column] = total


def multiply(first, second):
    def matmul(a, b):
        y = cuda.device_array((len(a), b.shape[1]), np.float32)
        grid = -(-y.shape[1] // TILE), -(-y.shape[0] // TILE)
        tiled[grid, (TILE, TILE)](a, b, y, first, second)
        return y.copy_to_host()

    return matmul


@pytest.mark.parametrize(("first", "second"), [(True, True), (False, True), (True, False)])
def test_a_missing_barrier_in_numba_is_named(first, second):
    report = mg.check.matmul(multiply(first, second), tile=TILE)
    assert report.ok == (first and second)
    assert report.cause == ("" if report.ok else "barrier")


def test_a_function_of_the_notebook_may_use_the_emulator(tmp_path):
    from minigen.kernels.cpu import run

    def matmul(a, b):
        return run("matmul/k3_shared_tile", a, b)

    if shutil.which("g++"):
        assert mg.check.matmul(matmul)


def test_a_view_is_tried(tmp_path):
    def affine_step(x, z, *, a, b):
        flat = np.lib.stride_tricks.as_strided(x, x.shape, (4,))  # as a kernel with a pointer does
        return np.float32(a) * flat + np.float32(b) * z

    report = mg.check.affine_step(affine_step)
    assert (report.cause, report.failed) == ("stride", 1)
    assert "gaps" in report.smallest


# ------------------------------------------------------------------------------------- in CUDA C++

SHARED = """
#include "mg.cuh"
#define TILE 8
// grid: blocks(N, TILE), blocks(M, TILE)
// block: TILE, TILE
extern "C" __global__ void matmul(const float* a, const float* b, float* y, int M, int N, int K) {
  __shared__ float a_tile[TILE][TILE], b_tile[TILE][TILE];
  int tx = threadIdx.x, row = blockIdx.y * TILE + threadIdx.y;
  int ty = threadIdx.y, column = blockIdx.x * TILE + threadIdx.x;
  float sum = 0;
  for (int k0 = 0; k0 < K; k0 += TILE) {
    a_tile[ty][tx] = row < M && k0 + tx < K ? a[row * K + k0 + tx] : 0;
    b_tile[ty][tx] = column < N && k0 + ty < K ? b[(k0 + ty) * N + column] : 0;
    __syncthreads();  // 1
    for (int k = 0; k < TILE; k++) sum += a_tile[ty][k] * b_tile[k][tx];
    __syncthreads();  // 2
  }
  if (row < M && column < N) y[row * N + column] = sum;
}
"""

CUDA = [  # what stands there, what is planted, the cause, words of the report
    ("", "", "", "no race was found"),
    ("__syncthreads();  // 1", "", "barrier", r"mine.cu line 1\d|depends on the order"),
    ("__syncthreads();  // 2", "", "barrier", r"mine.cu line 1\d|depends on the order"),
    ("__syncthreads();  // 1", "if (row < M) __syncthreads();", "barrier", "in an if, or after"),
    ("row < M && k0 + tx < K ?", "true ?", "bounds", "mine.cu line 12"),
    ("y[row * N + column]", "y[column * M + row]", "stride", "transposed"),
    ("blocks(N, TILE)", "max(N / TILE, 1)", "bounds", "N .* never written"),
    ("float sum = 0;", "float sum;", "uninitialised", "a sum without its 0"),  # g++ 12 or newer
]


@needs_gcc
@pytest.mark.parametrize(("old", "new", "cause", "words"), CUDA)
def test_a_bug_in_cuda_is_named(old, new, cause, words, tmp_path):
    report = checked("matmul", changed(SHARED, old, new) if old else SHARED, ".cu", tmp_path)
    assert report.cause == cause, report
    assert re.search(words, str(report)), report


@needs_gcc
def test_the_text_of_a_kernel_will_do():
    assert mg.check.affine_step(text_of("affine_step.cu"))


# ------------------------------------------------------------------ what ends, and what is wrong


def test_an_endless_loop_is_stopped():
    def affine_step(x, z, *, a, b):
        while True:
            pass

    start = time.monotonic()
    report = mg.check.affine_step(affine_step, seconds=0.5)
    assert report.cause == "endless"
    assert "0.5 s" in str(report)
    assert time.monotonic() - start < 5


@needs_gcc
def test_an_endless_kernel_is_stopped(tmp_path):
    text = changed(text_of("affine_step.cu"), "if (i < n)", "for (;;) if (i < n)")
    assert checked("affine_step", text, ".cu", tmp_path, seconds=0.5).cause == "endless"


def test_a_crash_does_not_end_the_session():
    def softmax(x):
        return ctypes.string_at(8)

    report = mg.check.softmax(softmax)
    assert (report.cause, "SIGSEGV" in report.why) == ("bounds", True)

    def leaves(x):
        sys.stderr.close()
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        mg.check.softmax(leaves)


def takes_one(a):
    return a


@pytest.mark.parametrize(
    ("suffix", "text", "said"),
    [
        (".py", "x = 1\ndef matmul(a b):\n", r"mine.py line 2: .*: def matmul\(a b\)"),
        (".py", "import numpy\nnumpy.zero(3)\n", "mine.py line 2: AttributeError"),
        (".py", "def multiply(a, b): pass\n", r"matmul is missing \(it has \['multiply'\]\)"),
        (".py", "def matmul(a): pass\n", r"expected def matmul\(a, b\): too many positional"),
        (
            ".py",
            "from numba import cuda\n@cuda.jit\ndef matmul(a, b, y): pass\n",
            "is a kernel; name",
        ),
        (".txt", "", "neither a .py nor a .cu file"),
        (".cu", "__global__ void matmul() {}", r"exports no kernel matmul, it has \[\]"),
        (".cu", 'extern "C" __global__ void matmul(float* a) {}', "other parameters; expected"),
        (".cu", re.sub("// grid.*", "", SHARED), "no line says how to launch it: // grid"),
        (".cu", SHARED.replace("blocks(M", "blocks(R"), r"// grid: .*: R is not known"),
        (".cu", SHARED.replace("blocks(M", "open(M"), r"expected numbers, \+ - \* / %"),
    ],
)
def test_what_cannot_be_checked_is_told(suffix, text, said, tmp_path):
    with pytest.raises(mg.check.CheckError, match=said):
        checked("matmul", text, suffix, tmp_path)


@needs_gcc
def test_what_does_not_compile_is_told_with_its_line(tmp_path):
    text = SHARED.replace("float sum = 0;", "float sum = zero;")
    with pytest.raises(CompileError, match=r"mine.cu:10:\d+: error: .zero. was not"):
        checked("matmul", text, ".cu", tmp_path)


def test_wrong_arguments_of_check_are_told():
    with pytest.raises(mg.check.CheckError, match="there is no file"):
        mg.check.matmul("nothing.cu")
    with pytest.raises(mg.check.CheckError, match="expected 2 to 1024"):
        mg.check.matmul(takes_one, tile=1)
    with pytest.raises(mg.check.CheckError, match="takes_one: expected def matmul"):
        mg.check.matmul(takes_one)
    with pytest.raises(AttributeError, match="no attribute 'chekc'"):
        mg.chekc  # noqa: B018


def test_check_is_imported_only_where_it_is_asked_for():
    program = "import sys, minigen; a = 'minigen.check' in sys.modules; minigen.check; print(a)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_the_command_says_what_it_found(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["check", "matmul", "--template", "python"]) == 0
    text = capsys.readouterr().out
    Path("mine.py").write_text(text, "utf-8")
    assert main(["check", "matmul", "mine.py"]) == 0
    assert "matmul, mine.py: right at 14 sizes" in capsys.readouterr().out
    Path("mine.py").write_text(text.replace("a[m, k]", "a[k, m]"), "utf-8")
    assert main(["check", "matmul", "mine.py"]) == 1
    assert "cause     stride:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sum", "mine.py"], "there is no op 'sum'; there are matmul"),
        (["matmul"], "give a FILE, or --template"),
        (["matmul", "mine.py"], "there is no file mine.py"),
        (["matmul", "mine.py", "--tile", "1"], "at least 2"),
    ],
)
def test_the_command_tells_a_wrong_input_in_one_line(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["check", *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


# ---------------------------------------------------------------------------------------- on a GPU


@pytest.mark.parametrize("op", OPS)
@needs_gcc
def test_a_kernel_runs_on_the_gpu(op, fake_cupy):
    report = getattr(mg.check, op)(TEMPLATES / f"{op}.cu", tile=5, device="cuda")
    assert report, report
    assert re.search(r"right at \d+ sizes on the GPU$", str(report))
    assert (report.schedules, report.sanitized) == (1, False)


@needs_gcc
def test_a_bug_on_the_gpu_is_named(fake_cupy, tmp_path):
    text = changed(text_of("affine_step.cu"), "if (i < n)", "if (i + 1 < n)")
    report = checked("affine_step", text, ".cu", tmp_path, device="cuda")
    assert not report
    assert report.cause == "uninitialised"  # the last number, which nobody wrote


def test_a_function_drives_the_gpu_by_itself(fake_cupy):
    def affine_step(x, z, *, a, b):
        import cupy

        return (cupy.asarray(x) * a + cupy.asarray(z) * b).get()

    assert mg.check.affine_step(affine_step, device="cuda")


def test_without_a_gpu_it_is_told_what_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cupy", None)
    gpu.require.cache_clear()
    kernel = tmp_path / "mine.cu"
    kernel.write_text(text_of("matmul.cu"), "utf-8")
    assert main(["check", "matmul", str(kernel), "--device", "cuda"]) == 2
    assert "minigen: error: CuPy is not installed: pip install" in capsys.readouterr().err
    with pytest.raises(mg.check.CheckError, match="device is 'tpu'"):
        mg.check.matmul(kernel, device="tpu")


def test_without_a_compiler_the_command_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CXX", "g++-of-tomorrow")
    build.find_compiler.cache_clear()
    (tmp_path / "mine.cu").write_text(text_of("matmul.cu"), "utf-8")
    try:
        assert main(["check", "matmul", str(tmp_path / "mine.cu")]) == 1
    finally:
        build.find_compiler.cache_clear()
    said = capsys.readouterr().err
    assert said.startswith("minigen: error: g++-of-tomorrow is missing: install it")
    assert said.count("\n") == 1


def test_a_process_that_has_used_the_gpu_is_told_to_start_another(fake_cupy):
    gpu.require()
    with pytest.raises(mg.check.CheckError, match="this process has used the GPU"):
        mg.check.matmul(TEMPLATES / "matmul.cu", device="cuda")


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["_numba.py", ".cu"])
@pytest.mark.parametrize("op", OPS)
def test_a_template_is_right_on_the_real_gpu(op, kind, real_cupy):
    how = ["check", op, str(TEMPLATES / f"{op}{kind}"), "--device", "cuda"]
    done = subprocess.run([sys.executable, "-m", "minigen", *how], capture_output=True, text=True)
    assert "on the GPU" in done.stdout, done.stdout + done.stderr

"""`minigen emulate`: every kernel on its sample; wrong words get one line; gdb stops inside."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minigen import kernels
from minigen.cli import errors, main
from minigen.cli.emulate import GDB, _compare, cuda_rungs
from minigen.cli.samples import SAMPLES
from minigen.kernels.cpu import build
from minigen.kernels.launch import CudaFile

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "step_through_a_kernel.md"
RUNGS = [(op, rung) for op, rungs in cuda_rungs().items() for rung in rungs]


def emulate(capsys, *words):
    code = main(["emulate", *words])
    return code, *capsys.readouterr()


@pytest.mark.parametrize(("op", "rung"), RUNGS, ids=str)
def test_every_kernel_agrees_with_the_reference(op, rung, capsys):
    code, text, error = emulate(capsys, op, "--rung", rung, "--seed", "1")
    assert (code, error) == (0, "")
    assert text.startswith(f"{op}/{rung} on ")
    assert re.search(
        r"^  \w+: \d+ x \d+ x \d+ blocks of \d+ x \d+ x \d+ threads.*, \S+ ms$", text, re.M
    )
    assert "  y: largest error " in text


def test_sizes_order_and_sanitizer_can_be_chosen(capsys):
    words = ["matmul", "--rung", "k3_shared_tile", "--shape", "3,4,5", "--seed", "7"]
    code, text, _ = emulate(capsys, *words, "--sanitize", "address")
    assert code == 0
    assert "on (3, 5), (5, 4); seed 7, fp32" in text
    assert text.endswith("  the address sanitizer found nothing\n")


def test_alone_it_lists_the_kernels(capsys):
    code, text, _ = emulate(capsys)
    assert code == 0
    assert "matmul: M N K = 33,40,50\n" in text
    listed = re.findall(r"^  (k\w+) +\S.*", text, re.M)
    assert listed == [rung for _, rung in RUNGS]


WRONG = [
    (["matmull"], "'matmull' has no CUDA kernel; adamw, "),
    (["relu"], "'relu' has no CUDA kernel"),
    (["matmul", "--rung", "k9"], "matmul has no kernel 'k9' in CUDA C++; it has k1_naive, "),
    (["matmul", "--rung", "cpu_threads"], "no kernel 'cpu_threads' in CUDA C++"),
    (
        ["matmul", "--shape", "3,4"],
        "--shape is '3,4', expected 3 whole numbers for M N K, as in 33",
    ),
    (["matmul", "--shape", "3,0,4"], "expected 3 whole numbers"),
    (["matmul", "--shape", "3x4x5"], "expected 3 whole numbers"),
    (["matmul", "--seed", "-1"], "expected a whole number of at least 0, got -1"),
    (["matmul", "--sanitize", "memory"], "invalid choice: 'memory'"),
    (["matmul", "--gdb", "--sanitize", "thread"], "--gdb is for the kernel without --sanitize"),
    (["silu", "--precision", "fp8"], "invalid choice: 'fp8'"),
    (["--rung", "k1_naive"], "--rung is for one kernel; name its OP before it"),
    (["--errors", "--sanitize", "thread"], "--sanitize is for one kernel"),
]


@pytest.mark.parametrize(("words", "message"), WRONG, ids=lambda x: " ".join(x)[:40])
def test_a_wrong_word_gets_one_line(words, message, capsys):
    code, text, error = emulate(capsys, *words)
    assert (code, text) == (2, "")
    assert error.startswith("minigen: error: ")
    assert error.count("\n") == 1
    assert message in error


def test_what_a_kernel_cannot_take_is_said(capsys):
    code, _, error = emulate(capsys, "matmul", "--rung", "k6_mma", "--precision", "fp32")
    assert code == 2
    assert error.startswith("minigen: error: emulate: matmul/k6_mma cannot run here: ")


def test_without_a_debugger(capsys, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "gdb is missing: install it" in emulate(capsys, "matmul", "--gdb")[2]


def test_the_debugger_gets_the_command(monkeypatch):
    asked = []
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr("os.execvp", lambda name, words: asked.append(words) or 0)
    main(["emulate", "matmul", "--rung", "k3_shared_tile", "--shape", "3,4,5", "--gdb"])
    (words,) = asked
    assert words[: 1 + len(GDB)] == ["gdb", *GDB]
    start = ["--args", sys.executable, "-m", "minigen", "emulate", "matmul"]
    assert words[1 + len(GDB) :] == [*start, "--rung=k3_shared_tile", "--seed=0", "--shape=3,4,5"]


def test_without_a_compiler(monkeypatch, capsys):
    monkeypatch.setenv("CXX", "g++-of-tomorrow")
    build.find_compiler.cache_clear()
    try:
        code, _, error = emulate(capsys, "matmul", "--rung", "k1_naive")
    finally:
        build.find_compiler.cache_clear()
    assert code == 1
    assert error.startswith("minigen: error: g++-of-tomorrow is missing: install it")


TILE = CudaFile(ROOT / "kernels" / "matmul" / "k3_shared_tile.cu").source


@pytest.fixture
def changed(tmp_path, monkeypatch):
    """Makes matmul/k3_shared_tile run another text."""
    from minigen.kernels.matmul import k3_shared_tile

    def change(old, new):
        text = TILE.read_text()
        assert old in text
        copy = tmp_path / TILE.name
        copy.write_text(text.replace(old, new))
        monkeypatch.setattr(k3_shared_tile.kernels, "source", copy)

    return change


def test_a_deleted_barrier_is_found(changed, capsys):
    changed("    __syncthreads();\n  }", "\n  }")
    words = ["matmul", "--rung", "k3_shared_tile", "--sanitize", "thread"]
    code, text, error = emulate(capsys, *words)
    assert (code, text) == (1, "")
    assert re.fullmatch(
        r"minigen: error: matmul: block \(\d, \d, 0\), thread \(\d+, \d+, 0\), k3_shared_tile.cu "
        r"line \d+ and k3_shared_tile.cu line \d+: data race \(thread sanitizer\)\n",
        error,
    )
    assert error in PAGE.read_text("utf-8")


def test_other_numbers_are_said(changed, capsys):
    changed("b_tile[k][tx];", "b_tile[k][tx] + 1;")
    code, text, _ = emulate(capsys, "matmul", "--rung", "k3_shared_tile")
    assert code == 1
    assert ": these are other numbers\n" in text


def test_an_error_of_the_compiler_is_one_line(changed, capsys):
    changed("float sum = 0;", "float sum = zero;")
    code, _, error = emulate(capsys, "matmul", "--rung", "k3_shared_tile")
    assert code == 2
    assert re.search(r"k3_shared_tile.cu:\d+:\d+: error: .zero. was not declared", error)
    assert error.count("\n") == 1


def test_samples_are_the_same_each_time():
    for sample in SAMPLES.values():
        first, again = sample.make(*sample.sizes)[0], sample.make(*sample.sizes)[0]
        for a, b in zip(sample.outputs(first, first), sample.outputs(again, again)):
            assert np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


# --------------------------------------------------------------------------------------- the page


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.M | re.S)


def test_the_commands_of_the_page_are_right(capsys):
    commands = [line for text in blocks("bash") for line in text.splitlines() if line[:1] != "#"]
    assert len(commands) >= 3
    for command in commands:
        words = command.split()
        assert words[:2] == ["minigen", "emulate"]
        if "--gdb" not in words:
            assert main(words[1:]) == 0


@pytest.mark.skipif(not shutil.which("gdb"), reason="gdb is not installed")
def test_the_session_of_the_page_is_what_gdb_does():
    """The same lines typed in the same order stop at the same places."""
    session = "".join(blocks("gdb"))
    typed = re.findall(r"^\(gdb\) (.*)$", session, re.M)
    words = ["minigen", "emulate", "matmul", "--rung=k3_shared_tile"]
    command = ["gdb", "-batch", *GDB]
    for line in typed:
        command += ["-ex", line]
    command += ["--args", sys.executable, "-m", *words]
    said = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300).stdout
    shown = [line for line in session.splitlines() if re.match(r"\$\d+ = |\d+\t", line)]
    assert len(shown) >= 5
    for line in shown:
        assert line in said, said


@pytest.mark.parametrize(("op", "rung"), RUNGS, ids="/".join)
def test_every_rung_keeps_within_the_error_budget(op, rung):
    found = list(errors.measured(op, rung))
    assert found
    for error in found:
        assert error.roundings <= errors.BUDGET, error


def test_the_table_of_errors_leaves_no_rung_out():
    table = (Path(kernels.__path__[0]) / "README.md").read_text("utf-8")
    table = table.partition(errors.BEGIN)[2].partition(errors.END)[0]
    rows = [[cell.strip(" `") for cell in line.split("|")[1:3]] for line in table.splitlines()]
    assert {tuple(row) for row in rows if len(row) == 2 and row[1][:1] == "k"} == set(RUNGS)


@pytest.mark.parametrize("wrong", [1e-6, float("nan")])
def test_an_error_over_the_budget_is_one(wrong, monkeypatch, capsys):
    sick = errors.Error("matmul", "k1_naive", "fp32", wrong, None)
    monkeypatch.setattr(errors, "all_measured", lambda: [sick])
    code, _, said = emulate(capsys, "--errors")
    assert code == 1
    assert "more than 8 roundings: matmul/k1_naive" in said


@pytest.mark.parametrize("first", [True, False])
def test_an_output_that_is_nan_is_an_error_wherever_it_stands(first, capsys):
    right, wrong, exact = np.ones(3, "f"), np.full(3, np.nan, "f"), [np.ones(3)] * 2
    found = [wrong, right] if first else [right, wrong]
    assert np.isnan(errors._relative(found, exact))
    assert np.isnan(errors.Error("op", "rung", "fp32", 0.0, np.nan).roundings)
    assert not _compare("y", found, exact, "fp32")
    assert "largest error nan" in capsys.readouterr().out


def test_words_that_do_not_fit_together(capsys):
    assert "is for all kernels" in emulate(capsys, "matmul", "--errors")[2]
    assert "is for --errors" in emulate(capsys, "matmul", "--write")[2]

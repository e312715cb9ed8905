"""minigen bench: what it measures is right, what fails is said, and nobody is left behind."""

import doctest
import importlib.util
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from minigen.backend import rungs_of
from minigen.cli import main, warmup
from minigen.kernels.bench import measure, profile, report, tune
from minigen.kernels.bench.cases import listed
from minigen.kernels.bench.flops import flops
from minigen.kernels.bench.measure import Bench, ChildError, How, Result, Timing, largest_error
from minigen.parallel import cores

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None,
    reason='PyTorch is missing: pip install "minigen[bench]"',
)
SOFTMAX = "softmax 4x4x64x64"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MINIGEN_KERNELS", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(measure, "PAUSE", 0.0)
    return tmp_path


@pytest.fixture
def no_torch(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "torch" else find(name, *a)
    )


def case_of(name):
    (case,) = (case for case in listed(quick=True) if case.name == name)
    return case


# --------------------------------------------------------------------------------------- the cases


@pytest.mark.parametrize("quick", [False, True])
def test_cases_have_names_of_their_own(quick):
    names = [case.name for case in listed(quick)]
    assert len(names) == len(set(names)) > 60


def test_flops_of_cases_are_those_of_the_shapes_that_ran():
    for case in listed():
        if case.kind == "op" and case.flops is not None:
            y = (*case.shapes[0][:-1], case.shapes[1][-1])  # linear's output
            if case.op == "conv2d_weight_grad":
                y = (*case.settings["kernel_size"], case.shapes[1][-1], case.shapes[0][-1])
            if case.op == "conv2d":
                K, step, pad = case.shapes[1][0], case.settings["stride"], case.settings["padding"]
                size = (case.shapes[0][1] + 2 * pad - K) // step + 1
                y = (case.shapes[0][0], size, size, case.shapes[1][-1])
            assert flops(case.op, case.shapes, [y]) == case.flops, case.name


def test_a_kernels_own_backward_is_counted_as_its_two_gradients():
    x, w, y = (2, 8, 8, 3), (3, 3, 3, 5), (2, 8, 8, 5)
    both = flops("conv2d_input_grad", [y, w], [x]) + flops("conv2d_weight_grad", [y, x], [w])
    assert flops("conv2d_backward", [y], [x, w]) == both
    assert flops("conv2d_backward", [y], [w]) == both / 2
    assert flops("conv2d_backward", [y], [x]) is None  # the filter is not known


@pytest.mark.parametrize("name", ["flops", "report"])
def test_examples_in_the_docstrings_are_right(name):
    found = doctest.testmod(importlib.import_module(f"minigen.kernels.bench.{name}"))
    assert found.attempted > 0
    assert found.failed == 0


def test_every_child_gets_the_same_inputs():
    a, b = case_of(SOFTMAX).inputs(), case_of(SOFTMAX).inputs()
    assert all((x == y).all() for x, y in zip(a, b))
    assert not np.array_equal(a[0], case_of("silu 4x16x16x64").inputs()[0])


# ------------------------------------------------------------------------------------- measurements


@needs_torch
def test_both_sides_are_timed_and_right():
    with Bench(How(against_torch=True, rungs=True, quick=True)) as bench:
        results = [bench.run(case_of(name)) for name in (SOFTMAX, f"{SOFTMAX} backward")]
    for result in results:
        assert [t.variant for t in result.of("ours")][::100] == ["reference"]
        assert [t.variant for t in result.of("torch")] == ["default"]
        assert all(t.failed is None and t.error < 1e-5 for t in result.timings)
        assert all(0 < t.low <= t.ms <= t.high and len(t.rounds) == 2 for t in result.timings)
        ours, other = result.of("ours")[-1], result.of("torch")[0]
        assert ours.ran
        assert result.ratio(ours, best=True) == pytest.approx(ours.ms / other.ms)


@needs_torch
def test_layouts_of_a_convolution_come_back_as_ours():
    cases = [c for c in listed(True) if "4x4x32x64" in c.name]
    with Bench(How(against_torch=True, quick=True)) as bench:
        results = [bench.run(case) for case in cases]
    assert {r.op for r in results} == {"conv2d", "conv2d_input_grad", "conv2d_weight_grad"}
    for timing in (t for r in results for t in r.of("torch")):
        assert timing.failed is None
        assert timing.error < 1e-5


@needs_torch
def test_a_sampling_step_is_compared_before_it_is_timed():
    with Bench(How(against_torch=True, quick=True)) as bench:
        result = bench.run(case_of("sampling step, scenes, batch 1"))
    assert [(t.side, t.variant) for t in result.timings] == [
        ("ours", "auto"), ("torch", "NCHW"), ("torch", "channels_last"),
    ]  # fmt: skip
    assert all(t.failed is None and t.error < measure.LARGEST_ERROR for t in result.timings)


def test_the_memory_of_a_step_is_that_of_its_process():
    (case,) = (case for case in listed(quick=True) if case.kind == "memory")
    with Bench(How(quick=True)) as bench:
        (timing,) = bench.run(case).timings
    assert timing.failed is None
    assert 1 < timing.megabytes < 2000


def test_what_is_wrong_is_not_timed(monkeypatch):
    monkeypatch.setattr(measure, "LARGEST_ERROR", 0.0)
    with Bench(How(quick=True)) as bench:
        (timing,) = bench.run(case_of(SOFTMAX)).timings
    assert timing.ms is None
    assert "is above 0e+00" in timing.failed


def test_a_rung_that_refuses_says_why_and_is_no_failure():
    with Bench(How(rungs=True, quick=True)) as bench:
        result = bench.run(case_of("conv2d 4x16x16x128 * 1x1x128x64"))
    by = {timing.variant: timing for timing in result.timings}
    assert by["cpu_winograd4"].failed.startswith("cannot run: it takes 3x3 filters")
    assert by["cpu_columns"].ms > 0
    assert report.failures([result]) == []


@pytest.mark.parametrize("wrong", [np.nan, 1.1])
def test_the_error_sees_a_single_number(wrong):
    right = np.ones((3, 4))
    other = right.copy()
    other[2, 3] = wrong
    assert not largest_error([right, other], [right, right]) <= 0.09
    with pytest.raises(ChildError, match="shapes"):
        largest_error([right], [right, right])


def test_a_child_that_raises_or_dies_is_reported():
    with Bench(How(quick=True)) as bench:
        with pytest.raises(ChildError, match="KeyError: 'no such case'"):
            bench.child("ours").ask("variants", case="no such case", rungs=False)
        first = bench.child("ours")
        first.process.kill()
        with pytest.raises(ChildError, match="ended with code -9"):
            first.ask("versions")
        assert bench.versions()["numpy"] == np.__version__  # by a new one


# ------------------------------------------------------------------------------------------ report

RESULTS = [
    Result("conv2d small", "conv2d", "op", 2e6, 1e6, [
        Timing("ours", "auto", ms=1.0, low=0.9, high=1.2, error=1e-7, ran=["cpu_threads"]),
        Timing("torch", "NCHW", ms=2.0, low=1.9, high=2.1, error=1e-7),
        Timing("torch", "channels_last", ms=0.5, low=0.5, high=0.6, error=1e-7),
    ]),
    Result("peak memory", "train", "memory", None, None, [
        Timing("ours", "auto", megabytes=30.0), Timing("torch", "NCHW", megabytes=20.0),
    ]),
    Result("silu", "silu", "op", None, 1e6, [Timing("ours", "auto", failed="out of luck")]),
]  # fmt: skip


def test_the_table_has_ratios_to_both_layouts():
    lines = report.text(RESULTS).splitlines()
    assert "auto cpu_threads" in lines[1]
    assert lines[1].split()[-2:] == ["0.50", "2.00"]
    assert "2.0" in lines[1].split()  # 2e6 FLOP in 1 ms, in GFLOP/s
    assert lines[4].split()[-4:] == ["30", "MB", "1.50", "1.50"]
    assert report.failures(RESULTS) == ["silu, ours auto: out of luck"]


def test_the_page_keeps_what_stands_around_the_markers(tmp_path):
    page = tmp_path / "benchmarks.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    paths = report.write(RESULTS, tmp_path, "minigen bench")
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    cells = "auto cpu_threads | 1.00 | 0.900 ... 1.20 | 2.0 | 1.0 | 1e-07 | 0.50 | 2.00"
    assert f"| conv2d small | {cells} |" in text
    numbers = json.loads(paths[1].read_text())
    assert numbers["results"][0]["timings"][0]["ms"] == 1.0
    assert numbers["machine"]["numpy"] == np.__version__
    assert (tmp_path / "images" / "benchmarks.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="needs the lines"):
        report.between_markers("no markers", "table")


def test_the_page_in_the_checkout_has_its_markers():
    docs = Path(__file__).resolve().parents[2] / "docs"
    text = (report.docs_folder(docs.parent) / "benchmarks.md").read_text("utf-8")
    assert "new" in report.between_markers(text, "new")


# ----------------------------------------------------------------------------------------- profile


def test_a_profile_accounts_for_the_whole_step():
    start = time.perf_counter()
    rows = profile.profile("toy_flow", steps=3, batch_size=32)
    seconds = time.perf_counter() - start
    by = {(row.phase, row.op): row for row in rows}
    assert by["forward", "linear"].calls == 4
    assert by["forward", "linear"].gflops == pytest.approx(2e-9 * 32 * (46 + 256 + 2) * 128)
    assert {"Muon", "AdamW", "moving average"} <= {op for phase, op in by if phase == "update"}
    assert by["backward", profile.PYTHON].ms > 0
    assert 3 * sum(row.ms for row in rows) / 1000 < seconds
    assert "100.0%" in profile.text(rows)


@pytest.mark.parametrize("name", ["scenes", "toy_flow"])
def test_the_parts_of_a_recipe_are_taken_untrained(name, tmp_path):
    parts = profile.parts_of(profile.load_recipe(name), tmp_path, batch_size=2)
    assert parts.settings["workers"] == 1 if name == "scenes" else "workers" not in parts.settings
    assert not list(tmp_path.rglob("*.safetensors"))
    assert all(p.grad is None for p in parts.model.parameters())


# ---------------------------------------------------------------------------------------- tuning


@pytest.fixture
def one_choice(monkeypatch, folder):
    """A single case to tune by, and a table of the test's own."""
    case = case_of("conv2d 4x8x8x64 * 3x3x64x64")
    monkeypatch.setattr(tune, "choices", lambda ops, quick: [case])
    monkeypatch.setenv("MINIGEN_TUNING", str(folder / "tuning.json"))
    return folder / "tuning.json"


def test_tuning_notes_the_fastest_rung_for_each_number_of_threads(one_choice, capsys):
    assert main(["bench", "--tune"]) == 0
    table = json.loads(one_choice.read_text())
    assert {entry["threads"] for entry in table} == {1, cores()}
    for entry in table:
        assert entry["shape"] == [[4, 8, 8, 64], [3, 3, 64, 64]]
        assert set(entry["ms"]) == set(rungs_of("conv2d", "cpu"))
        assert entry["ms"][entry["rung"]] == min(entry["ms"].values())
    assert capsys.readouterr().out.splitlines()[-1] == str(one_choice)


def test_a_quick_tuning_saves_nothing(one_choice, capsys):
    assert main(["bench", "--tune", "--quick"]) == 0
    assert "not saved" in capsys.readouterr().out
    assert not one_choice.exists()


# ------------------------------------------------------------------------------------ command line


def test_the_command_line_measures_prints_and_ends_well(capsys):
    assert main(["bench", "--ops", "softmax", "--only", SOFTMAX, "--quick"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["case", SOFTMAX, f"{SOFTMAX} backward"]


def test_the_command_line_draws_a_profile(capsys, folder):
    assert main(["bench", "--profile", "toy_flow", "--quick", "--out", "step.png"]) == 0
    assert "Python between ops" in capsys.readouterr().out
    assert (folder / "step.png").read_bytes().startswith(b"\x89PNG")


def test_every_kernel_that_compiles_is_warmed_up(monkeypatch, capsys):
    found = dict(warmup._warmups())
    for name, function in found.items():
        op, rung = name.split("/")
        assert rung in rungs_of(op)
        assert function.__module__ == f"minigen.kernels.{op}.{rung}"
    calls = []
    fakes = [(name, lambda name=name: calls.append(name)) for name in [*found, "a/b"]]
    monkeypatch.setattr(warmup, "_warmups", lambda: fakes)
    assert main(["warmup"]) == 0
    assert calls == [*found, "a/b"]
    assert f"{len(calls)} kernels are ready after" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--ops", "conv3d"], "--ops has 'conv3d', expected some of avg_pool2d, conv2d"),
        (["--only", "nothing of this name"], "no case is called 'nothing of this name'"),
        (["--against", "jax"], "invalid choice: 'jax'"),
        (["--profile", "toy"], "--profile has 'toy', expected one of adain, classifier, "),
        (["--profile", "toy_flow", "--out", "nowhere/a.png"], "there is no folder nowhere"),
        (["--out", "a.png"], "--out names the chart of --profile, which is not given"),
        (["--tune", "--only", "silu"], "--tune takes --ops and --quick, no other option"),
        (["--write", "--quick"], "--quick measures nothing that is worth writing down"),
    ],
)
def test_wrong_words_get_one_line(words, message, capsys):
    assert main(["bench", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("minigen: error: ")
    assert message in line


def test_without_pytorch_the_extra_is_named(no_torch, capsys):
    assert main(["bench", "--against", "torch", "--quick"]) == 2
    assert 'PyTorch is not installed: pip install "minigen[bench]"' in capsys.readouterr().err


def test_a_failure_ends_with_exit_code_1(monkeypatch, capsys):
    monkeypatch.setattr(measure, "LARGEST_ERROR", 0.0)
    assert main(["bench", "--ops", "softmax", "--only", SOFTMAX, "--quick"]) == 1
    assert f"minigen: error: {SOFTMAX}, ours auto: error" in capsys.readouterr().err


def children_of(pid):
    """Processes whose parent is `pid`."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = status.read_text().splitlines()
        except OSError:
            continue
        if f"PPid:\t{pid}" in lines:
            found.append(int(status.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="it looks into /proc")
def test_ctrl_c_leaves_no_child_behind():
    program = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    program += "from minigen.cli import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "bench", "--ops", "conv2d"], stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 20
    while not (children := children_of(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert children
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=10)
    assert process.returncode == 130
    assert b"Traceback" not in said
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)


def test_a_child_ends_when_its_parent_is_gone():
    child = measure.Child("ours", quick=True)
    child.ask("versions")
    assert child.process.stdin is not None
    child.process.stdin.close()  # as the system does for a parent that was killed
    assert child.process.wait(timeout=10) == 0
    child.process.stdout.close()

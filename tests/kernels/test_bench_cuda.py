"""minigen bench --device cuda: what is counted, on every machine; how it is timed, on a GPU only.

The logic of the clock and of the rows runs here on a CuPy without a GPU (fake_cupy.py), whose times
mean nothing.
"""

import importlib
import importlib.util
import json
import math
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from minigen import Tensor, use_kernels
from minigen.backend import move
from minigen.cli import main
from minigen.kernels import gpu as the_gpu
from minigen.kernels.bench import gpu, gpu_cases, gpu_report, gpu_whole
from minigen.kernels.bench.cases import Case
from minigen.kernels.bench.gpu import How, Row
from minigen.kernels.bench.gpu_cases import H200, Ceilings, GpuCase, floor, floors, gpu_listed
from minigen.models.flow_matching.flow_matching import FlowMatchingConfig
from minigen.samplers import guided_model, sample_flow

KERNELS = Path(__file__).resolve().parents[2] / "kernels"
CEILINGS = Ceilings({"fp32": 1e12, "tf32": 2e12, "bf16": 4e12, "fp16": 4e12}, 1e12, "none")
QUICK = How(quick=True)


class Event:
    """CUDA's, of a clock that counts the events themselves."""

    now = 0

    def record(self):
        Event.now += 1
        self.at = Event.now

    def synchronize(self):
        pass


@pytest.fixture
def fake(fake_cupy):
    """fake_cupy with a clock on which everything takes 1 ms."""
    fake_cupy.cuda.Event = Event
    fake_cupy.cuda.get_elapsed_time = lambda start, end: float(end.at - start.at)
    fake_cupy.__dict__["get_default_memory_pool"] = lambda: types.SimpleNamespace(
        free_all_blocks=lambda: None
    )
    return fake_cupy


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    the_gpu.require.cache_clear()
    yield
    the_gpu.require.cache_clear()


def small(op, *sizes):
    return GpuCase(f"{op} small", op, "op", sizes=sizes)


def linear(kind):
    shapes = ((3, 5), (5, 7), (7,))
    return GpuCase(
        f"linear {kind}", "linear", kind,
        Case("linear", "linear", kind, shapes, ".l.", flops=420.0, bytes=1000.0),
    )  # fmt: skip


# --------------------------------------------------------------------------------------- the cases


@pytest.mark.parametrize("quick", [False, True])
def test_every_op_with_cuda_kernels_has_a_case(quick):
    cases = gpu_listed(quick)
    names = [case.name for case in cases]
    assert len(names) == len(set(names))
    with_rungs = {path.parent.name for path in KERNELS.glob("*/__init__.py")
                  if "CUDA_RUNGS" in path.read_text("utf-8")}  # fmt: skip
    assert {case.op for case in cases if case.kind != "whole"} == with_rungs


@pytest.mark.parametrize(
    ("op", "axes"),
    {case.op: (case.op, len(case.sizes)) for case in gpu_listed(True) if case.sizes}.values(),
)
def test_what_is_counted_are_the_arrays_that_are_there(op, axes):
    case = small(op, *[2, 4, 6, 8, 8][-axes:]) if axes > 2 else small(op, 2, 24)
    arrays, _ = case.make()
    inputs, outputs = case.shapes()
    assert inputs == [a.shape for a in gpu_cases.flat(arrays)]
    expected = [y.size for y in case.exact() if y.shape != ()]  # without clip_grad_norm's length
    assert [math.prod(shape) for shape in outputs] == expected
    flops, size = case.counted()
    assert size == 4 * (sum(map(math.prod, inputs)) + sum(expected))
    assert (flops > 0) == (
        op in ("matmul", "scaled_dot_product_attention", "group_norm_silu_conv2d")
    )


def test_a_products_count_by_hand():
    assert small("matmul", 2, 3, 5).counted() == (60, 4 * (10 + 15 + 6))
    assert small("group_norm_silu_conv2d", 1, 4, 5, 8, 3).counted()[0] == 2 * 20 * 9 * 8 * 3


def test_cases_of_the_cpu_can_be_made_and_have_gradients_as_their_inputs():
    seen = set()
    for case in gpu_listed(quick=True):
        if case.case is None or case.kind == "whole" or (case.op, case.kind) in seen:
            continue
        seen.add((case.op, case.kind))
        arrays, _ = case.make()
        found = case.exact()
        if case.kind == "backward":
            assert [a.shape for a in found] == [a.shape for a in arrays]
        assert all(np.isfinite(a).all() for a in found)
    assert len(seen) > 18


def test_a_denoising_step_grows_by_as_much_with_every_picture():
    one, two, four = (gpu_cases._counted_whole("sample", n) for n in (1, 2, 4))
    assert four[0] - two[0] == 2 * (two[0] - one[0]) > 0
    assert four[1] - two[1] == 2 * (two[1] - one[1]) == 4 * 2 * 2 * 32 * 32 * 3


def test_the_floor_is_what_takes_longer():
    assert floor(2e9, 1e6, CEILINGS, "fp32") == 2
    assert floor(2e9, 1e9, CEILINGS, "bf16") == 1
    text = floors([small("matmul", 64, 64, 64)], H200).splitlines()
    assert "published numbers of an NVIDIA H200" in text[0]
    assert text[-1].split()[-6:-3] == ["0.001", "0.049", "10.7"]


# ------------------------------------------------------------------- how it is timed, without a GPU


def test_the_clock_counts_runs_by_their_events(fake):
    ran = []
    times = gpu.milliseconds(lambda: ran.append(1), How(), per=4)
    assert times.tolist() == [0.25] * 50
    assert len(ran) == 55


def test_inputs_take_more_than_the_cache(fake, monkeypatch):
    assert gpu.copies_of(1e6, How()) == 121
    fake.cuda.Device().attributes["L2CacheSize"] = 10**9
    assert gpu.copies_of(1e6, How()) == 2001
    assert gpu.copies_of(1e12, How()) == 1


def test_rungs_on_tensor_cores_are_timed_in_every_precision_that_rounds():
    found = gpu.rungs(small("matmul", 1, 1, 1))
    assert found[0] == ("numba_naive", "fp32")
    assert found[-3:] == [("k6_mma", "tf32"), ("k6_mma", "bf16"), ("k6_mma", "fp16")]
    assert all(p == "fp32" for _, p in found[:-3])


@pytest.fixture
def two_rungs(monkeypatch):
    """Of linear: one in float32, one on tensor cores."""
    chosen = [("k1_shared_tile", "fp32"), ("k3_mma", "bf16")]
    monkeypatch.setattr(gpu, "rungs", lambda case: chosen)


@pytest.mark.parametrize("kind", ["op", "backward"])
def test_a_rung_is_checked_recorded_and_timed(fake, two_rungs, kind):
    rows = gpu.time_rungs(linear(kind), QUICK, CEILINGS)
    assert [(row.variant, row.precision, row.failed) for row in rows] == [
        ("k1_shared_tile", "fp32", None), ("k3_mma", "bf16", None),
    ]  # fmt: skip
    assert rows[0].error < 1e-6 < rows[1].error < gpu.LARGEST_ROUNDED
    for row in rows:
        assert row.low == row.ms == row.high == 0.5  # two copies in 1 ms
        assert row.roofline == pytest.approx(floor(420, 1000, CEILINGS, row.precision) / 0.5)


@pytest.mark.parametrize("op", ["ema", "clip_grad_norm"])
def test_lists_results_in_place_and_what_cannot_be_recorded(fake, op):
    rows = gpu.time_rungs(small(op, 2, 24), QUICK, CEILINGS)
    assert all(row.failed is None and row.ms and row.error < 1e-6 for row in rows)
    # the host looks at the length of the gradients
    assert ["from Python" in row.variant for row in rows] == [op == "clip_grad_norm"]


def test_a_rung_that_refuses_says_why_and_is_no_failure(fake, monkeypatch):
    monkeypatch.setattr(gpu, "rungs", lambda case: [("k3_mma", "fp32"), ("k4", "fp32")])
    refused, missing = gpu.time_rungs(linear("op"), QUICK, CEILINGS)
    assert refused.failed.startswith("cannot run: it rounds what it multiplies")
    assert "ModuleNotFoundError" in missing.failed
    assert gpu_report.failures([refused, missing]) == [
        f"linear op, minigen k4 in fp32: {missing.failed}"
    ]


def test_what_is_wrong_is_not_timed(fake, two_rungs, monkeypatch):
    case = linear("op")
    wrong = types.SimpleNamespace(**{
        name: getattr(case, name) for name in ("name", "op", "kind", "make", "counted", "outputs")
    }, exact=lambda: [a + 1 for a in case.exact()])  # fmt: skip
    rows = gpu.time_rungs(wrong, QUICK, CEILINGS)
    assert all(row.ms is None and "is above" in row.failed for row in rows)
    assert len(gpu_report.failures(rows)) == 2


def test_a_recording_that_does_nothing_is_noticed(fake, two_rungs, monkeypatch):
    def empty(run):
        y = run()
        return types.SimpleNamespace(output=y, replay=lambda: y)

    monkeypatch.setattr(gpu, "_recorded", empty)
    rows = gpu.time_rungs(linear("op"), QUICK, CEILINGS)
    assert all("error nan" in row.failed for row in rows)


def test_views_keep_their_order_in_memory(fake):
    x = np.arange(24.0).reshape(2, 3, 4)
    for a in (x, x.swapaxes(0, 1), x.T):
        copy = gpu.on_gpu(a)
        assert copy.strides == a.strides
        np.testing.assert_array_equal(copy.get(), a)


class Network:
    """Predicts x0 as a mixture of what it is given, in kernels and elementwise steps."""

    def read(self, words):
        return {"words": move(words, "gpu")}

    def __call__(self, xt, t, *, words):
        return Tensor(xt.data * 0.3 + t.reshape(-1, 1, 1, 1) * words)


@pytest.mark.parametrize("sampler", ["ddim", "euler", "dpmpp_2m", "flow_euler"])
def test_one_graph_for_a_step_paints_what_the_sampler_paints(sampler, fake):
    config = types.SimpleNamespace(sampler=sampler, shift=2.0, guidance=3.0, clip=1.0)
    rng = np.random.default_rng(0)
    start, words = (rng.standard_normal((n, 2, 2, 3)).astype(np.float32) for n in (2, 4))
    words = fake.asarray(words)
    loop = gpu_whole.Loop(Network(), {"words": words}, config, 5, start)
    predict = guided_model(Network(), {"words": words[:2]}, {"words": words[2:]}, 3.0)
    expected = sample_flow(
        lambda xt, t: (xt - predict(xt, t).clip(-1.0, 1.0)) / t,
        fake.asarray(start),
        sampler,
        5,
        2.0,
    )
    for _ in range(2):  # it begins anew
        np.testing.assert_allclose(loop.run().get(), expected.get(), atol=2e-6)


def test_the_loops_of_the_painter_are_one(fake, monkeypatch):
    """The same pictures from the same noise, whatever is recorded of a step."""
    flow = FlowMatchingConfig(prediction_type="x0", clip=1.0)
    config = types.SimpleNamespace(sampler="ddpm", guidance=3.0, flow=lambda: flow)
    words = np.random.default_rng(0).standard_normal((2, 1, 1, 3)).astype(np.float32)
    monkeypatch.setattr(gpu_whole, "_network", lambda recipe: (config, Network()))
    monkeypatch.setattr(gpu_whole.work, "batch", lambda recipe, n: (None, words))
    with use_kernels("auto"):
        pictures = {
            graph: gpu_whole._as_painted("scenes", 2, 3, graph)[0]().get()
            for graph in ("step", "network", None)
        }
        config.sampler = "heun"
        with pytest.raises(gpu.RefusedError, match="does steps of heun"):
            gpu_whole._as_painted("scenes", 2, 3, "step")
    assert np.array_equal(pictures["network"], pictures[None])
    np.testing.assert_allclose(pictures["step"], pictures[None], rtol=1e-4, atol=1e-5)


def test_the_ceilings_are_products_and_a_copy(fake, monkeypatch):
    kinds = {"f": "default"}
    linear = types.SimpleNamespace(
        COMPUTE_TYPE_FP32="fp32", COMPUTE_TYPE_TF32="tf32", get_compute_type=kinds.get,
        set_compute_type=kinds.__setitem__,
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "cupy._core._routines_linalg", linear)
    monkeypatch.setitem(sys.modules, "cupy._core", types.ModuleType("cupy._core"))
    monkeypatch.setattr(fake, "__path__", [], raising=False)
    found = gpu.measured_ceilings(QUICK)
    assert kinds == {"f": "default"}
    assert found.copied == 2 * 4 * 2**16 * 1000  # twice, in 1 ms
    assert set(found.flops.values()) == {2 * 64**3 * 1000}
    assert set(found.flops) == {"fp32", "tf32", "bf16", "fp16"}


# ------------------------------------------------------------------------------------------ report

ROWS = [
    Row("conv2d", "minigen", "k4", "fp32", 2e9, 1e6, 4.0, 3.0, 5.0, 1e-7, 0.5),
    Row("conv2d", "minigen", "k6_mma", "bf16", 2e9, 1e6, failed="cannot run: it is too old"),
    Row("conv2d", "PyTorch", "eager, NCHW", "fp32", 2e9, 1e6, failed="ValueError: error 1 is"),
]
ABOUT = {"GPU": "NVIDIA H200", "driver": "570.1", "date": "2026-01-01", "command": "minigen bench"}


def test_the_table_says_precision_rates_and_share():
    lines = gpu_report.text(ROWS).splitlines()
    assert lines[1].split("  ")[0] == "conv2d"
    assert lines[1].split()[1:6] == ["minigen", "k4", "fp32", "4.00", "3.00"]
    assert lines[1].split()[-4:] == ["0.500", "0.000250", "50%", "1e-07"]
    assert "cannot run: it is too old" in lines[2]
    (failure,) = gpu_report.failures(ROWS)
    assert failure == "conv2d, PyTorch eager, NCHW in fp32: ValueError: error 1 is"


def test_the_files_are_written_and_other_cases_of_the_day_stay(tmp_path):
    page = tmp_path / "kernels" / "README.md"
    page.parent.mkdir()
    page.write_text(f"before\n{gpu_report.BEGIN}\nold\n{gpu_report.END}\nafter\n")
    gpu_report.write(ROWS, ABOUT, CEILINGS, tmp_path)
    other = [replace(ROWS[0], case="silu", ms=1.0)]
    _, numbers, plot = gpu_report.write(other, ABOUT, CEILINGS, tmp_path)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "| conv2d | minigen k4 | fp32 | 4.00 |" in text
    assert "| silu | minigen k4 | fp32 | 1.00 |" in text
    assert "old" not in text.replace("too old", "")
    assert numbers.name == "gpu_nvidia_h200_2026-01-01.json"
    found = json.loads(numbers.read_text())
    assert [row["case"] for row in found["rows"]] == ["conv2d"] * 3 + ["silu"]
    assert found["machine"]["driver"] == "570.1"
    assert found["ceilings"]["flops"]["fp32"] == 1e12
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_the_page_in_the_checkout_has_its_markers():
    text = (KERNELS / "README.md").read_text("utf-8")
    assert "new" in gpu_report.between_markers(text, "new", gpu_report.BEGIN, gpu_report.END)


# ------------------------------------------------------------------------------------ command line


def test_without_a_gpu_the_floors_are_counted(no_gpu, capsys):
    assert main(["bench", "--device", "cuda", "--quick", "--ops", "softmax,matmul"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Nothing is timed: CuPy is not installed")
    assert "NVIDIA H200" in lines[1]
    assert any(line.startswith("softmax 4x4x64x64 backward") for line in lines)
    assert any(line.startswith("matmul M 96, N 96, K 96") for line in lines)


def test_given_ceilings_are_counted_with(capsys):
    words = ["--device", "cuda", "--quick", "--ops", "matmul", "--only", "96", "--ceilings", "1,1"]
    assert main(["bench", *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Ceilings: as given: fp32 1 TFLOP/s, memory 1 TB/s."
    assert lines[-1].split()[-1] == "0.00177"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--ceilings", "67"], "--ceilings is '67', expected TFLOP/s and TB/s"),
        (["--ceilings", "67,-1"], "--ceilings is '67,-1'"),
        (["--ceilings", "1,1", "--write"], "measure nothing that is worth writing down"),
        (["--write"], "CuPy is not installed"),
        (["--ops", "conv3d"], "--ops has 'conv3d', expected some of adamw, affine_step"),
    ],
)
def test_wrong_words_get_one_line(words, message, no_gpu, capsys):
    assert main(["bench", "--device", "cuda", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_ceilings_are_not_for_the_cpu(capsys):
    assert main(["bench", "--ceilings", "1,1"]) == 2
    assert "--ceilings is for --device cuda" in capsys.readouterr().err


def test_the_command_measures_writes_and_ends_well(fake, monkeypatch, capsys, two_rungs):
    monkeypatch.setattr(gpu, "measured_ceilings", lambda how: CEILINGS)
    monkeypatch.setattr(gpu_cases, "gpu_listed", lambda quick: [linear("op")])
    assert main(["bench", "--device", "cuda", "--quick"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "GPU a GPU that is none" in lines[0]
    assert lines[-2].startswith("linear op  minigen k1_shared_tile")


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
def test_a_pytorch_without_cuda_is_named(fake, monkeypatch, capsys):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["bench", "--device", "cuda", "--quick", "--against", "torch"]) == 2
    assert "finds no GPU: install one for CUDA" in capsys.readouterr().err


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
def test_pytorchs_flags_are_set_and_put_back():
    import torch

    from minigen.kernels.bench import gpu_torch

    before = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark
    said = gpu_torch.settings()
    assert said["PyTorch in fp32"].startswith("matmul.allow_tf32 False, cudnn.allow_tf32 False")
    assert said["PyTorch in tf32"].startswith("matmul.allow_tf32 True, cudnn.allow_tf32 True")
    assert said["PyTorch in tf32"].endswith("cudnn.benchmark True")
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark) == before


@pytest.fixture
def torch_on_cpu(fake, monkeypatch):
    """gpu_torch, its tensors on the CPU."""
    pytest.importorskip("torch")
    gpu_torch = importlib.import_module("minigen.kernels.bench.gpu_torch")
    monkeypatch.setattr(gpu_torch, "DEVICE", "cpu")
    monkeypatch.setattr(gpu_torch, "MODES", ("eager", "eager", "eager"))
    monkeypatch.setattr(gpu_torch.torch.compiler, "reset", lambda: None)
    return gpu_torch


@pytest.mark.parametrize(
    "name", ["conv2d_weight_grad 4x8x8x64 * 3x3x64x64", "linear 4x14x128 -> 512 backward"]
)
def test_pytorchs_ops_are_ours(torch_on_cpu, name):
    (case,) = (case for case in gpu_listed(quick=True) if case.name == name)
    rows = torch_on_cpu.time_torch(case, QUICK, CEILINGS)
    assert [row.failed for row in rows] == [None] * len(rows)
    assert {row.precision for row in rows} == {"fp32", "tf32", "bf16"}
    assert all((row.error > 1e-4) == (row.precision == "bf16") for row in rows)


def test_pytorch_has_no_rows_for_what_it_does_not_run(torch_on_cpu):
    assert torch_on_cpu.time_torch(small("ema", 2, 24), QUICK, CEILINGS) == []


def test_pytorchs_denoising_loop_is_ours(torch_on_cpu):
    case = next(case for case in gpu_listed(quick=True) if case.op == "sample")
    made = []

    def compiled(f, mode):
        made.append(mode)
        return f

    prepared = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch_on_cpu.torch, "compile", compiled)
        for mode in ("eager", "compiled"):
            prepared.append(torch_on_cpu._whole(case, "channels_last", mode, "fp32", QUICK))
    assert made == ["max-autotune"]
    expected = case.exact()
    for work in prepared:
        row = Row(case.name, "PyTorch", "", "fp32", 1.0, 1.0)
        with work.inside():
            gpu.check(row, work.outputs(), expected)
            work.run()
        assert row.error < 1e-3
        assert work.per == 4


# --------------------------------------------------------------------------------------- on a GPU


@pytest.mark.gpu
def test_every_rung_is_right_and_timed_on_the_gpu(real_cupy):
    for case in gpu_listed(quick=True):
        if case.kind != "whole":
            rows = gpu.time_rungs(case, QUICK, CEILINGS)
            assert gpu_report.failures(rows) == [], case.name
            assert case.kind == "backward" or any(row.ms for row in rows), case.name


@pytest.mark.gpu
def test_the_loop_and_the_training_step_are_timed_on_the_gpu(real_cupy):
    for case in gpu_listed(quick=True):
        if case.kind == "whole":
            rows = gpu_whole.time_whole(case, QUICK, CEILINGS)
            assert gpu_report.failures(rows) == []
            assert all(row.ms > 0 for row in rows)


@pytest.mark.gpu
def test_the_clock_and_the_ceilings_on_the_gpu(real_cupy):
    found = gpu.measured_ceilings(How())
    assert 1e11 < found.copied < 2e13
    assert 1e12 < found.flops["fp32"] <= 1.1 * found.flops["tf32"] <= 1.3 * found.flops["fp16"]
    x = real_cupy.zeros(1 << 26, "float32")
    once, four = (
        np.median(gpu.milliseconds(lambda n=n: [x.fill(1.0) for _ in range(n)], How()))
        for n in (1, 4)
    )
    assert 3 < four / once < 5


@pytest.mark.gpu
def test_pytorch_is_timed_beside_us_on_the_gpu(real_cupy):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch is not for CUDA")
    from minigen.kernels.bench import gpu_torch

    for name in ("conv2d 4x8x8x64 * 3x3x64x64", "layer_norm 4x64x96 backward"):
        (case,) = (case for case in gpu_listed(quick=True) if case.name == name)
        rows = gpu_torch.time_torch(case, QUICK, CEILINGS)
        assert gpu_report.failures(rows) == []
        assert {row.variant.partition(",")[0] for row in rows} == set(gpu_torch.MODES)

"""Every CUDA rung of the convolution and of its gradients, around its tiles, in several orders."""

from functools import cache

import numpy as np
import pytest
from close import assert_close
from cuda_rungs import WHERE, launch, rungs_of

from minigen import Tensor, use_kernels
from minigen.kernels.conv2d import k3_columns, k5_winograd, k6_implicit_mma
from minigen.kernels.conv2d_weight_grad import k2_split
from minigen.kernels.cpu import emulated
from minigen.kernels.cpu.runner import rung_module
from minigen.kernels.precision import use_precision
from minigen.ops.conv import conv2d, conv2d_input_grad, conv2d_weight_grad

# x (N, H, W, C), O, kernel, stride, padding
CASES = [
    ((1, 1, 1, 1), 1, (1, 1), 1, 0),  # one of everything
    ((1, 1, 1, 1), 1, (3, 3), 1, 1),  # most of the filter lies outside
    ((2, 5, 7, 3), 5, (3, 3), 1, 1),
    ((3, 4, 6, 4), 4, (3, 3), 1, (0, 2)),
    ((1, 9, 8, 8), 33, (3, 3), 1, 1),  # one more than a tile of rows, and than one of outputs
    ((3, 4, 11, 17), 65, (3, 3), 1, 1),
    ((1, 12, 12, 9), 64, (1, 1), 1, 0),  # 144 pixels: more than 128
    ((2, 8, 16, 4), 4, (4, 4), 2, 1),
    ((1, 9, 6, 5), 3, (7, 7), 1, 3),
    ((1, 9, 8, 3), 4, (2, 3), (2, 1), (0, 2)),
    ((1, 24, 22, 4), 4, (3, 3), 1, 1),  # 132 tiles of 2 x 2
    ((2, 5, 4, 2), 2, (2, 2), 1, (3, 2)),  # more padding than filter: rows of zeros
    ((1, 7, 7, 2), 2, (1, 2), 3, 0),  # pixels that no output reads
]


@cache
def example(case):
    """x, w, an upstream gradient of the output, and the steps."""
    shape, O, kernel, stride, padding = case
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape, np.float32)
    w = rng.standard_normal((*kernel, shape[3], O), np.float32)
    steps = {"stride": stride, "padding": padding}
    return x, w, rng.standard_normal(conv2d.forward(x, w, **steps).shape, np.float32), steps


@cache
def coarse_example(case):
    """The same with numbers that every precision has, so that only the sums are rounded."""
    x, w, g, steps = example(case)
    x, w, g = (np.round(4 * a.clip(-3, 3)) / 4 for a in (x, w, g))  # 5 bits
    return x, w, g, steps


def takes(op, rung, case):
    """Winograd's rungs are for 3x3 at stride 1."""
    return "winograd" not in rung or (case[2], case[3]) == ((3, 3), 1)


@cache
def exact(op, case, example=example):
    """In float64, rounded once."""
    x, w, g, steps = example(case)
    x, w, g = (a.astype(np.float64) for a in (x, w, g))
    if op == "conv2d":
        y = conv2d.forward(x, w, **steps)
    elif op == "conv2d_input_grad":
        y = conv2d_input_grad.forward(g, w, size=x.shape[1:3], **steps)
    else:
        y = conv2d_weight_grad.forward(g, x, kernel_size=w.shape[:2], **steps)
    return np.ascontiguousarray(y, np.float32)


def by(op, rung, where, case, example=example):
    """What the rung makes of the case."""
    x, w, g, steps = example(case)
    if op == "conv2d":
        return launch(where, f"{op}/{rung}", [x, w], **steps)
    if op == "conv2d_input_grad":
        return launch(where, f"{op}/{rung}", [g, w], size=x.shape[1:3], **steps)
    return launch(where, f"{op}/{rung}", [g, x], kernel_size=w.shape[:2], **steps)


OPS = ("conv2d", "conv2d_input_grad", "conv2d_weight_grad")
RUNGS = [(op, rung) for op in OPS for rung in rungs_of(op) if "mma" not in rung]
MMA = [(op, rung) for op in OPS for rung in rungs_of(op) if "mma" in rung]


TAKEN = [(*rung, case) for rung in RUNGS for case in CASES if takes(*rung, case)]


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize(("op", "rung", "case"), TAKEN, ids=str)
def test_rung_is_the_reference(op, rung, case, where):
    assert_close(by(op, rung, where, case), exact(op, case), 64)


def by_tensor_cores(op, rung, where, case, kind):
    with use_precision(kind):
        return by(op, rung, where, case, coarse_example)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize(("op", "rung"), MMA)
def test_tensor_cores_are_the_reference_for_numbers_of_few_bits(op, rung, case, where):
    y = by_tensor_cores(op, rung, where, case, "bf16")
    assert_close(y, exact(op, case, coarse_example), 64)


LARGE = ((1, 12, 11, 20), 68, (2, 2), 1, 1)  # more than one tile of 128 pixels and of 64 outputs


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("kind", ["fp16", "tf32"])
@pytest.mark.parametrize(("op", "rung"), MMA)
def test_tensor_cores_in_their_other_precisions_and_large_tiles(op, rung, kind, where, monkeypatch):
    if (op, kind) == ("conv2d_weight_grad", "tf32"):
        return
    monkeypatch.setattr(k6_implicit_mma, "FULL", 1)
    y = by_tensor_cores(op, rung, where, LARGE, kind)
    assert_close(y, exact(op, LARGE, coarse_example), 64)


@pytest.mark.parametrize(("kind", "bits"), [("bf16", 8), ("fp16", 11)])
@pytest.mark.parametrize(("op", "rung"), MMA)
def test_tensor_cores_round_the_factors_and_not_the_sums(op, rung, kind, bits):
    case = ((2, 8, 6, 17), 20, (3, 3), 1, 1)
    with use_precision(kind):
        y = by(op, rung, 0, case)
    x, w, g, _ = example(case)
    factors = {"conv2d": (x, w), "conv2d_input_grad": (g, w), "conv2d_weight_grad": (g, x)}[op]
    terms = {"conv2d": 9 * 17, "conv2d_input_grad": 9 * 20, "conv2d_weight_grad": 2 * 48}[op]
    # each product is off by 2^-bits at most twice; their errors add up like a random walk
    size = np.prod([np.sqrt(np.square(a).mean()) for a in factors])
    error = np.abs(y - exact(op, case)).max()
    assert 0 < error < 6 * size * np.sqrt(terms) * 2.0**-bits


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("rung", [k3_columns, k5_winograd])
def test_a_few_images_at_a_time_are_all_of_them(rung, where, monkeypatch):
    case = ((5, 4, 3, 2), 3, (3, 3), 1, 1)
    name = rung.__name__.rpartition(".")[2]
    for images in (1, 2):
        largest = 4 * 12 * 36 if rung is k3_columns else 4 * 16 * 4 * 8  # bytes of an image
        monkeypatch.setattr(rung, "BYTES", images * largest)
        assert_close(by("conv2d", name, where, case), exact("conv2d", case), 64)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("least", [7, 8, 33])
@pytest.mark.parametrize("rung", ["k2_split", "k3_split_mma"])
def test_parts_of_a_sum_are_the_sum_and_give_the_same_bits(rung, least, where, monkeypatch):
    monkeypatch.setattr(k2_split, "LEAST", least)
    op, case = "conv2d_weight_grad", ((2, 5, 7, 3), 5, (3, 3), 1, 1)
    with use_precision("fp16"):
        gw = by(op, rung, where, case, coarse_example)
        assert gw.tobytes() == by(op, rung, where, case, coarse_example).tobytes()
        assert gw.tobytes() == by(op, rung, 0, case, coarse_example).tobytes() or where == "gpu"
    assert_close(gw, exact(op, case, coarse_example), 64)


def with_a_nan(case):
    x, w, g, steps = coarse_example(case)
    x, g = x.copy(), g.copy()
    x[1, 2, 2, 0] = g[1, 2, 2, 0] = np.nan
    return x, w, g, steps


@pytest.mark.parametrize(("op", "rung"), RUNGS + MMA)
def test_a_nan_stays_among_its_neighbours(op, rung):
    with use_precision("bf16"):
        y = by(op, rung, 0, ((3, 5, 6, 3), 4, (3, 3), 1, 1), with_a_nan)
    reach = np.zeros(y.shape, bool)
    if op == "conv2d_weight_grad":
        reach[..., 0] = reach[:, :, 0] = True
    else:
        reach[1, 1:4, 1:4] = True
    assert np.isnan(y[reach]).all()
    if "winograd" in rung:
        reach[1, :4, :4] = True  # all of the tiles of 2 x 2
    assert np.isfinite(y[~reach]).all()


def as_views(case):
    x, w, g, steps = coarse_example(case)
    odd = np.zeros(1 + x.size, np.float32)[1:].reshape(x.shape)  # no multiple of 16 bytes
    odd[:] = x
    return odd, np.asfortranarray(w), np.repeat(g, 2, axis=3)[..., ::2], steps


@pytest.mark.parametrize(("op", "rung"), RUNGS + MMA)
def test_views_are_read_as_they_are(op, rung):
    case = ((2, 6, 6, 4), 4, (3, 3), 1, 1)
    with use_precision("bf16"):
        y = by(op, rung, 0, case, as_views)
    assert_close(y, exact(op, case, coarse_example), 64)
    assert y.flags.c_contiguous


def test_gradients_come_from_the_rungs_of_the_other_two():
    case = ((2, 8, 6, 3), 5, (4, 4), 2, 1)
    x, w, g, steps = example(case)
    tx, tw = Tensor(x, requires_grad=True), Tensor(w, requires_grad=True)
    grads = {"conv2d_input_grad": "k2_implicit", "conv2d_weight_grad": "k2_split"}
    with emulated(2), use_kernels(conv2d="k4_implicit", **grads):
        conv2d(tx, tw, **steps).backward(g)
    assert_close(tx.grad.data, exact("conv2d_input_grad", case), 64)
    assert_close(tw.grad.data, exact("conv2d_weight_grad", case), 64)


def refusal(rung, *shapes, dtype=np.float32, **settings):
    with emulated():
        module = rung_module(rung)
        return module.supports(*(np.broadcast_to(dtype(0), s) for s in shapes), **settings)


def test_refusals_say_why():
    x, w, y = (2, 6, 6, 3), (3, 3, 3, 4), (2, 4, 4, 4)
    assert refusal("conv2d/k1_naive", x, w) is None
    assert refusal("conv2d/k1_naive", x, (3, 3, 4, 4)) == "the shapes do not fit"
    assert refusal("conv2d/k1_naive", x, (7, 7, 3, 4)) == "the shapes do not fit"
    assert refusal("conv2d/k1_naive", x[1:], w) == "the shapes do not fit"
    assert refusal("conv2d/k1_naive", (0, 6, 6, 3), w) == "an axis is empty"
    assert refusal("conv2d/k1_naive", (2**15, 2**9, 2**7, 3), w) == "it counts pixels in 32 bits"
    assert refusal("conv2d/k1_naive", x, w, dtype=np.float64) == "it takes float32, got float64"
    assert "48 KB" in refusal("conv2d/k2_halo", (1, 40, 40, 1), (20, 20, 1, 1))
    assert refusal("conv2d/k5_winograd", x, w, stride=2) == "it is for 3x3 filters at stride 1"
    assert refusal("conv2d/k5_winograd", x, (1, 3, 3, 4)) == "it is for 3x3 filters at stride 1"
    assert refusal("conv2d_input_grad/k1_naive", y, w, size=(6, 6)) is None
    assert refusal("conv2d_input_grad/k1_naive", y, w, size=(7, 6)) == "the shapes do not fit"
    assert refusal("conv2d_input_grad/k1_naive", y[1:], w, size=(6, 6)) == "the shapes do not fit"
    assert refusal("conv2d_weight_grad/k1_naive", y, x, kernel_size=(3, 3)) is None
    assert refusal("conv2d_weight_grad/k1_naive", y, x, kernel_size=(2, 3)) is not None
    assert refusal("conv2d_weight_grad/k1_naive", y, x[1:], kernel_size=(3, 3)) is not None
    assert "precision is fp32" in refusal("conv2d/k6_implicit_mma", x, w)
    assert "precision is fp32" in refusal("conv2d_input_grad/k3_implicit_mma", y, w, size=(6, 6))
    with use_precision("tf32"):
        assert refusal("conv2d/k6_implicit_mma", x, w) is None
        assert "tf32" in refusal("conv2d_weight_grad/k3_split_mma", y, x, kernel_size=(3, 3))
    assert "CuPy arrays" in rung_module("conv2d/k1_naive").supports(np.ones(x), np.ones(w))

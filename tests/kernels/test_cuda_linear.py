"""Every CUDA rung of linear and its gradients, in several orders of blocks and threads."""

import importlib

import numpy as np
import pytest
from close import assert_close
from cuda_rungs import WHERE, launch, rungs_of
from rounding import choices, rounded

from minigen.kernels.cpu import emulated
from minigen.kernels.precision import use_precision

# leading axes of x, K, M
SIZES = [((), 1, 1), ((16,), 16, 16), ((17,), 15, 33), ((2, 3), 40, 5), ((65,), 33, 68)]
every_rung = pytest.mark.parametrize(("rung", "precision"), choices(rungs_of("linear")))


def example(rng, lead, K, M):
    """x, w, b and an upstream gradient."""
    all_shapes = (*lead, K), (K, M), (M,), (*lead, M)
    return [rng.standard_normal(shape, np.float32) for shape in all_shapes]


def exact(x, w, b, g, precision):
    """y, gx, gw, gb in float64, of rounded numbers."""
    x, w, products_g = (rounded(a, precision).astype(float) for a in (x, w, g))
    rows, rows_g = x.reshape(-1, x.shape[-1]), products_g.reshape(-1, w.shape[1])
    gb = g.astype(float).reshape(-1, w.shape[1]).sum(0)  # which no rung rounds
    both = x @ w + b, products_g @ w.T, rows.T @ rows_g, gb
    return [a.astype(np.float32) for a in both]


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("size", SIZES, ids=str)
@every_rung
def test_rung_and_its_gradients(rung, precision, size, where, rng):
    x, w, b, g = example(rng, *size)
    with use_precision(precision):
        y, gradients = launch(where, f"linear/{rung}", [x, w, b], g)
    for a, expected in zip((y, *gradients), exact(x, w, b, g, precision)):
        assert_close(a, expected, max(len(w), x.size // len(w), w.shape[1]))


@every_rung
def test_only_the_gradients_that_are_needed(rung, precision, rng):
    x, w, b, g = example(rng, (4,), 3, 2)
    with use_precision(precision):
        for i in range(3):
            needs = tuple(n == i for n in range(3))
            _, gradients = launch(0, f"linear/{rung}", [x, w, b], g, needs)
            assert [a is not None for a in gradients] == list(needs)


@every_rung
def test_views(rung, precision, rng):
    x, w, b, _ = example(rng, (10,), 12, 14)
    x, w, b = x[::2, ::3], w[::3, ::2], b[::2]
    with use_precision(precision):
        y = launch(1, f"linear/{rung}", [x, w, b])
    assert_close(y, exact(x.copy(), w.copy(), b, np.zeros((5, 7), "f"), precision)[0], 4)


def test_precision_of_the_call_holds_for_its_gradients(rng):
    x, w, b, g = example(rng, (40,), 30, 20)
    rung = importlib.import_module("minigen.kernels.linear.k3_mma")
    with emulated():
        with use_precision("bf16"):
            _, pull = rung.launch(x, w, b)
        gx, *_ = pull(g, (True, False, False))
    assert_close(gx, exact(x, w, b, g, "bf16")[1], 20)


@pytest.mark.parametrize(
    ("all_shapes", "reason"),
    [
        (((2, 3), (4, 5), (5,)), "the shapes do not fit"),
        (((2, 3), (3, 5), (4,)), "the shapes do not fit"),
        (((0, 3), (3, 5), (5,)), "an axis is empty"),
        (((1, 1), (1, 1048561), (1048561,)), "w has more columns than a grid has blocks for"),
    ],
)
@pytest.mark.parametrize("rung", rungs_of("linear"))
def test_what_a_rung_refuses(rung, all_shapes, reason):
    x, w, b = (np.broadcast_to(np.float32(0), shape) for shape in all_shapes)
    with emulated():
        module = importlib.import_module(f"minigen.kernels.linear.{rung}")
        assert module.supports(x, w, b) == reason


def test_tensor_cores_wait_for_permission(rng):
    x, w, b, _ = example(rng, (2,), 2, 2)
    rung = importlib.import_module("minigen.kernels.linear.k3_mma")
    with emulated():
        assert rung.supports(x, w, b) == "it rounds what it multiplies, and the precision is fp32"

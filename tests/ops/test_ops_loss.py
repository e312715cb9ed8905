"""Losses against their formulas, one element at a time, and far from 0."""

import math

import numpy as np
import pytest
from close import assert_close

from minigen import ops
from minigen.autograd import Tensor


def bce(x, t):
    p = 1 / (1 + math.exp(-x))
    return -t * math.log(p) - (1 - t) * math.log(1 - p)


def huber(x, t, delta=1.0):
    d = abs(x - t)
    return d * d / 2 if d <= delta else delta * (d - delta / 2)


FORMULAS = {
    "mse_loss": lambda x, t: (x - t) ** 2,
    "l1_loss": lambda x, t: abs(x - t),
    "huber_loss": huber,
    "bce_with_logits": bce,
}
EACH_LOSS = pytest.mark.parametrize("name", FORMULAS)


@EACH_LOSS
def test_loss_is_its_formula_under_every_reduction(name, rng):
    x, t = rng.standard_normal((3, 4)) * 2, rng.random((3, 4))
    each = np.vectorize(FORMULAS[name])(x, t)
    loss = getattr(ops, name)
    assert_close(loss(x, t, reduction="none").data, each, 2)
    assert_close(loss(x, t, reduction="sum").data, np.asarray(each.sum()), 4)
    assert_close(loss(x, t).data, np.asarray(each.mean()), 4)


@EACH_LOSS
def test_target_may_be_one_number(name, rng):
    x = rng.standard_normal((3, 4))
    loss = getattr(ops, name)
    assert_close(loss(x, 0.25).data, loss(x, np.full((3, 4), 0.25)).data)


@EACH_LOSS
def test_shapes_that_would_broadcast_are_refused(name):
    with pytest.raises(ValueError, match=rf"{name}: x is \(3, 4\), the target is \(3, 1\)"):
        getattr(ops, name)(np.zeros((3, 4)), np.zeros((3, 1)))


@pytest.mark.parametrize("name", [*FORMULAS, "cross_entropy"])
def test_an_unknown_reduction_is_named(name):
    target = np.zeros(3, int) if name == "cross_entropy" else np.zeros((3, 4))
    with pytest.raises(ValueError, match=f"{name}: reduction is 'max', expected"):
        getattr(ops, name)(np.zeros((3, 4)), target, reduction="max")


@pytest.mark.parametrize("delta", [0.1, 1.0, 3.0])
def test_huber_loss_changes_from_square_to_line_at_delta(delta):
    x = np.linspace(-5, 5, 41)
    expected = np.array([huber(v, 0.0, delta) for v in x])
    assert_close(ops.huber_loss(x, 0.0, delta, reduction="none").data, expected)
    with pytest.raises(ValueError, match="huber_loss: delta is 0, expected a number above 0"):
        ops.huber_loss(x, 0.0, delta=0)


@pytest.mark.parametrize(("x", "t", "loss"), [(200, 1, 0), (200, 0, 200), (-200, 1, 200)])
def test_bce_with_logits_is_right_where_the_sigmoid_is_0_or_1(x, t, loss):
    x = Tensor(np.full(2, x, np.float32), requires_grad=True)
    y = ops.bce_with_logits(x, np.full(2, t, np.float32))
    y.backward()
    assert y.item() == pytest.approx(loss)
    assert np.isfinite(x.grad.data).all()


def test_cross_entropy_is_minus_the_log_of_the_probability(rng):
    logits, target = rng.standard_normal((2, 3, 5)), rng.integers(0, 5, (2, 3))
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    each = -np.log(np.take_along_axis(p, target[..., None], -1)[..., 0])
    assert_close(ops.cross_entropy(logits, target, reduction="none").data, each, 2)
    assert_close(ops.cross_entropy(logits, target).data, np.asarray(each.mean()), 2)


def test_cross_entropy_of_large_logits_is_finite():
    loss = ops.cross_entropy(np.array([[1e4, 0, -1e4]]), np.array([1]))
    assert loss.item() == pytest.approx(1e4)


def test_cross_entropy_gradient_sums_to_zero_over_the_classes(rng):
    logits = Tensor(rng.standard_normal((4, 5)), requires_grad=True)
    ops.cross_entropy(logits, np.arange(4)).backward()
    assert np.abs(logits.grad.data.sum(-1)).max() < 1e-15
    assert (logits.grad.data[range(4), range(4)] < 0).all()


@pytest.mark.parametrize(
    ("target", "error", "text"),
    [
        (np.zeros((3, 1), int), ValueError, r"logits are \(3, 4\), the target is \(3, 1\)"),
        (np.array([0, 4, 1]), ValueError, "targets from 0 to 4, expected 0 to 3"),
        (np.array([0, -1, 1]), ValueError, "targets from -1 to 1, expected 0 to 3"),
        (np.zeros(3), TypeError, "the target is float64, expected integers"),
    ],
)
def test_targets_that_are_no_classes_are_refused(target, error, text):
    with pytest.raises(error, match=f"cross_entropy: {text}"):
        ops.cross_entropy(np.zeros((3, 4)), target)


def test_gaussian_kl_is_the_integral_summed_over_latents_and_averaged_over_the_batch(rng):
    mu, log_var = rng.standard_normal((2, 3, 2))
    z, step = np.linspace(-30, 30, 60001, retstep=True)
    total = 0.0
    for m, s in zip(mu.ravel(), np.exp(log_var / 2).ravel()):
        q = np.exp(-(((z - m) / s) ** 2) / 2) / (s * math.sqrt(2 * math.pi))
        log_ratio = -(((z - m) / s) ** 2) / 2 - math.log(s) + z**2 / 2
        total += (q * log_ratio).sum() * step
    assert ops.gaussian_kl(mu, log_var).item() == pytest.approx(total / 3, rel=1e-9)


def test_gaussian_kl_is_zero_at_the_standard_normal_and_positive_elsewhere(rng):
    assert ops.gaussian_kl(np.zeros((3, 2)), np.zeros((3, 2))).item() == 0
    mu, log_var = Tensor(np.zeros((3, 2)), True), Tensor(np.zeros((3, 2)), True)
    ops.gaussian_kl(mu, log_var).backward()
    assert np.abs([mu.grad.data, log_var.grad.data]).max() == 0
    for mu, log_var in rng.standard_normal((20, 2, 3, 2)):
        assert ops.gaussian_kl(mu, log_var).item() > 0

"""Normalisations against their one formula, and what they must not see."""

import numpy as np
import pytest
from close import assert_close

from minigen import ops
from minigen.autograd import Tensor

# the elements that share a mean: x as an array whose axes `fold` do
SHARED = {
    "layer_norm": (lambda x: x, (-1,)),
    "instance_norm": (lambda x: x, (1, 2)),
    "batch_norm": (lambda x: x, (0, 1, 2)),
    "group_norm": (lambda x: x.reshape(*x.shape[:-1], 3, -1), (1, 2, 4)),
}
CALLS = {
    "layer_norm": ops.layer_norm,
    "instance_norm": ops.instance_norm,
    "batch_norm": lambda x, w=None, b=None: ops.batch_norm(x, None, None, w, b, training=True),
    "group_norm": lambda x, w=None, b=None: ops.group_norm(x, 3, w, b),
}
EACH_NORM = pytest.mark.parametrize("name", CALLS)


def formula(name, x, eps=1e-5):
    view, fold = SHARED[name]
    z = view(x)
    z = (z - z.mean(fold, keepdims=True)) / np.sqrt(z.var(fold, keepdims=True) + eps)
    return z.reshape(x.shape)


@EACH_NORM
def test_norm_is_its_formula_and_none_means_ones_and_zeros(name, rng):
    x, w, b = rng.standard_normal((2, 3, 4, 6)), rng.standard_normal(6), rng.standard_normal(6)
    assert_close(CALLS[name](x).data, formula(name, x), 4)
    assert_close(CALLS[name](x, w, b).data, formula(name, x) * w + b, 4)


def test_group_norm_silu_is_silu_of_group_norm(rng):
    x, w, b = rng.standard_normal((2, 3, 4, 6)), rng.standard_normal(6), rng.standard_normal(6)
    h = formula("group_norm", x) * w + b
    assert_close(ops.group_norm_silu(x, 3, w, b).data, h / (1 + np.exp(-h)), 4)
    h = formula("group_norm", x)
    assert_close(ops.group_norm_silu(x, 3).data, h / (1 + np.exp(-h)), 4)


@pytest.mark.parametrize("f", [ops.group_norm, ops.group_norm_silu])
def test_rows_of_weight_and_bias_are_for_the_images(f, rng):
    x, w, b = rng.standard_normal((2, 3, 4, 6)), rng.standard_normal((2, 6)), rng.standard_normal(6)
    for n in range(2):
        alone = f(x[n : n + 1], 3, w[n], b).data
        assert_close(f(x, 3, w, b).data[n : n + 1], alone)
        assert_close(f(x, 3, w[n], np.stack([b, b])).data[n : n + 1], alone)


def test_rms_norm_is_its_formula(rng):
    x, w = rng.standard_normal((2, 3, 4)), rng.standard_normal(4)
    expected = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * w
    assert_close(ops.rms_norm(x, w).data, expected, 2)


@EACH_NORM
def test_elements_that_share_a_mean_have_mean_0_and_variance_1(name, rng):
    view, fold = SHARED[name]
    y = view(CALLS[name](rng.standard_normal((4, 8, 8, 30)) * 5 + 3).data)
    assert np.abs(y.mean(fold)).max() < 1e-12
    assert np.abs(y.var(fold) - 1).max() < 1e-5


@EACH_NORM
def test_scale_and_shift_of_the_input_do_not_show(name, rng):
    x = rng.standard_normal((2, 5, 5, 12))
    np.testing.assert_allclose(CALLS[name](x * 1e3 + 50).data, CALLS[name](x).data, atol=1e-4)


@EACH_NORM
def test_gradient_is_orthogonal_to_shift_and_scale(name, rng):
    view, fold = SHARED[name]
    x = Tensor(rng.standard_normal((2, 5, 5, 12)) * 1e3, requires_grad=True)  # eps is nothing
    CALLS[name](x).backward(rng.standard_normal(x.shape))
    gx, z = view(x.grad.data * 1e3), view(x.data / 1e3)
    assert np.abs(gx.sum(fold)).max() < 1e-10
    assert np.abs((gx * z).sum(fold)).max() < 1e-8


@EACH_NORM
def test_float32_keeps_its_digits_far_from_zero(name, rng):
    x = (rng.standard_normal((2, 8, 8, 12)) + 1000).astype(np.float32)
    exact = formula(name, x.astype(np.float64))
    np.testing.assert_allclose(CALLS[name](x).data, exact, atol=1e-3)  # 10 roundings of 1000


def test_group_norm_has_instance_norm_and_layer_norm_as_its_ends(rng):
    x = rng.standard_normal((2, 3, 3, 6))
    assert_close(ops.group_norm(x, 6).data, ops.instance_norm(x).data)
    token = x[:, :1, :1]
    assert_close(ops.group_norm(token, 1).data, ops.layer_norm(token).data, 4)


def test_running_statistics_move_towards_those_of_the_batch_as_in_pytorch(rng):
    x = rng.standard_normal((4, 3, 3, 2)) * 3 + 1
    mean, var = np.zeros(2), np.ones(2)
    ops.batch_norm(x, mean, var, training=True, momentum=0.25)
    assert_close(mean, 0.25 * x.mean((0, 1, 2)))
    assert_close(var, 0.75 + 0.25 * x.var((0, 1, 2), ddof=1))


def test_running_statistics_are_used_and_not_touched_after_training(rng):
    x, mean, var = rng.standard_normal((4, 3, 2)), np.array([1.0, -2]), np.array([4.0, 9])
    y = ops.batch_norm(x, mean, var, eps=0.0)
    assert_close(y.data, (x - [1, -2]) / [2, 3])
    assert (mean.tolist(), var.tolist()) == ([1, -2], [4, 9])


X = np.zeros((2, 3, 3, 6))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: ops.group_norm(X, 4),
            "group_norm: x has C = 6 channels, expected a multiple of 4",
        ),
        (lambda: ops.group_norm(X, 2, X[0, 0, 0, :4]), "group_norm: .*, weight has shape .4,"),
        (
            lambda: ops.group_norm_silu(X, 4),
            "group_norm_silu: x has C = 6 channels, expected a mul",
        ),
        (lambda: ops.group_norm(X, 2, None, X[:1, 0, 0]), "group_norm: .*, bias has shape .1, 6"),
        (lambda: ops.layer_norm(X, None, X[:, 0, 0]), "layer_norm: .*, bias has shape .2, 6"),
        (lambda: ops.layer_norm(X, None, X[0, 0, 0, :4]), "layer_norm: .*, bias has shape .4,"),
        (
            lambda: ops.rms_norm(X, X[0, 0]),
            "rms_norm: x has C = 6 channels, weight has shape .3, 6",
        ),
        (lambda: ops.batch_norm(X, None, None), "batch_norm: without training it needs running_m"),
    ],
)
def test_errors_say_what_came_and_what_was_expected(call, text):
    with pytest.raises(ValueError, match=text):
        call()

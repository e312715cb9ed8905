"""Reductions against plain formulas, and the softmax family far from 0."""

import numpy as np
import pytest
from close import assert_close

from minigen import ops
from minigen.autograd import Tensor

AXES = [None, 0, -1, (0, 2), (-1, 0, 1)]


def lengths(x, axis):
    return x.size // np.sum(x, axis=axis).size


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("name", ["sum", "mean", "max", "var", "logsumexp"])
def test_reduction_is_numpys(name, axis, keepdims, rng):
    x = rng.standard_normal((3, 4, 5))
    expected = {
        "var": lambda x, **k: ((x - x.mean(axis, keepdims=True)) ** 2).mean(**k),
        "logsumexp": lambda x, **k: np.log(np.exp(x).sum(**k)),
    }.get(name, getattr(np, name, None))(x, axis=axis, keepdims=keepdims)
    y = getattr(ops, name)(x, axis=axis, keepdims=keepdims).data
    assert_close(y, np.asarray(expected), 4)


@pytest.mark.parametrize("axis", [1, (0, 2)])
def test_correction_divides_by_one_less(axis, rng):
    x = rng.standard_normal((3, 4, 5))
    n = lengths(x, axis)
    ratio = ops.var(x, axis, correction=1).data / ops.var(x, axis).data
    assert_close(ratio, np.full_like(ratio, n / (n - 1)))


def test_var_keeps_its_digits_far_from_zero(rng):
    x = rng.standard_normal((64, 100)).astype(np.float32) + np.float32(4096)
    exact = x.astype(np.float64).var(axis=1)
    np.testing.assert_allclose(ops.var(x, axis=1).data, exact, rtol=1e-4)


def test_var_says_when_nothing_is_left_to_divide_by():
    with pytest.raises(ValueError, match="var: 1 elements with correction 1"):
        ops.var(np.zeros((3, 1)), axis=1, correction=1)


def test_equal_maxima_share_the_gradient():
    x = Tensor(np.array([[1.0, 3, 3], [2, 0, 1]]), requires_grad=True)
    ops.max(x, axis=1).backward(np.array([4.0, 5]))
    assert x.grad.data.tolist() == [[0, 2, 2], [5, 0, 0]]


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax_is_positive_sums_to_one_and_is_the_formula(axis, rng):
    x = rng.standard_normal((3, 4, 5))
    y = ops.softmax(x, axis).data
    assert (y > 0).all()
    assert_close(y.sum(axis), np.ones_like(y.sum(axis)))
    assert_close(y, np.exp(x) / np.exp(x).sum(axis, keepdims=True))
    assert_close(ops.log_softmax(x, axis).data, np.log(y))


@pytest.mark.parametrize("op", [ops.softmax, ops.log_softmax], ids=lambda op: op.name)
@pytest.mark.parametrize("shift", [-1e4, 1e4])
def test_softmax_does_not_see_a_common_shift(op, shift):
    x = np.array([[-3.0, 0, 1, 2.5]], np.float32)
    assert_close(op(x + np.float32(shift)).data, op(x).data, 1)


@pytest.mark.parametrize("shift", [-1e4, 1e4])
def test_logsumexp_moves_by_a_common_shift(shift):
    x = np.array([[-3.0, 0, 1, 2.5]])
    assert_close(ops.logsumexp(x + shift).data, ops.logsumexp(x).data + shift)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("reverse", [False, True])
def test_cumsum_adds_up_one_after_the_other(axis, reverse, rng):
    x = rng.standard_normal((3, 4))
    expected, rows = np.zeros_like(x), np.moveaxis(x, axis, 0)
    out = np.moveaxis(expected, axis, 0)
    for i in range(len(rows)):
        out[i] = rows[i:].sum(0) if reverse else rows[: i + 1].sum(0)
    assert_close(ops.cumsum(x, axis, reverse).data, expected)

"""Elementwise ops against formulas of Python's math module, and where they must not overflow."""

import math

import numpy as np
import pytest
from close import assert_close

from minigen import ops
from minigen.autograd import Tensor, grad
from minigen.ops.elementwise import normal_cdf


def phi(x):
    return 0.5 * math.erfc(-x / math.sqrt(2))


def gelu_tanh(x):
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


DEFINITIONS = {
    ops.exp: math.exp,
    ops.sin: math.sin,
    ops.cos: math.cos,
    ops.tanh: math.tanh,
    ops.abs: abs,
    ops.sigmoid: lambda x: 1 / (1 + math.exp(-x)),
    ops.relu: lambda x: max(x, 0.0),
    ops.leaky_relu: lambda x: x if x > 0 else 0.01 * x,
    ops.silu: lambda x: x / (1 + math.exp(-x)),
    ops.gelu: lambda x: x * phi(x),
}


@pytest.mark.parametrize("op", DEFINITIONS, ids=lambda op: op.name)
def test_value_is_the_formula(op):
    x = np.linspace(-3, 3, 25)
    assert_close(op(x).data, np.array([DEFINITIONS[op](float(v)) for v in x]), 2)


@pytest.mark.parametrize("op", [ops.log, ops.sqrt], ids=lambda op: op.name)
def test_log_and_sqrt_are_those_of_math(op):
    x = np.linspace(0.1, 5, 25)
    assert_close(op(x).data, np.array([getattr(math, op.name)(v) for v in x]))


def test_gelu_tanh_is_its_formula_with_tanh():
    x = np.linspace(-4, 4, 33)
    assert_close(ops.gelu(x, "tanh").data, np.array([gelu_tanh(v) for v in x]))


def test_gated_tanh_is_its_formula(rng):
    x = rng.standard_normal((2, 3, 4))
    a, b = x[..., :2], x[..., 2:]
    assert_close(ops.gated_tanh(x).data, np.tanh(a) / (1 + np.exp(-b)), 2)


def test_gated_tanh_takes_pairs_of_channels():
    with pytest.raises(ValueError, match="gated_tanh: x has 3 channels, expected an even number"):
        ops.gated_tanh(np.zeros((2, 3)))


@pytest.mark.parametrize(("dtype", "near", "far"), [("f4", 5e-7, 1.5e-6), ("f8", 2e-15, 1e-14)])
def test_normal_cdf_is_accurate_in_its_tail(dtype, near, far):
    x = np.linspace(-6, 6, 1201).astype(dtype)
    exact = np.array([phi(float(v)) for v in x])
    error = np.abs(normal_cdf.forward(x) / exact - 1)
    assert error[x >= -1].max() <= near
    assert error.max() <= far


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activations_are_finite_at_a_thousand(dtype):
    x = Tensor(np.array([-1000, 1000], dtype), requires_grad=True)
    for op in (ops.sigmoid, ops.silu, ops.gelu, ops.tanh, lambda x: ops.gelu(x, "tanh")):
        y = op(x)
        y.backward(np.ones(2, dtype))
        assert np.isfinite(y.data).all()
    assert np.isfinite(x.grad.data).all()


@pytest.mark.parametrize("op", [ops.sigmoid, ops.silu, ops.gelu], ids=lambda op: op.name)
def test_pieces_do_not_show(op, rng, monkeypatch):
    x = Tensor(rng.standard_normal((5, 7)).T, requires_grad=True)
    whole = op(x)
    (g,) = grad(whole, [x], whole)
    monkeypatch.setattr("minigen.ops.elementwise.PIECE", 4)
    pieces = op(x)
    assert_close(pieces.data, whole.data)
    assert_close(grad(pieces, [x], pieces)[0].data, g.data)


@pytest.mark.parametrize("op", [*DEFINITIONS, ops.log], ids=lambda op: op.name)
def test_a_single_number_stays_without_axes(op):
    x = Tensor(np.float32(0.5), requires_grad=True)
    y = op(x)
    y.backward()
    assert (y.shape, y.dtype, x.grad.shape) == ((), np.float32, ())


@pytest.mark.parametrize("op", [ops.relu, ops.abs], ids=lambda op: op.name)
def test_gradient_at_the_kink_is_zero(op):
    x = Tensor(np.zeros(1), requires_grad=True)
    op(x).backward(np.ones(1))
    assert x.grad.item() == 0


@pytest.mark.parametrize("op", [ops.maximum, ops.minimum], ids=lambda op: op.name)
def test_equal_inputs_share_the_gradient(op):
    a, b = Tensor(np.ones(2), requires_grad=True), Tensor(np.array([1.0, 3]), requires_grad=True)
    op(a, b).backward(np.array([4.0, 8]))
    assert a.grad.data[0] == b.grad.data[0] == 2
    assert sorted([a.grad.data[1], b.grad.data[1]]) == [0, 8]


def test_clip_passes_the_gradient_at_its_bounds_and_not_outside():
    x = Tensor(np.array([-2.0, -1, 0, 1, 2]), requires_grad=True)
    y = ops.clip(x, -1, 1)
    y.backward(np.ones(5))
    assert y.data.tolist() == [-1, -1, 0, 1, 1]
    assert x.grad.data.tolist() == [0, 1, 1, 1, 0]


def test_where_picks_and_sends_gradients_to_what_it_picked():
    a, b = Tensor(np.full((2, 2), 5.0), requires_grad=True), Tensor(7.0, requires_grad=True)
    y = ops.where(np.eye(2, dtype=bool), a, b.astype(np.float64))
    y.backward(np.array([[1.0, 2], [3, 4]]))
    assert y.data.tolist() == [[5, 7], [7, 5]]
    assert a.grad.data.tolist() == [[1, 0], [0, 4]]
    assert b.grad.item() == 5


def test_gelu_names_what_it_does_not_know():
    with pytest.raises(ValueError, match="gelu: approximate is 'fast', expected"):
        ops.gelu(np.zeros(2), "fast")

"""Every backward rule against differences of its forward function, and what it must keep."""

import numpy as np
import pytest
from op_cases import CASES

from minigen import ops
from minigen.autograd import Tensor
from minigen.gradcheck import gradcheck, gradcheck_all

EACH_CASE = pytest.mark.parametrize("name", CASES)


@EACH_CASE
def test_gradient_and_its_gradient_along_random_directions(name):
    case, rng = CASES[name], np.random.default_rng(1)
    gradcheck(case.f, *case.inputs(), rng=rng, order=2)


@EACH_CASE
def test_every_element_of_the_jacobian(name):
    case = CASES[name]
    gradcheck_all(case.f, *case.inputs(seed=2))


@EACH_CASE
def test_float32_stays_float32_in_gradients_of_both_orders(name):
    case = CASES[name]
    xs = [Tensor(x, requires_grad=True) for x in case.inputs(np.float32)]
    y = case.f(*xs)
    assert y.dtype == np.float32
    y.backward(np.ones(y.shape, np.float32), create_graph=True)
    firsts = [x.grad for x in xs]
    assert all(g.dtype == np.float32 for g in firsts)
    for g in firsts:
        if g.requires_grad:
            g.backward(np.ones(g.shape, np.float32), retain_graph=True)
    assert all(x.grad.dtype == np.float32 for x in xs)


@EACH_CASE
def test_inputs_are_not_written_to(name):
    case = CASES[name]
    xs = [Tensor(x, requires_grad=True) for x in case.inputs()]
    g = np.random.default_rng(0).standard_normal(case.f(*xs).shape)
    before = [x.data.copy() for x in xs], g.copy()
    case.f(*xs).backward(g)
    assert all(np.array_equal(x.data, old) for x, old in zip(xs, before[0]))
    assert np.array_equal(g, before[1])


@EACH_CASE
def test_no_gradient_is_made_for_an_input_that_requires_none(name):
    case = CASES[name]
    for wanted in range(len(case.shapes)):
        xs = [Tensor(x, requires_grad=i == wanted) for i, x in enumerate(case.inputs())]
        y = case.f(*xs)
        y.backward(np.ones(y.shape))
        assert [x.grad is not None for x in xs] == [i == wanted for i in range(len(xs))]


@pytest.mark.parametrize(
    "f",
    [
        lambda x, s: ops.leaky_relu(x, s),
        lambda x, s: ops.clip(x, -s, s),
        lambda x, s: ops.where(x > 0, x, s),
        lambda x, s: ops.maximum(x, s),
        lambda x, s: ops.pad(x, ((0, 1), (0, 0)), s),
        lambda x, s: ops.layer_norm(x, eps=s),
        lambda x, s: ops.rms_norm(x, eps=s),
        lambda x, s: ops.group_norm(x, 2, eps=s),
        lambda x, s: ops.batch_norm(x, None, None, training=True, momentum=s, eps=s),
        lambda x, s: ops.huber_loss(x, s, delta=s),
        lambda x, s: ops.mse_loss(x, s),
        lambda x, s: ops.bce_with_logits(x, s),
        lambda x, s: ops.rotary_embedding(x, np.arange(3.0), base=s),
    ],
)
def test_a_float64_number_beside_float32_changes_no_type(f):
    x = Tensor(np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4), requires_grad=True)
    y = f(x, np.float64(0.1))
    y.backward(np.ones(y.shape, np.float32))
    assert (y.dtype, x.grad.dtype) == (np.float32, np.float32)

"""Penalties on slopes: by hand, over all axes, and their gradients against differences."""

import numpy as np
import pytest
from close import assert_close

from minigen import nn
from minigen.autograd import grad
from minigen.gradcheck import gradcheck
from minigen.ops import conv2d, silu, tanh


def test_the_slope_of_a_linear_network_is_its_weight_over_all_axes(rng):
    w, x = (
        rng.standard_normal((2, 4, 4, 3)).astype(np.float64)[:1],
        rng.standard_normal((5, 4, 4, 3)),
    )

    def network(x):
        return (x * w).sum(axis=(1, 2, 3))

    assert_close(nn.squared_slopes(network, x).data, np.full(5, (w**2).sum()), terms=50)


def test_every_answer_has_the_slope_of_its_own_rows(rng):
    x = rng.standard_normal((4, 3))
    found = nn.squared_slopes(lambda x: (x * x).sum(axis=1), x)  # the slope is 2 x
    assert_close(found.data, 4 * (x**2).sum(axis=1), terms=10)


def test_a_pack_has_the_slope_of_all_its_rows(rng):
    x = rng.standard_normal((6, 3))
    found = nn.squared_slopes(lambda x: (x * x).reshape(2, 9).sum(axis=1), x)
    assert_close(found.data, 4 * (x**2).reshape(2, 9).sum(axis=1), terms=20)


def test_r1_is_half_gamma_of_the_mean(rng):
    x = rng.standard_normal((4, 3))
    found = nn.r1_penalty(lambda x: (x * x).sum(axis=1), x, gamma=6.0)
    assert found.item() == pytest.approx(3 * 4 * (x**2).sum() / 4)


def test_gradients_of_r1_are_right_to_order_two(rng):
    x = rng.standard_normal((3, 5, 5, 2))

    def penalty(w, v):
        def network(x):
            return (silu(conv2d(x, w, stride=2)).mean(axis=(1, 2)) @ v).reshape(len(x))

        return nn.r1_penalty(network, x)

    gradcheck(
        penalty, rng.standard_normal((3, 3, 2, 4)), rng.standard_normal((4, 1)), rng=rng, order=2
    )


def test_parameters_get_a_gradient_from_the_loss_alone(rng):
    layer = nn.Linear(3, 1, rng=rng)
    loss = nn.r1_penalty(lambda x: tanh(layer(x)).reshape(len(x)), np.ones((4, 3), np.float32))
    assert layer.weight.grad is None
    assert grad(loss, [layer.weight])[0].shape == (3, 1)


@pytest.mark.parametrize("answers", [lambda x: x, lambda x: x.reshape(8)[:3]])
def test_answers_of_other_shapes_are_refused(answers):
    with pytest.raises(ValueError, match=r"squared_slopes: 4 rows have answers \(.*, expected"):
        nn.squared_slopes(answers, np.ones((4, 2)))

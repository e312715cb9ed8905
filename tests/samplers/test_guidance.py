"""Classifier-free guidance: scale 1 is the conditional, and the formula is linear in the scale."""

import numpy as np
import pytest
from exact_data import Mixture

from minigen.autograd import Tensor
from minigen.samplers import (
    batched_guidance,
    classifier_free_guidance,
    denoiser_from_velocity,
    guided_model,
    sample_flow,
)
from minigen.samplers.by_label import paint_labels

X = np.random.default_rng(0).standard_normal((4, 3))
CONDITIONAL = Mixture((1.0,), (0.5,), (0.3,))
UNCONDITIONAL = Mixture((1.0,), (-0.1,), (0.3,))


def refuse(xt, t):
    raise AssertionError("this must not be evaluated")


def guided(scale):
    return classifier_free_guidance(CONDITIONAL.velocity, UNCONDITIONAL.velocity, scale)


def both(xt, t):
    """The two predictions in one batch of 2 N."""
    N = len(xt) // 2
    return np.concatenate([CONDITIONAL.velocity(xt[:N], t), UNCONDITIONAL.velocity(xt[N:], t)])


def test_scale_1_is_the_conditional_and_costs_one_evaluation():
    for predict in (
        classifier_free_guidance(CONDITIONAL.velocity, refuse, 1.0),
        batched_guidance(CONDITIONAL.velocity, refuse, 1.0),
    ):
        np.testing.assert_array_equal(predict(X, 0.5), CONDITIONAL.velocity(X, 0.5))


def test_scale_0_is_the_unconditional():
    np.testing.assert_array_equal(guided(0.0)(X, 0.5), UNCONDITIONAL.velocity(X, 0.5))


@pytest.mark.parametrize("scale", [-1.0, 0.5, 3.0, 7.5])
def test_guidance_is_linear_in_the_scale(scale):
    at_0, at_1, y = (guided(s)(X, 0.3) for s in (0.0, 1.0, scale))
    np.testing.assert_allclose(y, (1 - scale) * at_0 + scale * at_1, rtol=1e-9)


@pytest.mark.parametrize("scale", [0.0, 1.0, 4.0])
def test_one_batch_gives_what_two_calls_give(scale):
    y = batched_guidance(CONDITIONAL.velocity, both, scale)(X, 0.4)
    np.testing.assert_array_equal(y, guided(scale)(X, 0.4))


def test_guiding_the_velocity_is_guiding_the_guess():
    v, x0 = denoiser_from_velocity(guided(3.0)), (CONDITIONAL.denoise, UNCONDITIONAL.denoise)
    expected = x0[1](X, 0.6, 0.4) + 3.0 * (x0[0](X, 0.6, 0.4) - x0[1](X, 0.6, 0.4))
    np.testing.assert_allclose(v(X, 0.6, 0.4), expected, rtol=1e-9)


@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0])
def test_guided_gaussians_end_at_the_extrapolated_mean(scale):
    """Denoisers of two Gaussians of one width differ by their means; the guided one is a third."""
    z = np.linspace(-2, 2, 9)
    x = sample_flow(guided(scale), z, "flow_euler", steps=2000)
    np.testing.assert_allclose(x, -0.1 + scale * 0.6 + 0.3 * z, atol=0.005)


def labelled(xt, t, label):
    """A model on Tensors: label 1 is the conditional, 0 the null condition."""
    N = len(label)
    assert xt.shape[0] == t.shape[0] == N
    v = np.where(
        label[:, None] == 1,
        CONDITIONAL.velocity(xt.data, t[0]),
        UNCONDITIONAL.velocity(xt.data, t[0]),
    )
    return Tensor(v)


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_guided_model_joins_the_conditions(scale):
    label, null = np.ones(4, int), np.zeros(4, int)
    predict = guided_model(labelled, {"label": label}, {"label": null}, scale)
    np.testing.assert_allclose(predict(X, 0.4), guided(scale)(X, 0.4), rtol=1e-12)


def test_guided_model_needs_null_conditions():
    with pytest.raises(ValueError, match=r"scale is 2.0, expected null_conditions for \['label'\]"):
        guided_model(labelled, {"label": np.ones(4, int)}, None, 2.0)


def test_a_batch_of_the_wrong_size_is_told():
    predict = batched_guidance(CONDITIONAL.velocity, lambda xt, t: xt[:4], 2.0)
    with pytest.raises(ValueError, match="4 predictions came, expected 2 x 4"):
        predict(X, 0.5)


def test_a_picture_of_each_label_whatever_the_batch():
    def sample(n, conditions, null_conditions):
        assert (null_conditions["labels"] == 9).all()
        return np.ones((n, 2, 2, 1)) * conditions["labels"].reshape(n, 1, 1, 1) / 4 - 1

    labels = np.array([0, 4, 8, 2, 6])
    found = [paint_labels(sample, labels, 9, size) for size in (2, 5, 64)]
    for pictures in found:
        np.testing.assert_array_equal(pictures[:, 0, 0, 0], [0, 128, 255, 64, 191])
    with pytest.raises(ValueError, match="no labels"):
        paint_labels(sample, labels[:0], 9)

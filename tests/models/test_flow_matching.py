"""Flow matching: what its loss is at the true velocity, and that a small network learns a ring."""

import math

import numpy as np
import pytest
from ring import RING, Net, fit, nearest

from minigen.autograd import Tensor
from minigen.models.flow_matching.flow_matching import (
    FlowMatchingConfig,
    decode,
    encode,
    loss,
    sample,
)
from minigen.schedules import flow_times

M, S = 0.6, 0.4  # data ~ N(M, S^2)


def true_velocity(xt, t):
    """(xt - E[x0 | xt]) / t for N(M, S^2)."""
    t = t[:, None]
    x0 = ((1 - t) * S**2 * xt.data + t**2 * M) / ((1 - t) ** 2 * S**2 + t**2)
    return Tensor((xt.data - x0) / t)


def expected_loss(mean, std):
    """E over t of var(v | xt) = S^2 / ((1 - t)^2 S^2 + t^2), summed over normal u = logit(t)."""
    u = np.linspace(mean - 8 * std, mean + 8 * std, 4001)
    weights = np.exp(-0.5 * ((u - mean) / std) ** 2)
    t = 1 / (1 + np.exp(-u))
    return (weights * S**2 / ((1 - t) ** 2 * S**2 + t**2)).sum() / weights.sum()


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (1.0, 0.5)])
def test_the_loss_of_the_true_velocity_is_the_variance_that_no_network_can_remove(mean, std):
    rng, n = np.random.default_rng(0), 40_000
    x0 = M + S * rng.standard_normal((n, 1))
    value = loss(true_velocity, x0, rng, FlowMatchingConfig(mean, std)).item()
    assert value == pytest.approx(expected_loss(mean, std), rel=4 * math.sqrt(2.5 / n))


def test_the_loss_of_no_velocity_is_the_length_of_the_lines():
    """E |eps - x0|^2 = 1 + M^2 + S^2 an element."""
    rng, n = np.random.default_rng(0), 40_000
    x0 = M + S * rng.standard_normal((n, 1))
    value = loss(lambda xt, t: Tensor(0 * xt.data), x0, rng).item()
    assert value == pytest.approx(1 + M**2 + S**2, rel=4 * math.sqrt(2.5 / n))


def test_the_model_sees_points_of_the_line_and_its_conditions():
    x0, seen = np.full((5, 2, 3), 7.0), {}

    def model(xt, t, label):
        seen.update(xt=xt.data, t=t, label=label)
        return xt

    loss(model, x0, np.random.default_rng(3), label="cat")
    t = seen["t"][:, None, None]
    eps = (seen["xt"] - (1 - t) * x0) / t
    rng = np.random.default_rng(3)
    rng.standard_normal(5)  # the times come first
    np.testing.assert_allclose(eps, rng.standard_normal(x0.shape), atol=1e-9)
    assert seen["label"] == "cat"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_loss_keeps_the_type_and_repeats_itself(dtype):
    x0 = np.zeros((4, 2), dtype)
    a, b = (loss(lambda xt, t: xt, x0, np.random.default_rng(0)) for _ in range(2))
    assert a.dtype == dtype
    assert a.item() == b.item()


def test_a_prediction_of_another_shape_is_told():
    with pytest.raises(ValueError, match=r"the model returned \(4, 1\), x0 is \(4, 2\)"):
        loss(lambda xt, t: xt[:, :1], np.zeros((4, 2)), np.random.default_rng(0))


@pytest.mark.parametrize("sampler", ["flow_euler", "heun", "ddpm"])
def test_samples_of_the_true_velocity_have_the_moments_of_the_data(sampler):
    x = sample(true_velocity, 4000, np.random.default_rng(0), (1,), sampler=sampler, steps=60)
    assert x.shape == (4000, 1)
    assert x.dtype == np.float32
    assert x.mean() == pytest.approx(M, abs=4 * S / math.sqrt(4000) + 0.005)
    assert x.std() == pytest.approx(S, rel=4 / math.sqrt(8000) + 0.05)


def test_sampling_visits_the_shifted_times():
    times = []

    def model(xt, t):
        times.append(t[0])
        return xt

    sample(model, 2, np.random.default_rng(0), (1,), FlowMatchingConfig(shift=3.0), steps=4)
    np.testing.assert_allclose(times, flow_times(4, shift=3.0)[:-1])


def test_a_small_network_learns_eight_points():
    rng = np.random.default_rng(0)
    model = Net(rng, time_scale=1)
    losses = fit(model, lambda points: loss(model, RING[points], rng))
    assert losses[:10].mean() > 3.5
    assert losses[-100:].mean() < 2.7
    x = sample(model, 400, np.random.default_rng(1), (2,), steps=60)
    distance, share = nearest(x)
    assert np.median(distance) < 0.2
    assert share.min() > 0.06


def test_guidance_leads_to_the_class_that_was_asked_for():
    """Class 1 is the right half of the ring, 2 the left one; 0, one time in five, tells nothing."""
    rng = np.random.default_rng(0)
    model = Net(rng, time_scale=1)

    def guided_loss(points):
        side = np.where(RING[points, 0] > 0.01, 1, 2)
        label = np.where(rng.random(len(points)) < 0.2, 0, side)
        return loss(model, RING[points], rng, label=label)

    fit(model, guided_loss, steps=400)
    asked = {"label": np.repeat([1, 2], 100)}
    nothing = {"label": np.zeros(200, int)}
    x = sample(model, 200, rng, (2,), conditions=asked, null_conditions=nothing, guidance_scale=2.0)
    assert np.mean((x[:, 0] > 0) == (asked["label"] == 1)) > 0.95


X0 = FlowMatchingConfig(prediction_type="x0", max_weight=math.inf)


def true_x0(xt, t):
    return Tensor(xt.data - t[:, None] * true_velocity(xt, t).data)


def test_without_a_limit_the_weighted_error_of_x0_is_that_of_the_velocity():
    x0 = M + S * np.random.default_rng(0).standard_normal((500, 1))
    of_x0, of_velocity = (
        loss(model, x0, np.random.default_rng(1), config).item()
        for model, config in ((true_x0, X0), (true_velocity, FlowMatchingConfig()))
    )
    assert of_x0 == pytest.approx(of_velocity, rel=1e-9)


def test_the_weight_near_the_data_is_limited():
    x0, rng = np.zeros((200, 1)), np.random.default_rng(1)
    config = FlowMatchingConfig(-20.0, 0.1, prediction_type="x0", max_weight=10.0)  # t near 0
    assert loss(lambda xt, t: Tensor(np.ones_like(xt.data)), x0, rng, config).item() == (
        pytest.approx(10.0)
    )


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_networks_that_predict_x0_and_velocity_draw_the_same(scale):
    def draw(model, config):
        given, null = {"label": np.ones(6)}, {"label": np.zeros(6)}
        return sample(
            lambda xt, t, label: Tensor(model(xt, t).data * label[:, None]),
            6, np.random.default_rng(0), (1,), config,
            steps=5, conditions=given, null_conditions=null, guidance_scale=scale,
        )  # fmt: skip

    if scale == 1.0:
        x, y = draw(true_x0, X0), draw(true_velocity, FlowMatchingConfig())
        np.testing.assert_allclose(x, y, atol=1e-5)
    else:  # the null label says x0 = 0: guidance multiplies the prediction
        x = draw(true_x0, X0)
        doubled = sample(
            lambda xt, t: Tensor(scale * true_x0(xt, t).data),
            6, np.random.default_rng(0), (1,), X0, steps=5,
        )  # fmt: skip
        np.testing.assert_allclose(x, doubled, atol=1e-5)


def test_a_predicted_x0_is_clipped():
    config = FlowMatchingConfig(prediction_type="x0", clip=0.5)
    y = sample(lambda xt, t: Tensor(9 + 0 * xt.data), 4, np.random.default_rng(0), (2,), config)
    np.testing.assert_allclose(y, 0.5, atol=1e-6)


def test_an_unknown_prediction_is_refused():
    with pytest.raises(ValueError, match="prediction_type is 'noise'"):
        FlowMatchingConfig(prediction_type="noise")


def whole_velocity(xt, t):
    """`true_velocity` with the t below it divided out, so that it has a value at t = 0 too."""
    t = t[:, None]
    top = t * (xt.data - M) - (1 - t) * S**2 * xt.data
    return Tensor(top / ((1 - t) ** 2 * S**2 + t**2))


def test_the_latent_of_a_picture_is_its_quantile_of_the_noise():
    """Of N(M, S^2) the flow takes z to M + S z, so its way back takes x to (x - M) / S."""
    z = np.linspace(-2, 2, 9)[:, None]
    np.testing.assert_allclose(encode(whole_velocity, M + S * z, steps=400), z, atol=1e-4)
    np.testing.assert_allclose(decode(whole_velocity, z, steps=400), M + S * z, atol=1e-4)


def test_encoding_is_of_order_2_and_decoding_undoes_it():
    x = np.linspace(-0.2, 1.4, 9)[:, None]
    coarse, fine = (
        np.abs(encode(whole_velocity, x, steps=n) - (x - M) / S).max() for n in (40, 80)
    )
    assert math.log2(coarse / fine) == pytest.approx(2, abs=0.15)
    back = decode(whole_velocity, encode(whole_velocity, x, steps=80), steps=80)
    np.testing.assert_allclose(back, x, atol=2e-3)


def test_encoding_knows_its_conditions_and_needs_steps_and_a_velocity():
    x = np.ones((2, 3))
    labelled = encode(lambda xt, t, label: Tensor(0 * xt.data + label), x, conditions={"label": 5})
    np.testing.assert_allclose(labelled, 6.0)
    for config, steps in ((FlowMatchingConfig(), 0), (X0, 3)):
        with pytest.raises(ValueError, match="flow_matching: steps is"):
            encode(whole_velocity, x, config, steps=steps)

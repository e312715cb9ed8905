"""DDPM: the chain, its loss at the true predictor, and that a small network learns a ring."""

import math

import numpy as np
import pytest
from ring import RING, Net, fit, nearest

from minigen.autograd import Tensor
from minigen.models.diffusion.ddpm import (
    DDPMConfig,
    add_noise,
    bound,
    grey_log_prob,
    loss,
    sample,
)
from minigen.schedules import PREDICTION_TYPES, min_snr_weights, prediction_target

M, S = 0.6, 0.4  # data ~ N(M, S^2)


def true_predictor(config):
    """The best possible network for N(M, S^2), on Tensors."""
    alpha_bars = config.alpha_bars()

    def model(xt, t):
        abar = alpha_bars[t][:, None].astype(xt.dtype)
        a, b = abar**0.5, (1 - abar) ** 0.5
        x0 = (a * S**2 * xt.data + b**2 * M) / (a**2 * S**2 + b**2)
        return Tensor(prediction_target(x0, (xt.data - a * x0) / b, abar, config.prediction_type))

    return model


def test_noising_at_once_is_noising_step_by_step():
    """q(x_t | x_0), eq. 4, has the mean and the variance of t steps of q(x_t | x_{t-1}), eq. 2."""
    alpha_bars, n = DDPMConfig(num_timesteps=20).alpha_bars(), 40_000
    rng = np.random.default_rng(0)
    x = np.full(n, 0.7)
    for beta in 1 - alpha_bars[1:11] / alpha_bars[:10]:
        x = math.sqrt(1 - beta) * x + math.sqrt(beta) * rng.standard_normal(n)  # eq. 2
    at_once = add_noise(0.7, rng.standard_normal(n), alpha_bars[10])
    assert x.mean() == pytest.approx(at_once.mean(), abs=4 * math.sqrt(2 / n))
    assert x.var() == pytest.approx(at_once.var(), rel=4 * math.sqrt(4 / n))


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
@pytest.mark.parametrize("gamma", [None, 5.0])
def test_the_loss_of_the_true_predictor_is_the_variance_that_no_network_can_remove(
    prediction_type, gamma
):
    """var(x0 | xt) = S^2 b^2 / (a^2 S^2 + b^2); epsilon's is (a / b)^2 of it, v's 1 / b^2."""
    config = DDPMConfig(50, "linear", prediction_type, gamma)
    rng, n = np.random.default_rng(0), 40_000
    x0 = M + S * rng.standard_normal((n, 1))
    a2 = config.alpha_bars()[1:]
    b2 = 1 - a2
    factor = {"epsilon": a2 / b2, "x0": 1.0, "v": 1 / b2}[prediction_type]
    weights = 1.0 if gamma is None else min_snr_weights(a2, gamma, prediction_type)
    errors = S**2 * b2 / (a2 * S**2 + b2) * factor * weights  # (T,)
    tolerance = 4 * math.sqrt((3 * (errors**2).mean() - errors.mean() ** 2) / n)
    value = loss(true_predictor(config), x0, rng, config).item()
    assert value == pytest.approx(errors.mean(), abs=tolerance)


def test_the_loss_of_no_prediction_is_the_variance_of_the_noise():
    x0 = np.random.default_rng(0).standard_normal((40_000, 1))
    value = loss(lambda xt, t: Tensor(0 * xt.data), x0, np.random.default_rng(1)).item()
    assert value == pytest.approx(1, rel=4 * math.sqrt(2 / 40_000))


def test_times_are_drawn_evenly_from_1_to_the_last():
    seen = []
    model = lambda xt, t: seen.append(t) or xt  # noqa: E731
    loss(model, np.zeros((50_000, 1)), np.random.default_rng(0), DDPMConfig(num_timesteps=10))
    counts = np.bincount(seen[0], minlength=11)
    assert counts[0] == 0
    assert len(counts) == 11
    assert np.abs(counts[1:] - 5000).max() < 4 * math.sqrt(5000)


def test_the_model_sees_noisy_data_and_its_conditions():
    config, seen = DDPMConfig(num_timesteps=10), {}

    def model(xt, t, label):
        seen.update(xt=xt.data, t=t, label=label)
        return xt

    x0 = np.full((5, 2, 3), 7.0)
    loss(model, x0, np.random.default_rng(3), config, label="cat")
    rng = np.random.default_rng(3)
    t = rng.integers(1, 11, 5)
    np.testing.assert_array_equal(seen["t"], t)
    abar = config.alpha_bars()[t][:, None, None]
    np.testing.assert_allclose(seen["xt"], add_noise(x0, rng.standard_normal(x0.shape), abar))
    assert seen["label"] == "cat"


@pytest.mark.parametrize("gamma", [None, 5.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_loss_keeps_the_type_and_repeats_itself(dtype, gamma):
    x0, config = np.zeros((4, 2), dtype), DDPMConfig(min_snr_gamma=gamma)
    a, b = (loss(lambda xt, t: xt, x0, np.random.default_rng(0), config) for _ in range(2))
    assert a.dtype == dtype
    assert a.item() == b.item()


def test_a_prediction_of_another_shape_is_told():
    with pytest.raises(ValueError, match=r"the model returned \(4, 1\), x0 is \(4, 2\)"):
        loss(lambda xt, t: xt[:, :1], np.zeros((4, 2)), np.random.default_rng(0))


def test_an_unknown_schedule_is_told():
    with pytest.raises(ValueError, match="schedule is 'cosin', expected"):
        DDPMConfig(schedule="cosin").alpha_bars()


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_samples_of_the_true_predictor_have_the_moments_of_the_data(schedule, prediction_type):
    config = DDPMConfig(200, schedule, prediction_type, clip=None)
    x = sample(true_predictor(config), 4000, np.random.default_rng(0), (1,), config)
    assert x.shape == (4000, 1)
    assert x.dtype == np.float32
    assert x.mean() == pytest.approx(M, abs=4 * S / math.sqrt(4000) + 0.005)
    assert x.std() == pytest.approx(S, rel=4 / math.sqrt(8000) + 0.05)


def test_clip_keeps_samples_of_an_untrained_network_within_the_range_of_pictures():
    model = lambda xt, t: Tensor(5 * xt.data)  # noqa: E731
    config = DDPMConfig(20, prediction_type="x0")
    x = sample(model, 50, np.random.default_rng(0), (2,), config)
    assert np.abs(x).max() <= 1


@pytest.mark.parametrize(
    ("prediction_type", "reached"), [("epsilon", 0.36), ("x0", 1.5), ("v", 1.85)]
)
def test_a_small_network_learns_eight_points(prediction_type, reached):
    config, rng = DDPMConfig(100, "cosine", prediction_type, clip=3.3), np.random.default_rng(0)
    model = Net(rng, time_scale=1 / 100)
    losses = fit(model, lambda points: loss(model, RING[points], rng, config))
    assert losses[:10].mean() > 1.2 * reached
    assert losses[-100:].mean() < reached
    x = sample(model, 400, np.random.default_rng(1), (2,), config)
    distance, share = nearest(x)
    assert np.median(distance) < 0.2
    assert share.min() > 0.06


# -------------------------------------------------------------------------------------- likelihood


def black_or_white(config):
    """The best network for pixels that are black or white, as often: E x0 = tanh(a xt / b^2)."""
    alpha_bars = config.alpha_bars()

    def model(xt, t):
        abar = alpha_bars[t][:, None].astype(xt.dtype)
        x0, b = np.tanh(abar**0.5 * xt.data / (1 - abar)), (1 - abar) ** 0.5
        eps = (xt.data - abar**0.5 * x0) / b
        return Tensor(prediction_target(x0, eps, abar, config.prediction_type))

    return model


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_the_bound_of_the_true_predictor_is_the_likelihood_but_for_the_length_of_steps(
    schedule, prediction_type
):
    """ln 2 for each pixel, and what the last step misses; the sum of L_t is nearly an integral."""
    pictures = 255 * np.random.default_rng(0).integers(0, 2, (2000, 2)).astype(np.uint8)
    gaps = []
    for T in (100, 1000):
        config = DDPMConfig(T, schedule, prediction_type)
        found = bound(black_or_white(config), pictures, np.random.default_rng(1), config)
        reach = (1 / 255) / math.sqrt(1 - config.alpha_bars()[1])
        last = math.log((1 + math.erf(reach / math.sqrt(2))) / 2)
        gaps.append(2 * (last - math.log(2)) - found.mean())
    assert -4 * found.std() / math.sqrt(2000) < gaps[1] < 0.02
    assert gaps[1] < gaps[0] < 0.12


def test_terms_at_random_times_have_the_mean_of_all():
    pictures = 255 * np.random.default_rng(0).integers(0, 2, (20_000, 1)).astype(np.uint8)
    config, rng = DDPMConfig(50, "cosine", "v"), np.random.default_rng(1)
    model = lambda xt, t: xt * 0.5  # noqa: E731
    every = bound(model, pictures, rng, config)
    some = np.stack([bound(model, pictures[:200], rng, config, draws=7) for _ in range(100)])
    error = some.mean(axis=1).std() / 10  # the times are those of a call
    assert some.mean() == pytest.approx(every.mean(), abs=4 * error)


@pytest.mark.parametrize("std", [0.003, 0.01, 0.3])
def test_the_probabilities_of_all_greys_sum_to_one(std):
    greys, means = np.arange(256, dtype=np.uint8)[:, None], np.linspace(-1.2, 1.2, 41)
    log_p = grey_log_prob(np.broadcast_to(greys, (256, 41)), means, std)
    np.testing.assert_allclose(np.exp(log_p).sum(axis=0), 1, rtol=1e-12)
    assert np.isfinite(log_p).all()
    assert log_p[0, -1] < -(2.19**2) / std**2 / 2


def test_what_has_no_likelihood_is_told():
    pictures, rng = np.zeros((2, 4), np.uint8), np.random.default_rng(0)
    with pytest.raises(ValueError, match="draws is 0, expected at least 1"):
        bound(lambda xt, t: xt, pictures, rng, draws=0)
    with pytest.raises(ValueError, match="got float64, expected uint8"):
        bound(lambda xt, t: xt, np.zeros((2, 4)), rng)

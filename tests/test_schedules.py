"""Schedules: their ends, that they never turn back, and that every conversion can be undone."""

import math
from itertools import pairwise

import numpy as np
import pytest

from minigen.schedules import (
    PREDICTION_TYPES,
    alpha_bars_from_betas,
    alpha_bars_from_times,
    cosine_alpha_bars,
    flow_times,
    karras_sigmas,
    linear_alpha_bars,
    linear_betas,
    logit_normal_times,
    min_snr_weights,
    noise_like,
    prediction_target,
    shift_times,
    sigmas_from_times,
    times_from_alpha_bars,
    times_from_sigmas,
    visited_timesteps,
    warmup_cosine,
    warmup_linear,
    x0_and_eps,
)

RNG = np.random.default_rng(0)
X0, EPS = RNG.standard_normal((2, 4, 3))
ALPHA_BARS = [0.001, 0.3, 0.9, np.array([[0.1], [0.4], [0.6], [0.99]])]


# ----------------------------------------------------------------------------------- discrete times


@pytest.mark.parametrize("alpha_bars", [linear_alpha_bars, cosine_alpha_bars])
@pytest.mark.parametrize("T", [10, 50, 1000])
def test_alpha_bars_fall_from_1_to_nearly_0(alpha_bars, T):
    values = alpha_bars(T)
    assert values.shape == (T + 1,)
    assert values[0] == 1
    assert all(after < now for now, after in pairwise(values))
    assert 0 < values[-1] < 1.1e-3


def test_linear_betas_are_those_of_the_paper():
    betas = linear_betas(1000)
    np.testing.assert_allclose(betas[[0, -1]], [1e-4, 0.02])
    np.testing.assert_allclose(np.diff(betas), (0.02 - 1e-4) / 999)


def test_cosine_alpha_bars_are_the_formula_until_beta_is_cut():
    T, s = 1000, 0.008
    values = cosine_alpha_bars(T)
    for t in (1, 100, 500, 990):
        f = math.cos((t / T + s) / (1 + s) * math.pi / 2) ** 2
        assert values[t] == pytest.approx(f / math.cos(s / (1 + s) * math.pi / 2) ** 2)
    assert values[T] == pytest.approx(values[T - 1] * (1 - 0.999))


def test_alpha_bar_is_the_variance_that_iterated_noising_leaves():
    """x_t = sqrt(1 - beta) x_{t-1} + sqrt(beta) z, followed through its mean and its variance."""
    mean, variance = 1.0, 0.0
    for beta, abar in zip(linear_betas(30), linear_alpha_bars(30)[1:], strict=True):
        mean, variance = math.sqrt(1 - beta) * mean, (1 - beta) * variance + beta
        assert mean == pytest.approx(math.sqrt(abar))
        assert variance == pytest.approx(1 - abar)


@pytest.mark.parametrize(("T", "steps"), [(1000, 1), (1000, 7), (1000, 1000), (5, 3)])
def test_visited_timesteps_fall_from_the_last_to_0(T, steps):
    t = visited_timesteps(T, steps)
    assert (t[0], t[-1], len(t)) == (T, 0, steps + 1)
    assert (np.diff(t) < 0).all()
    assert np.ptp(np.diff(t)) <= 1


# --------------------------------------------------------------------------------- continuous times


@pytest.mark.parametrize("steps", [2, 3, 18])
def test_karras_sigmas_fall_from_the_largest_to_0(steps):
    sigmas = karras_sigmas(steps)
    assert sigmas.shape == (steps + 1,)
    np.testing.assert_allclose(sigmas[[0, -2, -1]], [80, 0.002, 0], rtol=1e-12)
    assert (np.diff(sigmas) < 0).all()
    np.testing.assert_allclose(np.diff(sigmas[:-1] ** (1 / 7), 2), 0, atol=1e-12)


def test_karras_sigmas_of_one_step():
    np.testing.assert_allclose(karras_sigmas(1), [80, 0])


@pytest.mark.parametrize("shift", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("start", [1.0, 80 / 81, 0.4])
def test_flow_times_fall_from_start_to_0(shift, start):
    times = flow_times(10, shift, start)
    assert times.shape == (11,)
    assert times[0] == start
    assert times[-1] == 0
    assert (np.diff(times) < 0).all()


@pytest.mark.parametrize("shift", [0.5, 1.0, 3.0])
def test_shift_multiplies_sigma(shift):
    t = np.linspace(0, 0.99, 20)
    shifted = sigmas_from_times(shift_times(t, shift))
    np.testing.assert_allclose(shifted, shift * sigmas_from_times(t), rtol=1e-9)
    assert shift_times(1.0, shift) == 1


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (-0.5, 0.7), (1.0, 2.0)])
def test_logit_of_logit_normal_times_is_normal(mean, std):
    n = 40_000
    t = logit_normal_times(n, np.random.default_rng(1), mean, std)
    u = np.sort((np.log(t) - np.log1p(-t) - mean) / std)
    normal = 0.5 * (1 + np.vectorize(math.erf)(u / math.sqrt(2)))
    assert np.abs(normal - (np.arange(n) + 0.5) / n).max() < 1.95 / math.sqrt(n)  # KS, 0.1 %


def test_logit_normal_times_stay_within_0_and_1():
    t = logit_normal_times(1000, np.random.default_rng(0), std=1000.0)
    assert t.min() >= 0
    assert t.max() <= 1


# --------------------------------------------------------------------------- one level, three names


def test_levels_convert_back_and_forth():
    t = np.linspace(0, 1, 50)
    np.testing.assert_allclose(times_from_alpha_bars(alpha_bars_from_times(t)), t, atol=1e-12)
    np.testing.assert_allclose(times_from_sigmas(sigmas_from_times(t[:-1])), t[:-1], atol=1e-12)


def test_the_ends_convert_exactly():
    assert alpha_bars_from_times(1.0) == 0
    assert alpha_bars_from_times(0.0) == 1
    assert times_from_alpha_bars(0.0) == 1
    assert times_from_alpha_bars(1.0) == 0


@pytest.mark.parametrize("t", [0.1, 0.5, 0.9])
def test_all_frames_mean_the_same_ratio_of_noise_to_signal(t):
    abar = alpha_bars_from_times(t)
    assert sigmas_from_times(t) == pytest.approx(t / (1 - t))
    assert math.sqrt((1 - abar) / abar) == pytest.approx(t / (1 - t))


def test_pure_noise_has_no_sigma():
    with pytest.raises(ValueError, match="t = 1 is sigma = infinity"):
        sigmas_from_times([1.0, 0.5])


# -------------------------------------------------------------------------- what a network predicts


@pytest.mark.parametrize("alpha_bar", ALPHA_BARS, ids=["0.001", "0.3", "0.9", "array"])
@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_a_prediction_gives_back_data_and_noise(prediction_type, alpha_bar):
    xt = alpha_bar**0.5 * X0 + (1 - alpha_bar) ** 0.5 * EPS
    prediction = prediction_target(X0, EPS, alpha_bar, prediction_type)
    x0, eps = x0_and_eps(prediction, xt, alpha_bar, prediction_type)
    np.testing.assert_allclose(x0, X0, rtol=1e-9)
    np.testing.assert_allclose(eps, EPS, rtol=1e-9)


@pytest.mark.parametrize("source", PREDICTION_TYPES)
@pytest.mark.parametrize("target", PREDICTION_TYPES)
def test_a_wrong_prediction_survives_the_round_trip_too(source, target):
    """No use is made of X0 and EPS being right: any prediction about xt can be said in any type."""
    xt, prediction, abar = X0, EPS, 0.37
    other = prediction_target(*x0_and_eps(prediction, xt, abar, source), abar, target)
    back = prediction_target(*x0_and_eps(other, xt, abar, target), abar, source)
    np.testing.assert_allclose(back, prediction, rtol=1e-9)


@pytest.mark.parametrize("abar", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_min_snr_weighs_the_error_of_x0_alike_in_every_type(prediction_type, abar):
    """The same two guesses about xt, 1 apart in x0: weight * error^2 is min(snr, gamma)."""
    xt, x0 = 0.8, np.array([0.2, 1.2])
    eps = (xt - abar**0.5 * x0) / (1 - abar) ** 0.5
    predictions = prediction_target(x0, eps, abar, prediction_type)
    weight = min_snr_weights(abar, 5.0, prediction_type)
    assert weight * np.diff(predictions)[0] ** 2 == pytest.approx(min(abar / (1 - abar), 5.0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_predictions_keep_their_type(dtype):
    x, abar = X0.astype(dtype), 0.3
    for prediction_type in PREDICTION_TYPES:
        assert all(y.dtype == dtype for y in x0_and_eps(x, x, abar, prediction_type))
        assert prediction_target(x, x, abar, prediction_type).dtype == dtype


def test_noise_is_the_same_in_every_type():
    a = noise_like(np.zeros((3, 4), np.float32), np.random.default_rng(0))
    b = noise_like(np.zeros((3, 4), np.float64), np.random.default_rng(0))
    assert (a.dtype, b.dtype) == (np.float32, np.float64)
    np.testing.assert_array_equal(a, b.astype(np.float32))


# ------------------------------------------------------------------------------------ learning rate


@pytest.mark.parametrize("schedule", [warmup_cosine, warmup_linear])
@pytest.mark.parametrize("warmup", [0, 1, 10])
def test_learning_rate_rises_to_1_and_falls_to_0(schedule, warmup):
    factors = [schedule(step, 100, warmup) for step in range(101)]
    assert max(factors) == 1
    assert factors[-1] == pytest.approx(0, abs=1e-12)
    assert np.argmax(factors) == max(warmup - 1, 0)
    assert (np.diff(factors[:warmup]) > 0).all()
    assert (np.diff(factors[warmup:]) < 0).all()


@pytest.mark.parametrize("schedule", [warmup_cosine, warmup_linear])
def test_learning_rate_is_half_in_the_middle_and_0_beyond_the_end(schedule):
    assert schedule(60, 100, 20) == pytest.approx(0.5)
    assert schedule(150, 100, 20) == pytest.approx(0, abs=1e-12)


# ------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: linear_betas(0), "linear_betas: T is 0, expected at least 1"),
        (lambda: cosine_alpha_bars(-1), "cosine_alpha_bars: T is -1"),
        (lambda: visited_timesteps(10, 11), "steps is 11, the network knows only 10 times"),
        (lambda: visited_timesteps(10, 0), "steps is 0"),
        (lambda: karras_sigmas(0), "karras_sigmas: steps is 0"),
        (lambda: karras_sigmas(5, sigma_min=0.0), "sigma_min is 0.0 and sigma_max 80.0"),
        (lambda: flow_times(0), "flow_times: steps is 0"),
        (lambda: flow_times(5, shift=-1.0), "shift is -1.0"),
        (lambda: flow_times(5, shift=math.nan), "shift is nan"),
        (lambda: flow_times(5, start=1.5), "start is 1.5"),
        (lambda: prediction_target(X0, EPS, 0.5, "eps"), "'eps', expected one of epsilon, x0, v"),
        (lambda: x0_and_eps(X0, EPS, 0.5, "eps"), "'eps', expected one of"),
        (lambda: min_snr_weights(0.5, 5.0, "eps"), "'eps', expected one of"),
        (lambda: noise_like(X0, None), "rng is None"),
    ],
)
def test_bad_input_is_told(call, text):
    with pytest.raises(ValueError, match=text):
        call()


def test_betas_of_any_kind_become_alpha_bars():
    np.testing.assert_allclose(alpha_bars_from_betas(np.array([0.1, 0.2])), [1, 0.9, 0.72])

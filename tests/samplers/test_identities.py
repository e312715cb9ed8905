"""Samplers that are one method under two names, and what each of them does with noise."""

import numpy as np
import pytest
from exact_data import GAUSSIAN, TWO_PEAKS, predictor

from minigen.samplers import SAMPLERS, ddim, ddpm, in_alpha_bar, sample_ddpm, sample_flow
from minigen.schedules import alpha_bars_from_times, flow_times, linear_alpha_bars

ALPHA_BARS = linear_alpha_bars(100)
PREDICT = predictor(TWO_PEAKS, ALPHA_BARS, "v")
NOISE = np.random.default_rng(0).standard_normal((3, 5))


def from_ddpm_network(sampler, **options):
    return sample_ddpm(PREDICT, NOISE, ALPHA_BARS, "v", sampler=sampler, steps=7, **options)


@pytest.mark.parametrize("sampler", ["euler", "flow_euler"])
def test_ddim_without_noise_is_eulers_method(sampler):
    np.testing.assert_allclose(from_ddpm_network(sampler), from_ddpm_network("ddim"), rtol=1e-9)


def test_ddim_without_noise_is_flow_euler_from_t_1_on():
    a, b = (sample_flow(TWO_PEAKS.velocity, NOISE, s, steps=7) for s in ("ddim", "flow_euler"))
    np.testing.assert_allclose(a, b, rtol=1e-9)


def test_ddim_at_eta_1_is_ddpm_with_the_same_noise():
    a = from_ddpm_network("ddim", eta=1.0, rng=np.random.default_rng(5))
    b = from_ddpm_network("ddpm", rng=np.random.default_rng(5))
    np.testing.assert_allclose(a, b, rtol=1e-9)


def test_ddpm_takes_the_step_of_algorithm_2():
    """mu = (x_t - beta_t / sqrt(1 - abar_t) eps) / sqrt(alpha_t), 2006.11239, eq. 11."""
    t, xt = 60, NOISE
    abar, abar_next = ALPHA_BARS[t], ALPHA_BARS[t - 1]
    alpha = abar / abar_next
    eps = predictor(TWO_PEAKS, ALPHA_BARS, "epsilon")(xt, t)
    z = np.random.default_rng(7).standard_normal(xt.shape)
    sigma = np.sqrt((1 - abar_next) / (1 - abar) * (1 - alpha))
    expected = (xt - (1 - alpha) / np.sqrt(1 - abar) * eps) / np.sqrt(alpha) + sigma * z
    denoise = in_alpha_bar(TWO_PEAKS.denoise)
    x = ddpm(denoise, xt, [abar, abar_next], np.random.default_rng(7))
    np.testing.assert_allclose(x, expected, rtol=1e-12)


@pytest.mark.parametrize("variance", ["beta", "beta_tilde"])
def test_the_last_step_of_ddpm_adds_no_noise(variance):
    denoise = in_alpha_bar(GAUSSIAN.denoise)
    x = ddpm(denoise, NOISE, [0.9, 1.0], np.random.default_rng(0), variance)
    np.testing.assert_allclose(x, denoise(NOISE, 0.9), rtol=1e-12)


def test_the_last_step_of_ddim_at_eta_1_adds_no_noise():
    denoise = in_alpha_bar(GAUSSIAN.denoise)
    x = ddim(denoise, NOISE, [0.9, 1.0], np.random.default_rng(0), eta=1.0)
    np.testing.assert_allclose(x, denoise(NOISE, 0.9), rtol=1e-12)


def test_ddim_at_eta_0_needs_no_generator_and_repeats_itself():
    np.testing.assert_array_equal(from_ddpm_network("ddim"), from_ddpm_network("ddim"))


@pytest.mark.parametrize("eta", [0.2, 0.5, 1.0])
def test_eta_is_the_share_of_ddpms_noise(eta):
    """From x = x0_hat = 0 a step leads to eta sqrt(beta_tilde) z."""
    x = ddim(lambda x, _: 0 * x, 0 * NOISE, [0.3, 0.6], np.random.default_rng(1), eta)
    beta_tilde = (1 - 0.6) / (1 - 0.3) * (1 - 0.3 / 0.6)
    z = np.random.default_rng(1).standard_normal(NOISE.shape)
    np.testing.assert_allclose(x, eta * np.sqrt(beta_tilde) * z, rtol=1e-12)


def test_ddim_keeps_the_variance_of_noise_at_every_eta():
    """With x0_hat = 0 a step must turn variance 1 - abar into 1 - abar_next, whatever eta is."""
    noise = np.random.default_rng(0).standard_normal(40_000)
    abar, abar_next = 0.3, 0.6
    for eta in (0.0, 0.5, 1.0):
        x = ddim(
            lambda x, _: 0 * x,
            (1 - abar) ** 0.5 * noise,
            [abar, abar_next],
            np.random.default_rng(1),
            eta,
        )
        assert x.var() == pytest.approx(1 - abar_next, rel=4 * np.sqrt(2 / 40_000))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_same_seed_is_the_same_picture(sampler):
    a, b = (
        sample_flow(GAUSSIAN.velocity, NOISE, sampler, steps=5, rng=np.random.default_rng(3))
        for _ in range(2)
    )
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_steps_count_evaluations(sampler):
    calls = []

    def velocity(xt, t):
        calls.append(t)
        return GAUSSIAN.velocity(xt, t)

    sample_flow(velocity, NOISE, sampler, steps=6, rng=np.random.default_rng(0))
    assert len(calls) == (11 if sampler == "heun" else 6)
    assert min(calls) > 0


def test_alpha_bars_may_begin_at_pure_noise():
    alpha_bars = alpha_bars_from_times(flow_times(5))
    assert alpha_bars[0] == 0
    x = ddim(in_alpha_bar(GAUSSIAN.denoise), NOISE, alpha_bars)
    assert np.isfinite(x).all()

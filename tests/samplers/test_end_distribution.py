"""Where samplers end: at the data's distribution, for data whose denoiser is known exactly.

On the line a deterministic sampler keeps the order of points, so each point keeps its quantile:
that is checked without random numbers, on a grid of quantiles.
"""

import numpy as np
import pytest
from exact_data import GAUSSIAN, TWO_PEAKS, Mixture, predictor

from minigen.samplers import (
    SAMPLERS,
    ddpm,
    dpmpp_2m,
    heun,
    in_alpha_bar,
    in_sigma,
    sample_ddpm,
    sample_flow,
)
from minigen.schedules import (
    alpha_bars_from_times,
    cosine_alpha_bars,
    flow_times,
    karras_sigmas,
    linear_alpha_bars,
)

DETERMINISTIC = ("ddim", "euler", "heun", "dpmpp_2m", "flow_euler")
NOISE = np.linspace(-2.5, 2.5, 41)
QUANTILES = Mixture((1.0,), (0.0,), (1.0,)).cdf(NOISE)
N = 10_000


def in_four_standard_errors(x, data):
    """Mean and variance within 4 times their errors, the latter and 2 % for the finite steps."""
    mean_error = 4 * np.sqrt(data.variance / len(x))
    variance_error = 4 * np.sqrt(np.mean((x - x.mean()) ** 4) / len(x)) + 0.02 * data.variance
    return abs(x.mean() - data.mean) < mean_error and abs(x.var() - data.variance) < variance_error


@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize("data", [GAUSSIAN, TWO_PEAKS], ids=["gaussian", "two_peaks"])
@pytest.mark.parametrize("sampler", DETERMINISTIC)
def test_flow_network_ends_at_the_quantiles_of_the_data(sampler, data, shift):
    x = sample_flow(data.velocity, NOISE, sampler, steps=400, shift=shift)
    assert np.abs(data.cdf(x) - QUANTILES).max() < 0.006


@pytest.mark.parametrize(
    "alpha_bars", [linear_alpha_bars(), cosine_alpha_bars()], ids=["linear", "cosine"]
)
@pytest.mark.parametrize("data", [GAUSSIAN, TWO_PEAKS], ids=["gaussian", "two_peaks"])
@pytest.mark.parametrize("sampler", DETERMINISTIC)
def test_ddpm_network_ends_at_the_quantiles_of_the_data(sampler, data, alpha_bars):
    predict = predictor(data, alpha_bars, "epsilon")
    x = sample_ddpm(predict, NOISE, alpha_bars, sampler=sampler, steps=500)
    assert np.abs(data.cdf(x) - QUANTILES).max() < 0.006


@pytest.mark.parametrize("sampler", ["heun", "dpmpp_2m"])
def test_second_order_reaches_the_quantiles_in_40_steps(sampler):
    run = {"heun": heun, "dpmpp_2m": dpmpp_2m}[sampler]
    start = 80 * NOISE  # x0 + 80 eps, without the x0
    x = run(in_sigma(TWO_PEAKS.denoise), start, karras_sigmas(40))
    assert np.abs(TWO_PEAKS.cdf(x) - TWO_PEAKS.cdf(start, 1.0, 80.0)).max() < 0.005


@pytest.mark.parametrize(("sampler", "eta"), [("ddpm", 0.0), ("ddim", 0.5), ("ddim", 1.0)])
@pytest.mark.parametrize("data", [GAUSSIAN, TWO_PEAKS], ids=["gaussian", "two_peaks"])
def test_random_samplers_end_at_the_distribution_of_the_data(sampler, eta, data):
    rng = np.random.default_rng(0)
    x = sample_flow(data.velocity, rng.standard_normal(N), sampler, steps=500, rng=rng, eta=eta)
    assert in_four_standard_errors(x, data)
    share = data.cdf(np.array([-0.3]))  # of the left peak
    assert abs(np.mean(x < -0.3) - share) < 4 * 0.5 / np.sqrt(N) + 0.005


@pytest.mark.parametrize("prediction_type", ["epsilon", "x0", "v"])
def test_ancestral_sampling_over_all_times_of_a_ddpm_network(prediction_type):
    rng, alpha_bars = np.random.default_rng(1), linear_alpha_bars()
    predict = predictor(GAUSSIAN, alpha_bars, prediction_type)
    x = sample_ddpm(predict, rng.standard_normal(N), alpha_bars, prediction_type, rng=rng)
    assert in_four_standard_errors(x, GAUSSIAN)


def test_ddpm_with_variance_beta_keeps_normal_data_normal_at_any_step():
    """2006.11239, section 3.2: sigma^2 = beta is the reverse of the chain for x0 ~ N(0, I)."""
    rng, normal = np.random.default_rng(2), Mixture((1.0,), (0.0,), (1.0,))
    alpha_bars = alpha_bars_from_times(flow_times(6))[:-1]  # the last step would add no noise
    x = ddpm(in_alpha_bar(normal.denoise), rng.standard_normal(N), alpha_bars, rng, "beta")
    assert in_four_standard_errors(x, normal)


def test_ddpm_with_variance_beta_tilde_is_exact_for_one_point_at_any_step():
    """2006.11239, section 3.2: on the way to 0.7 the marginals are N(sqrt(abar) 0.7, 1 - abar)."""
    rng, alpha_bars = np.random.default_rng(3), alpha_bars_from_times(flow_times(6))[:-1]
    x = ddpm(lambda xt, abar: np.full_like(xt, 0.7), rng.standard_normal(N), alpha_bars, rng)
    abar = alpha_bars[-1]
    assert in_four_standard_errors(x, Mixture((1.0,), (0.7 * abar**0.5,), ((1 - abar) ** 0.5,)))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_one_step_is_the_first_guess(sampler):
    """From t = 1 nothing is seen, and the guess is the mean of the data."""
    x = sample_flow(GAUSSIAN.velocity, NOISE, sampler, steps=1, rng=np.random.default_rng(0))
    np.testing.assert_allclose(x, GAUSSIAN.mean, atol=0.01)

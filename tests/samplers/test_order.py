"""How fast the error of a sampler falls with the step: the solution for Gaussian data is known.

In the sigma frame dx/dsigma = (x - D) / sigma has, for N(m, s^2), the solution

    x(sigma) = m + (x(sigma_start) - m) sqrt((s^2 + sigma^2) / (s^2 + sigma_start^2))
"""

import numpy as np
import pytest
from exact_data import GAUSSIAN

from minigen.samplers import ddim, dpmpp_2m, euler, flow_euler, heun, in_alpha_bar, in_sigma
from minigen.schedules import alpha_bars_from_times, times_from_sigmas

M, S = GAUSSIAN.means[0], GAUSSIAN.stds[0]
START, END = 5.0, 0.05  # sigma; the last step, to 0, would hide the order
X_START = np.array([-6.0, -1.0, 4.0, 9.0])
SOLUTION = M + (X_START - M) * np.sqrt((S**2 + END**2) / (S**2 + START**2))


def run(sampler, steps, uneven=False):
    """x at sigma = END, in the sigma frame, after `steps` steps evenly spaced in log(sigma).

    uneven  every second step is three times as long as the one before
    """
    h = np.resize([1.0, 3.0] if uneven else [1.0], steps)
    sigmas = START * (END / START) ** (np.concatenate([[0], h.cumsum()]) / h.sum())
    times = times_from_sigmas(sigmas)
    if sampler is flow_euler:
        x = flow_euler(GAUSSIAN.velocity, X_START * (1 - times[0]), times)
        return x / (1 - times[-1])
    if sampler is ddim:
        abar = alpha_bars_from_times(times)
        x = ddim(in_alpha_bar(GAUSSIAN.denoise), X_START * np.sqrt(abar[0]), abar)
        return x / np.sqrt(abar[-1])
    return sampler(in_sigma(GAUSSIAN.denoise), X_START, sigmas)


def measured_order(sampler, steps, uneven=False):
    errors = [np.abs(run(sampler, n, uneven) - SOLUTION).max() for n in (steps, 2 * steps)]
    return np.log2(errors[0] / errors[1])


@pytest.mark.parametrize("sampler", [euler, ddim, flow_euler])
@pytest.mark.parametrize("steps", [100, 200])
def test_euler_is_of_first_order(sampler, steps):
    assert measured_order(sampler, steps) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("sampler", [heun, dpmpp_2m])
@pytest.mark.parametrize("steps", [100, 200])
@pytest.mark.parametrize("uneven", [False, True])
def test_heun_and_dpmpp_2m_are_of_second_order(sampler, steps, uneven):
    assert measured_order(sampler, steps, uneven) == pytest.approx(2, abs=0.1)


def test_dpmpp_2m_is_exact_where_the_denoiser_is_constant():
    x = dpmpp_2m(lambda x, sigma: np.full_like(x, M), X_START, [5.0, 2.0, 0.3])
    np.testing.assert_allclose(x, M + (X_START - M) * 0.3 / 5.0, rtol=1e-12)


def test_dpmpp_2m_takes_the_guess_in_the_middle_of_a_step():
    """A guess linear in log(sigma), on steps of log 2 and log 4; the middle of 4 ... 1 is 2."""
    before = 0.5 * X_START + 0.5 * -np.log(8.0)  # the first step knows the guess at its start only
    x = dpmpp_2m(lambda x, sigma: np.full_like(x, -np.log(sigma)), X_START, [8.0, 4.0, 1.0])
    np.testing.assert_allclose(x, 0.25 * before + 0.75 * -np.log(2.0), rtol=1e-12)


def test_second_order_pays_off_at_the_same_number_of_evaluations():
    """30 evaluations: 30 steps of Euler and of DPM-Solver++(2M), 15 of Heun."""
    error = {
        f: np.abs(run(f, n) - SOLUTION).max() for f, n in ((euler, 30), (heun, 15), (dpmpp_2m, 30))
    }
    assert error[heun] < error[euler] / 2
    assert error[dpmpp_2m] < error[euler] / 20

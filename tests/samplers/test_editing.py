"""From a picture, around a hole, in given colours, by several prompts: on data known exactly."""

import numpy as np
import pytest
from exact_data import GAUSSIAN, Mixture

from minigen import Tensor
from minigen.samplers import SAMPLERS, guided_model, in_alpha_bar, repaint, sample_denoiser
from minigen.samplers.guidance import mixed_model
from minigen.samplers.palette import nearest_colours, within_palette
from minigen.schedules import alpha_bars_from_times, flow_times

DETERMINISTIC = [name for name in SAMPLERS if name != "ddpm"]
NOISE = np.linspace(-2, 2, 11)
M, S = GAUSSIAN.means[0], GAUSSIAN.stds[0]


# ------------------------------------------------------------------------------------------ SDEdit


@pytest.mark.parametrize("sampler", DETERMINISTIC)
def test_a_picture_under_noise_follows_the_flow_from_there(sampler):
    """On the line a flow keeps quantiles: those of init under noise in N((1 - t) m, ...)."""
    steps, init = 400, np.full_like(NOISE, -0.5)
    x = sample_denoiser(GAUSSIAN.denoise, NOISE, sampler, steps, init=init, strength=0.5)
    t = float(
        flow_times(steps, 1.0, 80 / 81 if sampler in ("euler", "heun", "dpmpp_2m") else 1)[200]
    )
    there = (1 - t) * init + t * NOISE
    quantile = (there - (1 - t) * M) / np.hypot((1 - t) * S, t)
    standard = Mixture((1.0,), (0.0,), (1.0,))
    assert np.abs(GAUSSIAN.cdf(x) - standard.cdf(quantile)).max() < 0.006


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_at_strength_0_nothing_changes_and_at_1_nothing_is_left(sampler):
    init = np.full_like(NOISE, 3.0)

    def run(**options):
        rng = np.random.default_rng(0)
        return sample_denoiser(GAUSSIAN.denoise, NOISE, sampler, 8, rng=rng, **options)

    np.testing.assert_array_equal(run(init=init, strength=0.0), init)
    np.testing.assert_array_equal(run(init=init, strength=1.0), run())


@pytest.mark.parametrize("strength", [-0.1, 1.5, float("nan")])
def test_a_strength_that_is_none_is_refused(strength):
    with pytest.raises(ValueError, match=f"strength is {strength}, expected 0 to 1"):
        sample_denoiser(GAUSSIAN.denoise, NOISE, init=NOISE, strength=strength)


# ----------------------------------------------------------------------------------------- RePaint

RHO, KNOWN = 0.9, 1.2  # of two numbers with variance 1; the first is known


def two_numbers(x, a, b):
    """The exact denoiser of N(0, [[1, rho], [rho, 1]])."""
    cov = np.array([[1.0, RHO], [RHO, 1.0]])
    return a * x @ np.linalg.inv(a * a * cov + b * b * np.eye(2)) @ cov


def filled(resample, n=4000):
    rng = np.random.default_rng(0)
    known, mask = np.array([[KNOWN, 0.0]]), np.array([[0.0, 1.0]])
    levels = alpha_bars_from_times(flow_times(60))
    noise = rng.standard_normal((n, 2))
    return repaint(in_alpha_bar(two_numbers), noise, levels, known, mask, rng, resample)


def test_what_is_known_comes_back_as_it_was():
    np.testing.assert_array_equal(filled(2, 10)[:, 0], np.full(10, KNOWN))


def test_what_is_painted_fits_what_is_known_if_steps_are_taken_again():
    """x2 given x1 is N(rho x1, 1 - rho^2); taken once, each step hardly knows of x1."""
    once, often = filled(1)[:, 1], filled(20)[:, 1]
    assert abs(often.mean() - RHO * KNOWN) < 0.08
    assert abs(often.std() - np.sqrt(1 - RHO**2)) < 0.08
    assert abs(once.mean() - RHO * KNOWN) > 2 * abs(often.mean() - RHO * KNOWN)


def test_taking_no_step_is_refused():
    with pytest.raises(ValueError, match="resample is 0, expected at least 1"):
        filled(0)


# ---------------------------------------------------------------------------------------- guidance


def model(xt, t, words):
    return xt * 0.5 + Tensor(words) * 1.0


WORDS, NULL = np.array([[2.0, -1.0, 4.0]]), np.array([[0.5, 0.5, 1.0]])
X = np.array([[1.0, 2.0, 5.0]])


def guided(**options):
    predict = guided_model(model, {"words": WORDS}, {"words": NULL}, 3.0, **options)
    return lambda level: predict(X, level)


def test_outside_its_interval_guidance_is_the_conditional():
    conditional, pushed = model(Tensor(X), None, WORDS).data, guided()(0.5)
    inside = guided(interval=(0.3, 0.7))
    np.testing.assert_allclose(inside(0.5), pushed)
    for level in (0.2, 0.8):
        np.testing.assert_array_equal(inside(level), conditional)


def test_rescaled_guidance_has_the_spread_of_the_conditional():
    conditional, pushed = model(Tensor(X), None, WORDS).data, guided()(0.5)
    np.testing.assert_allclose(guided(rescale=1.0)(0.5).std(), conditional.std())
    half = guided(rescale=0.5)(0.5)
    np.testing.assert_allclose(half, pushed * (0.5 * conditional.std() / pushed.std() + 0.5))


def test_a_rescale_outside_its_range_is_refused():
    with pytest.raises(ValueError, match="rescale is 2, expected 0 to 1"):
        guided(rescale=2)


def test_a_mixture_is_the_weighted_mean_of_its_prompts_and_of_nothing_without_them():
    others = np.array([[1.0, 1.0, 1.0]])
    mixture = mixed_model(model, [{"words": w} for w in (WORDS, others, NULL)])
    x, mixed = Tensor(np.repeat(X, 3, axis=0)), np.array([[0.25, 0.75], [0.0, 0.0], [0.5, 0.0]])
    y = mixture(x, np.zeros(3), mixed=mixed).data - 0.5 * X
    np.testing.assert_allclose(y[0], 0.25 * WORDS[0] + 0.75 * others[0])
    np.testing.assert_allclose(y[1], NULL[0])
    np.testing.assert_allclose(y[2], 0.5 * WORDS[0] + 0.5 * NULL[0])


# ----------------------------------------------------------------------------------------- palette

COLOURS = np.array([[1.0, -1.0, -1.0], [-1.0, -1.0, 1.0], [0.5, 0.5, 0.5]])


def test_each_pixel_comes_to_its_nearest_colour(rng):
    x = rng.uniform(-1, 1, (2, 3, 3, 3))
    for pixel, found in zip(x.reshape(-1, 3), nearest_colours(x, COLOURS).reshape(-1, 3)):
        distances = [((pixel - colour) ** 2).sum() for colour in COLOURS]
        np.testing.assert_array_equal(found, COLOURS[int(np.argmin(distances))])


def test_a_painting_within_a_palette_has_its_colours_and_none_else(rng):
    def paint(strength):
        denoise = within_palette(lambda x, a, b: (x * a).clip(-1, 1), COLOURS, strength)
        return sample_denoiser(denoise, rng.standard_normal((2, 4, 4, 3)), steps=6)

    def off(x):
        return np.abs(x - nearest_colours(x, COLOURS)).mean()

    assert off(paint(1.0)) < 1e-12 < off(paint(0.5)) < off(paint(0.0))


def test_an_empty_palette_is_refused():
    with pytest.raises(ValueError, match=r"colours are \(0, 3\), expected \(K, C\) with K > 0"):
        within_palette(GAUSSIAN.denoise, np.zeros((0, 3)))

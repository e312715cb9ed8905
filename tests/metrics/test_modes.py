"""Mode coverage: known numbers on samples that were made to have them."""

import math

import numpy as np
import pytest

from minigen.data.toy import grid25, grid_centres
from minigen.metrics.modes import (
    count_modes,
    gaussian_modes,
    kl_divergence,
    stack_digits,
    stacked_modes,
)

SIGMA = 0.05


def mean_grey(images):
    """A classifier of pictures whose brightness is their digit."""
    return np.rint(images.mean(axis=(1, 2, 3)) / 25).astype(int)


def flat_digits(labels):
    return np.broadcast_to(
        25 * np.asarray(labels, np.uint8)[:, None, None, None], (len(labels), 4, 4, 1)
    )


def test_true_samples_of_the_grid_find_all_its_modes():
    """Within 3 sigma lie 1 - exp(-9 / 2) of a Gaussian in the plane."""
    modes = gaussian_modes(grid25(20_000, np.random.default_rng(0)), grid_centres(), SIGMA)
    assert modes.found == 25
    assert modes.high_quality == pytest.approx(1 - math.exp(-4.5), abs=3e-3)
    assert modes.kl < 3 * modes.expected_kl


def test_only_the_modes_that_were_sampled_are_found():
    centres = grid_centres()
    samples = np.repeat(centres[[3, 7, 7, 7]], 10, axis=0)
    modes = gaussian_modes(samples, centres, SIGMA)
    assert modes.found == 2
    assert (modes.counts[3], modes.counts[7]) == (10, 30)
    expected = 0.25 * math.log(0.25 * 25) + 0.75 * math.log(0.75 * 25)
    assert modes.kl == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("distance", "good"), [(2.99, 1.0), (3.01, 0.5)])
def test_a_sample_is_good_within_three_sigma(distance, good):
    centres = grid_centres()
    samples = centres[:2] + [[distance * SIGMA, 0], [0, 0]]
    modes = gaussian_modes(samples, centres, SIGMA)
    assert modes.high_quality == good
    assert modes.found == (2 if good == 1 else 1)


def test_without_a_good_sample_there_is_no_mode():
    modes = gaussian_modes(np.full((5, 2), 100.0), grid_centres(), SIGMA)
    assert (modes.found, modes.high_quality, modes.kl) == (0, 0.0, math.inf)
    assert "0 of 25 modes, 0.0 % of 5" in str(modes)


def test_the_expected_divergence_is_that_of_a_perfect_model():
    rng, n = np.random.default_rng(0), 26_000
    found = [count_modes(rng.integers(1000, size=n), n, 1000) for _ in range(5)]
    assert np.mean([modes.kl for modes in found]) == pytest.approx(found[0].expected_kl, rel=0.05)


def test_kl_divergence_is_zero_for_one_and_the_logarithm_for_one_of_many():
    p = np.array([1.0, 2.0, 5.0])
    assert kl_divergence(p, 10 * p) == pytest.approx(0, abs=1e-15)
    assert kl_divergence([0, 7, 0, 0], np.ones(4)) == pytest.approx(math.log(4))
    assert kl_divergence([1, 3], [1, 1]) > 0


def test_stacked_digits_are_three_pictures_and_their_number():
    labels = np.arange(10)
    images, numbers = stack_digits(flat_digits(labels), labels, 500, np.random.default_rng(0))
    assert images.shape == (500, 4, 4, 3)
    assert images.dtype == np.uint8
    assert np.array_equal(images[:, 0, 0] // 25 @ [100, 10, 1], numbers)
    assert len(set(numbers)) > 350


def test_the_kinds_of_stacked_mnist_are_read_from_its_colours():
    labels = np.arange(10)
    images, numbers = stack_digits(flat_digits(labels), labels, 3000, np.random.default_rng(0))
    modes = stacked_modes(images, mean_grey)
    assert np.array_equal(modes.counts, np.bincount(numbers, minlength=1000))
    assert modes.high_quality == 1
    collapsed = stacked_modes(np.repeat(images[:3], 10, axis=0), mean_grey)
    assert collapsed.found == len(set(numbers[:3]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gaussian_modes(np.zeros((0, 2)), grid_centres(), 1.0), "0 samples"),
        (lambda: gaussian_modes(np.zeros((1, 2)), grid_centres(), 0.0), "sigma 0.0"),
        (lambda: count_modes(np.array([25]), 1, 25), "kinds from 25 to 25, expected 0 to 24"),
        (lambda: count_modes(np.array([1, 1]), 1, 25), "2 good samples of 1"),
        (lambda: count_modes(np.array([0]), 1, 2, [0, 1]), "should have none"),
        (lambda: kl_divergence([1, 1], [1, 1, 1]), "shares of one length"),
        (lambda: kl_divergence([0, 0], [1, 1]), "shares of one length"),
        (lambda: stack_digits(np.zeros((2, 4, 4, 3)), [0, 1], 5, None), r"expected \(N, H, W, 1\)"),
        (lambda: stacked_modes(np.zeros((0, 4, 4, 3)), mean_grey), r"expected \(N, H, W, 3\)"),
        (lambda: stacked_modes(np.zeros((2, 4, 4, 1)), mean_grey), r"expected \(N, H, W, 3\)"),
    ],
)
def test_wrong_samples_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""The feature distances are 0 between equals, and have a closed form between Gaussians."""

import numpy as np
import pytest

from minigen.metrics.frechet import (
    ENOUGH,
    Gaussian,
    fid,
    frechet_distance,
    gaussian_of,
    kid,
    polynomial_mmd,
)


def draw(rng, n=400, width=6):
    """Features of unequal scales that depend on each other, mean not 0."""
    mix = np.random.default_rng(7).standard_normal((width, width)) * 2.0 ** np.arange(width)
    return rng.standard_normal((n, width)) @ mix + 3


def distance(x, y):
    return frechet_distance(gaussian_of(x), gaussian_of(y))


def test_a_set_has_no_distance_to_itself(rng):
    x = draw(rng)
    assert abs(distance(x, x[::-1])) < 1e-12 * (gaussian_of(x).root ** 2).sum()


def test_a_shift_costs_its_square(rng):
    x, d = draw(rng), np.arange(6.0)
    assert distance(x, x + d) == pytest.approx((d**2).sum(), rel=1e-9)


def test_a_scaled_covariance_costs_the_trace_of_the_roots_difference(rng):
    x = draw(rng) - draw(rng).mean(axis=0)
    spread, mean = np.trace(np.cov(x.T)), x.mean(axis=0)
    expected = (1 - 3) ** 2 * (spread + mean @ mean)
    assert distance(x, 3 * x) == pytest.approx(expected, rel=1e-12)


def test_covariances_that_do_not_commute_follow_the_formula_of_the_plane(rng):
    """For 2 x 2 matrices tr (S1 S2)^(1/2) = sqrt(tr S1 S2 + 2 sqrt(det S1 S2))."""
    x, y = draw(rng, width=2), draw(rng, width=2) @ [[1.0, 2.0], [-3.0, 0.5]]
    s1, s2 = np.cov(x.T), np.cov(y.T)
    common = (np.trace(s1 @ s2) + 2 * np.linalg.det(s1 @ s2) ** 0.5) ** 0.5
    means = ((x.mean(0) - y.mean(0)) ** 2).sum()
    expected = means + np.trace(s1) + np.trace(s2) - 2 * common
    assert distance(x, y) == pytest.approx(expected, rel=1e-12)
    assert distance(y, x) == pytest.approx(expected, rel=1e-12)


def test_features_that_never_vary_do_no_harm(rng):
    """A feature of variance 0 or 1e-20, where the root of a matrix loses its digits."""
    x = draw(rng)
    x[:, 0], x[:, 1] = 5.0, 1e-10 * x[:, 1]
    assert distance(x, x + np.eye(6)[0]) == pytest.approx(1, rel=1e-10)


def test_the_distance_of_given_gaussians():
    unit = Gaussian(np.zeros(3), np.eye(3))
    wide = Gaussian(np.array([1.0, 0, 0]), np.diag([1.0, 2, 4]))
    assert frechet_distance(unit, wide) == pytest.approx(1 + 0 + 1 + 9)


def test_float32_features_are_compared_in_float64(rng):
    x = draw(rng).astype(np.float32)
    assert distance(x, x + np.float32(2)) == pytest.approx(24, rel=1e-5)


def test_fid_says_its_n_and_its_spread(rng):
    x, y = rng.standard_normal((2, ENOUGH, 4))
    found = fid(x, y + 1)
    assert found.of == "n = 2048"
    assert abs(found.value - 4) < 4 * found.error < 1
    assert fid(x, y).value < 0.05


def test_the_jackknife_knows_the_spread_over_draws(rng):
    draws = [kid(*rng.standard_normal((2, 100, 3)) + [[[0]], [[0.5]]]) for _ in range(60)]
    errors, values = [d.error for d in draws], [d.value for d in draws]
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.3)


def test_few_pictures_are_warned_of_and_bias_the_distance(rng):
    with pytest.warns(UserWarning, match="fid: 50 pictures, fewer than 2,048"):
        few = np.mean([fid(*rng.standard_normal((2, 50, 4))).value for _ in range(20)])
    assert few > 5 * fid(*rng.standard_normal((2, ENOUGH, 4))).value


@pytest.mark.parametrize("shape", [(4, 4), (3, 4), (0, 4), (5,)])
def test_fewer_samples_than_features_are_refused(shape):
    with pytest.raises(ValueError, match="more samples N than D"):
        gaussian_of(np.zeros(shape))


def test_sets_of_different_features_are_refused(rng):
    with pytest.raises(ValueError, match=r"one set has features \(6,\), the other \(3,\)"):
        distance(draw(rng), draw(rng, width=3))


def test_numbers_that_are_not_finite_are_refused(rng):
    with pytest.raises(ValueError, match="not finite"):
        gaussian_of(np.full((9, 4), np.nan))


# --------------------------------------------------------------------------------------------- KID


def test_kid_is_the_mean_over_pairs(rng):
    x, y = rng.standard_normal((5, 3)), rng.standard_normal((4, 3)) + 1

    def mean(pairs):
        return np.mean([(a @ b / 3 + 1) ** 3 for a, b in pairs])

    xx, yy = (
        mean([(a, b) for i, a in enumerate(z) for j, b in enumerate(z) if i != j]) for z in (x, y)
    )
    expected = xx + yy - 2 * mean([(a, b) for a in x for b in y])
    assert polynomial_mmd(x, y) == pytest.approx(expected, rel=1e-12)


def test_kid_of_one_distribution_is_zero_on_average(rng):
    values = [polynomial_mmd(*rng.standard_normal((2, 20, 4))) for _ in range(400)]
    assert abs(np.mean(values)) < 4 * np.std(values) / 400**0.5
    assert min(values) < 0


def test_kid_of_two_distributions_does_not_depend_on_n(rng):
    def mean(n):
        return np.mean([polynomial_mmd(*rng.standard_normal((2, n, 4)) + [[[0]], [[1]]])
                        for _ in range(4000 // n)])  # fmt: skip

    assert mean(10) == pytest.approx(mean(200), rel=0.15)


@pytest.mark.parametrize(("x", "y"), [((5, 3), (5, 4)), ((1, 3), (5, 3)), ((5,), (5,))])
def test_features_that_do_not_fit_are_refused_by_kid(x, y):
    with pytest.raises(ValueError, match="expected \\(N, D\\) and \\(M, D\\)"):
        polynomial_mmd(np.zeros(x), np.zeros(y))

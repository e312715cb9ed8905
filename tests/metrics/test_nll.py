"""The importance-weighted bound, where the likelihood is known, and bits per dimension."""

import math

import numpy as np
import pytest

from minigen.metrics.nll import bits_per_dim, extended, importance_weighted_bound
from minigen.metrics.report import Measured

A, S = 1.5, 0.5  # z ~ N(0, 1), x ~ N(A z, S^2): so x ~ N(0, A^2 + S^2)
X = np.array([-2.0, 0.3, 4.0])


def log_normal(x, mean, std):
    return -0.5 * ((x - mean) / std) ** 2 - np.log(std) - 0.5 * math.log(2 * math.pi)


def posterior():
    """Mean (N,) and standard deviation of z given X."""
    return A * X / (A**2 + S**2), S / math.sqrt(A**2 + S**2)


def log_weights(rng, mean, std):
    """(count) -> log p(x, z) / q(z), q = N(mean, std^2)."""

    def draw(count):
        z = mean + std * rng.standard_normal((count, len(X)))
        return log_normal(z, 0, 1) + log_normal(X, A * z, S) - log_normal(z, mean, std)

    return draw


EXACT = log_normal(X, 0, math.hypot(A, S))


@pytest.mark.parametrize("k", [1, 7])
def test_the_true_posterior_gives_the_likelihood_by_one_draw(rng, k):
    found = importance_weighted_bound(log_weights(rng, *posterior()), k, chunk=3)
    np.testing.assert_allclose(found.log_px, EXACT, rtol=1e-12)
    np.testing.assert_allclose(found.elbo, EXACT, rtol=1e-12)
    np.testing.assert_allclose(found.effective, k, rtol=1e-9)


def test_a_wrong_posterior_reaches_the_likelihood_of_a_linear_gaussian_model(rng):
    mean, std = posterior()
    found = importance_weighted_bound(log_weights(rng, mean + 0.2, 1.5 * std), 100_000, 5000)
    error = np.sqrt(1 / found.effective - 1e-5)  # of log p(x)
    assert error.max() < 0.01
    assert (np.abs(found.log_px - EXACT) < 4 * error).all()
    assert (found.elbo < EXACT - 0.05).all()


def test_the_bound_rises_with_k_and_stays_below_the_likelihood():
    mean, std = posterior()
    means = []
    for k in (1, 2, 5, 20):
        draw = log_weights(np.random.default_rng(0), mean + 0.5, 0.7 * std)
        means.append(np.mean([importance_weighted_bound(draw, k).log_px for _ in range(1500)], 0))
    assert (np.diff([*means, EXACT], axis=0) > 0).all()


def test_the_elbo_is_never_above_the_bound(rng):
    for k in (1, 2, 50):
        found = importance_weighted_bound(lambda n: 5 * rng.standard_normal((n, 100)), k)
        assert (found.elbo <= found.log_px + 1e-12).all()


@pytest.mark.parametrize("chunk", [1, 3, 12, 100])
@pytest.mark.parametrize("offset", [0.0, -1e4, 1e4])
def test_chunks_and_huge_weights_change_nothing(rng, chunk, offset):
    log_w = 3 * rng.standard_normal((12, 4))
    rest = iter(log_w + offset)
    draw = lambda count: np.stack([next(rest) for _ in range(count)])  # noqa: E731
    found = importance_weighted_bound(draw, 12, chunk)
    w = np.exp(log_w)
    np.testing.assert_allclose(found.log_px, np.log(w.mean(0)) + offset, rtol=1e-12, atol=1e-11)
    np.testing.assert_allclose(found.elbo, log_w.mean(0) + offset, rtol=1e-12, atol=1e-11)
    np.testing.assert_allclose(found.effective, w.sum(0) ** 2 / (w * w).sum(0), rtol=1e-8)


def test_one_weight_above_all_others_counts_alone():
    found = importance_weighted_bound(lambda n: np.array([[0.0], [800.0], [-5.0]])[:n], 3)
    assert found.effective == pytest.approx([1])
    assert found.log_px == pytest.approx([800 - math.log(3)])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k": 0}, "k is 0, expected 1 or more"),
        ({"k": -3}, "k is -3"),
        ({"k": 1, "chunk": 0}, "chunk is 0"),
        ({"k": 5}, r"the weights are \(2, 3\), expected \(5, N\)"),
    ],
)
def test_bad_numbers_are_told(settings, message):
    with pytest.raises(ValueError, match=message):
        importance_weighted_bound(lambda count: np.zeros((2, 3)), **settings)


def test_a_bit_for_each_dimension_is_their_number_times_ln_2_nats():
    found = bits_per_dim(Measured(784 * math.log(2), 7.84 * math.log(2), "nats", "5 pictures"), 784)
    assert (found.value, found.error) == (pytest.approx(1), pytest.approx(0.01))
    assert (found.unit, found.of) == ("bits/dim", "5 pictures")
    assert bits_per_dim(math.log(2), 2).value == pytest.approx(0.5)
    with pytest.raises(ValueError, match="dims is 0, expected 1 or more"):
        bits_per_dim(1.0, 0)


def test_a_costly_measure_of_some_is_extended_to_all_by_a_cheap_one(rng):
    cheap = 90 + 25 * rng.standard_normal(4000)
    costly = cheap - 2 + 0.5 * rng.standard_normal(4000)
    means = [extended(costly[order[:200]], cheap[order]).value for order in orders(rng, 300)]
    assert np.mean(means) == pytest.approx(costly.mean(), abs=4 * 0.5 / math.sqrt(200 * 300))
    assert np.std(means) == pytest.approx(0.5 / math.sqrt(200), rel=0.3)  # 25 / sqrt(200) without


def orders(rng, count):
    return (rng.permutation(4000) for _ in range(count))


def test_the_error_of_an_extended_mean_is_its_spread_over_draws_of_all_pictures(rng):
    """The cheap measure exaggerates, so it is not independent of the difference."""
    found = []
    for _ in range(600):
        cheap = 90 + 25 * rng.standard_normal(400)
        found.append(extended(90 + 0.8 * (cheap[:50] - 90), cheap))
    spread = np.std([f.value for f in found])
    assert np.mean([f.error for f in found]) == pytest.approx(spread, rel=0.1)


def test_what_is_known_of_all_is_their_mean_and_its_error(rng):
    values, noise = rng.standard_normal((2, 50))
    found = extended(values, values + noise, "nats", "50 pictures")
    assert found.value == pytest.approx(values.mean())
    assert found.error == pytest.approx(values.std(ddof=1) / math.sqrt(50))
    assert (found.unit, found.of) == ("nats", "50 pictures")
    for n in (1, 51):
        with pytest.raises(ValueError, match=f"extended: {n} pictures of 50 are known"):
            extended(np.zeros(n), values)

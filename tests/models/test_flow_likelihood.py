"""The ODE's likelihood: exact on Gaussians, whose velocity is known, and right on average."""

import math

import numpy as np
import pytest
from ring import Net

from minigen.autograd import Tensor
from minigen.models.flow_matching.likelihood import log_prob, velocity_and_divergence
from minigen.ops import sin, tanh
from minigen.parallel import one_blas_thread

MEAN = np.array([0.6, -0.3, 0.1])
ROOT = np.array([[0.5, 0.0, 0.0], [0.3, 0.4, 0.0], [-0.2, 0.1, 0.6]])
COVARIANCE = ROOT @ ROOT.T


def true_velocity(xt, t):
    """E[eps - x0 | xt] of data N(MEAN, COVARIANCE): linear in xt, so Tensors carry it."""
    a, b = 1 - float(t[0]), float(t[0])
    spread = a**2 * COVARIANCE + b**2 * np.eye(3)  # of xt
    gain = np.linalg.solve(spread, b * np.eye(3) - a * COVARIANCE)  # cov(xt, eps - x0) / spread
    return (xt - a * MEAN) @ Tensor(gain) - MEAN


def gaussian_log_prob(x):
    d = x - MEAN
    quadratic = (d @ np.linalg.inv(COVARIANCE) * d).sum(1)
    return -0.5 * (quadratic + np.linalg.slogdet(2 * math.pi * COVARIANCE)[1])


def points(n):
    return MEAN + np.random.default_rng(0).standard_normal((n, 3)) @ ROOT.T


@pytest.mark.parametrize(("method", "tolerance"), [("heun", 1e-2), ("rk4", 2e-5)])
def test_the_likelihood_of_a_gaussian_is_its_density(method, tolerance):
    x = points(200)
    found = log_prob(
        true_velocity, x, np.random.default_rng(1), trace="exact", method=method, steps=60
    )
    np.testing.assert_allclose(found, gaussian_log_prob(x), atol=tolerance)


@pytest.mark.parametrize(("method", "order"), [("heun", 2), ("rk4", 4)])
def test_the_methods_have_their_order(method, order):
    x, rng = points(20), np.random.default_rng(1)
    errors = [
        np.abs(
            log_prob(true_velocity, x, rng, trace="exact", method=method, steps=n)
            - gaussian_log_prob(x)
        ).mean()
        for n in (40, 80)
    ]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.3)


def test_hutchinson_is_right_on_average():
    """Over many probes its mean is the exact log p, within 4 standard errors."""
    x = np.repeat(points(1), 4000, axis=0)
    found = log_prob(true_velocity, x, np.random.default_rng(2), method="rk4", steps=20)
    exact = log_prob(true_velocity, x[:1], None, trace="exact", method="rk4", steps=20)[0]
    assert found.std() > 0.01
    assert abs(found.mean() - exact) < 4 * found.std() / math.sqrt(len(x))


def field(xt, t):
    """A velocity that is not linear, with the divergence in closed form below."""
    mix = Tensor(ROOT)
    return tanh(xt @ mix) + sin(xt) * float(t[0])


def test_the_exact_trace_is_that_of_the_jacobian():
    x, t = points(5), 0.7
    _, divergence = velocity_and_divergence(field, x, t)
    expected = ((1 - np.tanh(x @ ROOT) ** 2) * np.diag(ROOT)).sum(1) + t * np.cos(x).sum(1)
    np.testing.assert_allclose(divergence, expected, rtol=1e-12)


def test_hutchinson_over_all_signs_is_the_exact_trace():
    """E over the 8 vectors of signs, all equally likely, without a random number."""
    x, t = points(4), 0.3
    signs = np.array(np.meshgrid(*[[-1.0, 1.0]] * 3)).reshape(3, -1).T
    estimates = [
        velocity_and_divergence(field, x, t, np.broadcast_to(e, x.shape).copy())[1] for e in signs
    ]
    exact = velocity_and_divergence(field, x, t)[1]
    np.testing.assert_allclose(np.mean(estimates, axis=0), exact, rtol=1e-12)
    assert np.std(estimates, axis=0).max() > 0.01


def test_pictures_and_conditions_are_handed_on():
    x, seen = points(4).reshape(2, 2, 3, 1).astype(np.float32), []

    def model(xt, t, label):
        seen.append((xt.shape, t.shape, label))
        return xt * 0.0

    found = log_prob(model, x, np.random.default_rng(0), steps=2, conditions={"label": 3})
    expected = -0.5 * (x**2 + math.log(2 * math.pi)).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.dtype == np.float32
    assert seen == [((2, 2, 3, 1), (2,), 3)] * 4


def test_the_density_of_a_network_integrates_to_one():
    """Whatever the velocity is: sum over a grid that holds nearly all of p, times its area."""
    model = Net(np.random.default_rng(0), time_scale=1)
    side = np.linspace(-6, 6, 41, dtype=np.float32)
    plane = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    with one_blas_thread():
        p = np.exp(log_prob(model, plane, np.random.default_rng(0), trace="exact", steps=8))
    assert p.sum() * (side[1] - side[0]) ** 2 == pytest.approx(1, abs=5e-3)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"trace": "guess"}, "trace is 'guess'"),
        ({"method": "euler"}, "method is 'euler'"),
        ({"steps": 0}, "steps is 0"),
    ],
)
def test_settings_that_make_no_sense_are_told(settings, said):
    with pytest.raises(ValueError, match=said):
        log_prob(true_velocity, points(2), np.random.default_rng(0), **settings)


def test_a_velocity_of_another_shape_is_told():
    with pytest.raises(ValueError, match=r"returned \(2, 2\), x is \(2, 3\)"):
        log_prob(lambda xt, t: xt[:, :2], points(2), np.random.default_rng(0))

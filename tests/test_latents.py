"""Latent walks: where the ends are, how long the way, how even the pace; arithmetic on them."""

import math

import numpy as np
import pytest

from minigen.latents import (
    analogy,
    attribute_direction,
    grid_walk,
    interpolate,
    lerp,
    mix,
    quantile_grid,
    slerp,
    with_norm,
)


def latents(n=2, shape=(4, 5, 1), dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal((n, *shape)).astype(dtype)


def angle(a, b):
    a, b = a.ravel() / np.linalg.norm(a), b.ravel() / np.linalg.norm(b)
    return 2 * math.atan2(np.linalg.norm(a - b), np.linalg.norm(a + b))


@pytest.mark.parametrize("walk", [lerp, slerp])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_ends_come_back_exactly(walk, dtype):
    a, b = latents(dtype=dtype)
    way = walk(a, b, [0, 0.3, 1])
    assert way.dtype == dtype
    assert way.shape == (3, *a.shape)
    assert np.array_equal(way[0], a)
    assert np.array_equal(way[2], b)
    assert np.array_equal(walk(a, b, 0.3), way[1])


def test_slerp_keeps_the_norm_of_ends_that_have_one():
    a, b = with_norm(latents(dtype=np.float64), 3.0)
    norms = np.linalg.norm(slerp(a, b, np.linspace(0, 1, 11)).reshape(11, -1), axis=1)
    np.testing.assert_allclose(norms, 3.0, rtol=1e-12)


def test_slerp_grows_the_norm_evenly_where_the_ends_differ():
    a, b = latents(dtype=np.float64) * np.array([1.0, 5.0])[:, None, None, None]
    shares = np.linspace(0, 1, 7)
    norms = np.linalg.norm(slerp(a, b, shares).reshape(7, -1), axis=1)
    ends = np.linalg.norm(a), np.linalg.norm(b)
    np.testing.assert_allclose(norms, (1 - shares) * ends[0] + shares * ends[1], rtol=1e-12)


@pytest.mark.parametrize("nearness", [1.0, 1e-3, 1e-7, 0.0])
def test_slerp_is_linear_in_the_angle_and_stays_in_the_plane(nearness):
    a, c = latents(dtype=np.float64)
    b = a + nearness * (c - a)
    shares = np.linspace(0, 1, 9)
    way = slerp(a, b, shares)
    np.testing.assert_allclose([angle(a, z) for z in way], shares * angle(a, b), atol=1e-12)
    basis = np.linalg.qr(np.stack([a.ravel(), c.ravel()], axis=1))[0]
    flat = way.reshape(9, -1)
    np.testing.assert_allclose(flat @ basis @ basis.T, flat, atol=1e-12)


def test_slerp_backwards_is_the_same_way():
    a, b = latents(dtype=np.float64)
    shares = np.linspace(0, 1, 5)
    np.testing.assert_allclose(slerp(a, b, shares), slerp(b, a, shares)[::-1], rtol=1e-12)


def test_a_straight_walk_between_noises_is_too_short_and_a_spherical_one_is_not():
    a, b = latents(shape=(10_000,), dtype=np.float64)
    middle = [np.linalg.norm(walk(a, b, 0.5)) / 100 for walk in (lerp, slerp)]
    np.testing.assert_allclose(middle, [math.sqrt(0.5), 1.0], atol=0.03)


@pytest.mark.parametrize(("spherical", "walk"), [(False, lerp), (True, slerp)])
def test_interpolation_is_the_walk_at_even_shares(spherical, walk):
    a, b = latents()
    assert np.array_equal(interpolate(a, b, 5, spherical), walk(a, b, [0, 0.25, 0.5, 0.75, 1]))


@pytest.mark.parametrize("spherical", [False, True])
def test_a_grid_walk_has_its_corners_and_walks_along_its_edges(spherical):
    corners = latents(4)
    sheet = grid_walk(corners, 3, 4, spherical)
    assert sheet.shape == (3, 4, *corners.shape[1:])
    for corner, place in zip(corners, [(0, 0), (0, -1), (-1, 0), (-1, -1)]):
        assert np.array_equal(sheet[place], corner)
    assert np.array_equal(sheet[:, 0], interpolate(corners[0], corners[2], 3, spherical))
    assert np.array_equal(sheet[-1], interpolate(corners[2], corners[3], 4, spherical))


def test_a_straight_grid_walk_is_bilinear():
    corners = latents(4, dtype=np.float64)
    weights = [0.75 * 0.5, 0.25 * 0.5, 0.75 * 0.5, 0.25 * 0.5]
    sheet = grid_walk(corners, 3, 5)
    np.testing.assert_allclose(sheet[1, 1], np.tensordot(weights, corners, 1), atol=1e-12)


def test_the_quantile_grid_cuts_the_normal_distribution_into_equal_parts():
    sheet = quantile_grid(4, 5)
    assert sheet.shape == (4, 5, 2)
    x = np.random.default_rng(0).standard_normal(40_000)
    below = [(x < edge).mean() for edge in sheet[0, :, 0]]
    np.testing.assert_allclose(below, [0.1, 0.3, 0.5, 0.7, 0.9], atol=0.01)
    assert (np.diff(sheet[:, 0, 1]) > 0).all()
    assert (sheet[:, :, 1] == sheet[:, :1, 1]).all()
    np.testing.assert_allclose(sheet, -sheet[::-1, ::-1], atol=1e-6)


def test_a_mixture_takes_each_number_from_one_of_both():
    a, b = latents(shape=(2, 3))
    mask = np.array([True, False, True])
    assert np.array_equal(mix(a, b, mask), np.stack([a[:, 0], b[:, 1], a[:, 2]], axis=1))
    assert np.array_equal(mix(a, b, ~mask), mix(b, a, mask))


def test_a_mixture_of_noises_is_noise():
    a, b = latents(shape=(40_000,))
    mixed = mix(a, b, np.arange(40_000) % 3 == 0)
    assert mixed.mean() == pytest.approx(0, abs=0.02)
    assert mixed.var() == pytest.approx(1, abs=0.03)


def test_an_attribute_is_found_and_moved():
    rng, true = np.random.default_rng(0), np.array([0.0, 3.0, -1.0])
    others = rng.standard_normal((20_000, 3))
    having = rng.standard_normal((10_000, 3)) + true
    direction = attribute_direction(having, others)
    np.testing.assert_allclose(direction, true, atol=0.05)
    np.testing.assert_allclose(analogy(others[0], others[0] + true, having[0]), having[0] + true)


def test_a_norm_is_set_and_the_direction_kept():
    z = latents(3)
    other = with_norm(z, np.array([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(np.linalg.norm(other.reshape(3, -1), axis=1), [1, 2, 3], rtol=1e-6)
    assert other.dtype == z.dtype
    np.testing.assert_allclose([angle(x, y) for x, y in zip(z, other)], 0, atol=1e-6)


ONE, ZERO = np.ones(3), np.zeros(3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lerp(ONE, np.ones(4), 0.5), r"lerp: a is \(3,\), b is \(4,\)"),
        (lambda: lerp(ONE, ONE, np.ones((2, 2))), r"share is \(2, 2\)"),
        (lambda: slerp(ONE, ZERO, 0.5), "an end is 0"),
        (lambda: slerp(ONE, -2 * ONE, 0.5), "opposite"),
        (lambda: interpolate(ONE, ONE, 1), "got 1 steps"),
        (lambda: grid_walk([ONE, ONE], 3, 3), "got 2 corners"),
        (lambda: quantile_grid(0, 3), "got 0 x 3"),
        (lambda: mix(ONE, ONE, ONE), "the mask is float64"),
        (lambda: mix(ONE, ONE, np.ones((2, 3), bool)), r"the mask is \(2, 3\)"),
        (lambda: mix(ONE, np.ones(2), np.array(True)), "expected one shape"),
        (lambda: attribute_direction(np.ones((0, 3)), np.ones((2, 3))), "expected one or more"),
        (lambda: analogy(ONE, ONE, np.ones(2)), "expected one"),
        (lambda: with_norm(np.zeros((1, 3)), 1.0), "a latent is 0"),
    ],
)
def test_wrong_latents_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()

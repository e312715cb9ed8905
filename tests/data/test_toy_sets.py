"""The toy sets have the shapes they are named after."""

import numpy as np
import pytest

from minigen.data import toy

ALL = [toy.ring, toy.grid25, toy.two_moons, toy.swiss_roll]


@pytest.mark.parametrize("make", ALL)
def test_points_are_float32_in_the_plane_and_follow_the_seed(make):
    points = make(100, np.random.default_rng(4))
    assert points.shape == (100, 2)
    assert points.dtype == np.float32
    assert np.array_equal(points, make(100, np.random.default_rng(4)))


@pytest.mark.parametrize(
    ("make", "centres"), [(toy.ring, toy.ring_centres()), (toy.grid25, toy.grid_centres())]
)
def test_mixtures_have_all_their_modes_evenly_and_of_their_width(make, centres, rng):
    points = make(10_000, rng)
    off = points[:, None] - centres
    distance = np.linalg.norm(off, axis=2)
    nearest = distance.argmin(1)
    share = np.bincount(nearest, minlength=len(centres)) * len(centres) / len(points)
    assert abs(share - 1).max() < 0.25
    assert abs(off[np.arange(len(points)), nearest].std() - 0.05) < 0.002


def test_the_modes_of_the_ring_are_on_a_circle():
    assert np.allclose(np.linalg.norm(toy.ring_centres(5, 3.0), axis=1), 3)


def test_moons_are_half_circles(rng):
    x, y = toy.two_moons(2000, rng, sigma=0).T + np.array([[0.5], [0.25]])
    upper = np.hypot(x, y)
    lower = np.hypot(x - 1, y - 0.5)
    on_upper = (abs(upper - 1) < 1e-5) & (y > -1e-5)
    on_lower = (abs(lower - 1) < 1e-5) & (y < 0.5 + 1e-5)
    assert (on_upper | on_lower).all()
    assert 0.45 < on_upper.mean() < 0.55


def test_the_roll_is_a_spiral(rng):
    points = toy.swiss_roll(2000, rng, sigma=0)
    radius = np.linalg.norm(points, axis=1)
    angle = np.arctan2(points[:, 1], points[:, 0])
    turns = (radius / 2 * 4.5 * np.pi - angle) / (2 * np.pi)
    assert np.allclose(turns, np.rint(turns), atol=1e-4)
    assert radius.min() > 0.66
    assert radius.max() <= 2.0001

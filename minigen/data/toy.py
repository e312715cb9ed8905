"""Toy sets in the plane: a model for them trains in seconds and its mistakes can be seen.

All return n points (n, 2), float32, of mean near 0 and a spread of one to three units.
"""

from __future__ import annotations

import numpy as np


def ring_centres(modes: int = 8, radius: float = 2.0) -> np.ndarray:
    """Centres of the Gaussians of `ring`, (modes, 2)."""
    angle = 2 * np.pi * np.arange(modes) / modes
    return (radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)).astype(np.float32)


def ring(
    n: int,
    rng: np.random.Generator,
    *,
    modes: int = 8,
    radius: float = 2.0,
    sigma: float = 0.05,
) -> np.ndarray:
    """Gaussians of width sigma, evenly on a circle: does a model find all of them?

    Source: Metz et al., Unrolled Generative Adversarial Networks, 2017, section 3.1,
    arXiv:1611.02163 (there with sigma 0.02).
    """
    return _mixture(n, rng, ring_centres(modes, radius), sigma)


def grid_centres() -> np.ndarray:
    """Centres of the Gaussians of `grid25`: -4, -2, 0, 2, 4 along both axes, (25, 2)."""
    ticks = np.arange(-4, 5, 2, dtype=np.float32)
    return np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)


def grid25(n: int, rng: np.random.Generator, *, sigma: float = 0.05) -> np.ndarray:
    """25 Gaussians of width sigma on a grid of 5 x 5.

    Source: Dumoulin et al., Adversarially Learned Inference, 2017, arXiv:1606.00704.
    """
    return _mixture(n, rng, grid_centres(), sigma)


def two_moons(n: int, rng: np.random.Generator, *, sigma: float = 0.05) -> np.ndarray:
    """Two half circles of radius 1 that reach into each other, blurred by sigma.

    With an angle a in [0, pi]: the upper moon is (cos a, sin a), the lower one is
    (1 - cos a, 0.5 - sin a); then the middle of both, (0.5, 0.25), is moved to 0.
    """
    angle = rng.uniform(0, np.pi, n)
    upper = rng.random(n) < 0.5
    x = np.where(upper, np.cos(angle), 1 - np.cos(angle)) - 0.5
    y = np.where(upper, np.sin(angle), 0.5 - np.sin(angle)) - 0.25
    return _blurred(np.stack([x, y], axis=1), rng, sigma)


def swiss_roll(n: int, rng: np.random.Generator, *, sigma: float = 0.05) -> np.ndarray:
    """A spiral of one and a half turns, `2 (a / a_max) (cos a, sin a)` with a in [1.5 pi, 4.5 pi].

    The points are spread evenly over the angle a.
    """
    angle = rng.uniform(1.5 * np.pi, 4.5 * np.pi, n)
    radius = 2 * angle / (4.5 * np.pi)
    return _blurred(radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1), rng, sigma)


def _mixture(n: int, rng: np.random.Generator, centres: np.ndarray, sigma: float) -> np.ndarray:
    return _blurred(centres[rng.integers(len(centres), size=n)], rng, sigma)


def _blurred(points: np.ndarray, rng: np.random.Generator, sigma: float) -> np.ndarray:
    return (points + sigma * rng.standard_normal(points.shape)).astype(np.float32)

"""Fitting the outlines of the scenes' shapes to what a picture shows of an object.

What is fitted is a map a (H, W) that says how much of every pixel belongs to the object, in those
pixels that tell about it (the region w). For each shape s ::

    error = sum_p w_p (a_p - drawing_p(s; x, y, r))^2

is made small over centre and radius by Gauss-Newton steps: with the slopes J (3, H W) of the
drawing by x, y and r, and the difference d = a - drawing, the step is `(J J^T + 0.3 I)^-1 J d`.
The drawing of a plain object is its coverage. One with an outline has two maps, and its drawing is
a mixture of two coverages; see `Ink`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minigen.data.scenes import CANVAS, SHAPES, coverage

KINDS = len(SHAPES)
_AT = np.arange(CANVAS, dtype=np.float32) + np.float32(0.5)  # pixel centres


class Fit(NamedTuple):
    """Shapes with their best place and radius, and the squared error that remains."""

    shape: np.ndarray
    x: np.ndarray
    y: np.ndarray
    r: np.ndarray
    error: np.ndarray

    def rows(self, index: np.ndarray) -> Fit:
        """Some of the fits."""
        return Fit(*(column[index] for column in self))

    def coverage(self, grow: float = 0.0, outset: float = 0.0) -> np.ndarray:
        """(M, H, W), the radius `grow` pixels larger, the outline `outset` pixels further out."""
        return coverage(self.shape, self.x, self.y, self.r + np.float32(grow), outset)


class Ink(NamedTuple):
    """How the maps of M objects come from their coverages, K = 1 plain, or K = 2 with an outline.

    From the background b to the ink i and on to the colour c the way is e1 = i - b, e2 = c - i, and
    a pixel is `b + outer e1 + inner e2`. With the orthonormal q1, q2 of QR, `(e1 e2) = (q1 q2) R`,
    its maps are `q . (pixel - b)`, and those of the drawing `R (outer, inner)`: what three channels
    know, in two, even where e1 and e2 lie on one line.

    Shapes: mix (M, K, K), the R above; outline in pixels.
    """

    mix: np.ndarray
    outline: float

    def rows(self, index: np.ndarray) -> Ink:
        return Ink(self.mix[index], self.outline)

    def draw(self, fit: Fit, grow: float = 0.0) -> np.ndarray:
        """The drawings, (M, K, H, W)."""
        inner = fit.coverage(grow)[:, None]
        if not self.outline:
            return inner
        layers = np.concatenate([fit.coverage(grow, self.outline)[:, None], inner], axis=1)
        mixed = self.mix @ layers.reshape(*layers.shape[:2], -1)
        return mixed.reshape(layers.shape)


def _unit_shapes() -> tuple[np.ndarray, np.ndarray]:
    """Area and height of the centre of mass of every shape at radius 1."""
    radius, centre = 8.0, np.full(KINDS, CANVAS / 2)
    drawn = coverage(np.arange(KINDS), centre, centre, np.full(KINDS, radius))
    area = drawn.sum((1, 2))
    height = (drawn.sum(2) @ _AT) / area - CANVAS / 2
    return area / radius**2, height / radius


_UNIT_AREA, _UNIT_HEIGHT = _unit_shapes()


def first_guess(seen: np.ndarray, r: np.ndarray | None = None) -> Fit:
    """Radius (unless it is given) and centre that give the area and the centre of mass seen, for
    every shape.
    """
    area = np.maximum(seen.sum((1, 2)), 1)
    mean_x, mean_y = (seen.sum(1) @ _AT) / area, (seen.sum(2) @ _AT) / area
    shape = np.tile(np.arange(KINDS), len(area))
    each = np.repeat(np.arange(len(area)), KINDS)
    if r is None:
        r = np.clip(np.sqrt(area[each] / _UNIT_AREA[shape]), 2.5, 11).astype(np.float32)
    return Fit(shape, mean_x[each], mean_y[each] - _UNIT_HEIGHT[shape] * r, r, np.zeros_like(r))


def gauss_newton(amount: np.ndarray, region: np.ndarray, fit: Fit, ink: Ink, steps: int) -> Fit:
    """Move centres and radii so that the drawings come closest to `amount` (M, K, H, W)."""
    damping = 0.3 * np.eye(3, dtype=np.float32)
    region = region[:, None]  # (M, 1, H, W)
    for _ in range(steps):
        drawn = ink.draw(fit)
        slopes = np.zeros((len(drawn), 3, *drawn.shape[1:]), np.float32)
        slopes[:, 0, ..., 1:-1] = (drawn[..., :-2] - drawn[..., 2:]) / 2  # by x
        slopes[:, 1, :, 1:-1] = (drawn[..., :-2, :] - drawn[..., 2:, :]) / 2  # by y
        slopes[:, 2] = (ink.draw(fit, grow=0.25) - drawn) / 0.25  # by r
        slopes = (slopes * region[:, None]).reshape(len(drawn), 3, -1)
        missing = ((amount - drawn) * region).reshape(len(drawn), -1, 1)
        normal = slopes @ slopes.transpose(0, 2, 1) + damping  # (M, 3, 3)
        move = np.clip(np.linalg.solve(normal, slopes @ missing)[:, :, 0], -1, 1)
        x, y, r = (fit.x + move[:, 0], fit.y + move[:, 1], np.clip(fit.r + move[:, 2], 2.5, 11))
        fit = Fit(fit.shape, x, y, r, fit.error)
    error = ((amount - ink.draw(fit)) ** 2 * region).sum((1, 2, 3))
    return fit._replace(error=error)


def nearest_of(candidates: Sequence[Fit], amount: np.ndarray, region: np.ndarray, ink: Ink) -> Fit:
    """Of several fits for each object and shape the one whose drawing comes closest."""
    fits = [gauss_newton(amount, region, fit, ink, steps=0) for fit in candidates]
    best = fits[0]
    for other in fits[1:]:
        nearer = other.error < best.error
        best = Fit(*(np.where(nearer, a, b) for a, b in zip(other, best, strict=True)))
    return best


def best_rows(fits: Fit, rank: int = 0) -> np.ndarray:
    """For every object the row of its best fit, or of the next best with rank 1."""
    order = np.argsort(fits.error.reshape(-1, KINDS), axis=1)
    return order[:, rank] + np.arange(len(order)) * KINDS

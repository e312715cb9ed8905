"""Textures drawn by formulas, and pictures pasted together from them: what style is learnt from.

A texture is a height h in [0, 1] at every pixel, drawn through a palette of three colours. Heights
are functions of a place (u, v), counted in periods, that was turned, stretched and bent a little:

    (u, v) = turned(x + bend_x(x, y), y + bend_y(x, y)) / period                             (1)
    colour = palette(h(u, v)) * light(x, y)                                                  (2)

A leaf picture lies like leaves under a tree: shapes of many sizes, each with a texture of its own,
the later over the earlier. Edges, occlusion and large surfaces beside small ones make its
statistics like those of photographs, though nothing in it is one.

Source: Lee, Mumford and Huang, Occlusion models for natural images, 2001 (the leaves); Baradad et
al., Learning to See by Looking at Noise, 2021, arXiv 2106.05963 (what networks learn from them);
Worley, A cellular texture basis function, 1996; Cabral and Leedom, Imaging vector fields using line
integral convolution, 1993.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from minigen.data.scenes import COLOURS, SHAPES, signed_distance

PERIODS = (6.0, 18.0)  # pixels: the range from which a period is drawn where none is given
LEAVES = (1, 2)  # shapes in a picture with labels
TONES: dict[str, tuple[int, int, int]] = {  # names of colours, for all there are
    **COLOURS,
    "grey": (128, 128, 128),
    "cyan": (70, 200, 210),
    "pink": (240, 140, 190),
    "brown": (120, 80, 50),
}
SEEN_FROM = 0.1  # share of the pixels from which on a tone is in a picture


# Noise -------------------------------------------------------------------------------------------


def smooth_noise(size: int, wavelength: float, rng: np.random.Generator) -> np.ndarray:
    """Random hills of about this wavelength, pixels; mean 0, variance 1, (size, size) float32."""
    f = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)) * wavelength
    spectrum = np.fft.rfft2(rng.standard_normal((size, size))) * (f * np.exp(-f * f / 2))
    return _standardised(np.fft.irfft2(spectrum, (size, size)))


def gentle(x: np.ndarray, y: np.ndarray, wavelength: float, rng: np.random.Generator) -> np.ndarray:
    """The sum of three waves in random directions: a slow change, about from -1 to 1."""
    total = np.zeros(np.broadcast_shapes(x.shape, y.shape), np.float32)
    for _ in range(3):
        turn, start = rng.uniform(0, 2 * np.pi, 2)
        k = 2 * np.pi / (wavelength * rng.uniform(0.7, 1.4))
        total += np.sin(np.float32(k * np.cos(turn)) * x + np.float32(k * np.sin(turn)) * y + start)
    return total / 3


def cloud_noise(size: int, rng: np.random.Generator, exponent: float = 1.6) -> np.ndarray:
    """Hills of all wavelengths, amplitude 1 / frequency^exponent, as smooth_noise."""
    f = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size))
    f[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((size, size))) / f**exponent
    return _standardised(np.fft.irfft2(spectrum, (size, size)))


def _standardised(x: np.ndarray) -> np.ndarray:
    return ((x - x.mean()) / (x.std() + 1e-8)).astype(np.float32)


def along_lines(noise: np.ndarray, angle: np.ndarray, length: float, steps: int = 12) -> np.ndarray:
    """The mean of `noise` along the line of direction `angle` through each pixel, both ways.

    Shapes: noise and angle (H, W) -> (H, W), standardised. Units: angle in radians, length pixels.
    """
    (H, W), total = noise.shape, noise.copy()
    rows, columns = np.meshgrid(np.arange(H), np.arange(W), indexing="ij")
    for sign in (-1.0, 1.0):
        y, x = rows.astype(np.float32), columns.astype(np.float32)
        stride = sign * length / (2 * steps)
        for _ in range(steps):
            here = angle[y.astype(int) % H, x.astype(int) % W]
            y, x = y + stride * np.sin(here), x + stride * np.cos(here)
            total += noise[y.astype(int) % H, x.astype(int) % W]
    return _standardised(total)


# Heights: (u, v) in periods, the period in pixels -> (H, W) from 0 to 1 -------------------------


def _wave(t: np.ndarray, sharpness: float = 3.0) -> np.ndarray:
    """Bands of period 1 with soft edges."""
    return 0.5 + 0.5 * np.tanh(sharpness * np.sin(2 * np.pi * t))


def _hills(x: np.ndarray, sharpness: float = 1.0) -> np.ndarray:
    return 0.5 + 0.5 * np.tanh(sharpness * x)


def _centred(t: np.ndarray) -> np.ndarray:
    """The place inside a cell, from -1/2 to 1/2."""
    return t - np.floor(t) - 0.5


def _stripes(u, v, period, rng):
    return _wave(u, rng.uniform(1, 6))


def _checks(u, v, period, rng):
    return 0.5 + 0.5 * np.tanh(6 * np.sin(np.pi * u) * np.sin(np.pi * v))


def _dots(u, v, period, rng):
    r = np.hypot(_centred(u), _centred(v))
    return _hills((rng.uniform(0.2, 0.36) - r) * period, 1.2)


def _bricks(u, v, period, rng):
    row = np.floor(2 * v)
    across, down = _centred(u + 0.5 * (row % 2)), _centred(2 * v)
    inside = np.minimum(0.5 - np.abs(across), 0.5 * (0.5 - np.abs(down)))
    tone = _of_cell(np.floor(u + 0.5 * (row % 2)), row, rng)
    return _hills((inside - 0.05) * period, 1.5) * (0.6 + 0.4 * tone)


def _waves(u, v, period, rng):
    return _wave(u + rng.uniform(0.2, 0.4) * np.sin(2 * np.pi * v * 0.6), 1.5)


def _rings(u, v, period, rng):
    a, b = rng.uniform(-3, 3, 2)
    return _wave(np.hypot(u - a, v - b), rng.uniform(1, 4))


def _zigzag(u, v, period, rng):
    return _wave(u + 2 * np.abs(_centred(v * 0.7)), 4)


def _weave(u, v, period, rng):
    over = np.sin(np.pi * (np.floor(u) + np.floor(v)) + np.pi / 2) > 0
    a, b = np.cos(np.pi * _centred(u)), np.cos(np.pi * _centred(v))
    return np.where(over, a * (0.55 + 0.45 * b), b * (0.55 + 0.45 * a)) ** 1.5


def _scales(u, v, period, rng):
    r = []
    for shift in (0, 1):  # a row, and the row before it, whose tips lie over it
        row = np.floor(2 * v) - shift
        r.append(np.hypot(_centred(u + 0.5 * (row % 2)), v - row / 2))
    return np.clip(np.where(r[1] < 0.72, r[1] / 0.72, r[0] / 0.72), 0, 1) ** 2


def _cells(u, v, period, rng):
    first, second, _ = _nearest_two(u, v, rng)
    return _hills((second - first - 0.12) * period, 0.7)


def _patches(u, v, period, rng):
    first, _, tone = _nearest_two(u, v, rng)
    return np.clip(tone * 0.85 + 0.15 * (1 - first), 0, 1)


def _clouds(u, v, period, rng):
    return _hills(cloud_noise(len(u), rng), 0.8)


def _grain(u, v, period, rng):
    return _hills(smooth_noise(len(u), 2.0, rng), 0.9)


def _spots(u, v, period, rng):
    return _hills(smooth_noise(len(u), period, rng), 4)


def _strokes(u, v, period, rng):
    angle = np.full(u.shape, _direction(u, v), np.float32)
    noise = smooth_noise(len(u), 0.4 * period, rng)
    return _hills(along_lines(noise, angle, 3 * period), 0.9)


def _swirls(u, v, period, rng):
    flow = smooth_noise(len(u), 5 * period, rng)
    down, across = np.gradient(flow)
    noise = smooth_noise(len(u), 0.4 * period, rng)
    return _hills(along_lines(noise, np.arctan2(-across, down), 3 * period), 0.9)


Heights = Callable[[np.ndarray, np.ndarray, float, np.random.Generator], np.ndarray]
_HEIGHTS: dict[str, Heights] = {
    "stripes": _stripes,
    "checks": _checks,
    "dots": _dots,
    "bricks": _bricks,
    "waves": _waves,
    "rings": _rings,
    "zigzag": _zigzag,
    "weave": _weave,
    "scales": _scales,
    "cells": _cells,
    "patches": _patches,
    "clouds": _clouds,
    "grain": _grain,
    "spots": _spots,
    "strokes": _strokes,
    "swirls": _swirls,
}
TEXTURES = tuple(_HEIGHTS)
LABELS = (*TEXTURES, *SHAPES, *TONES)


def _direction(u: np.ndarray, v: np.ndarray) -> float:
    """The angle in which v grows, radians."""
    down, across = np.gradient(v)
    return math.atan2(down.mean(), across.mean())


def _of_cell(i: np.ndarray, j: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A number from 0 to 1 for each cell (i, j), the same wherever it is asked for."""
    table = rng.random(509, np.float32)
    return table[(i.astype(int) * 31 + j.astype(int) * 57) % 509]


def _nearest_two(
    u: np.ndarray, v: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances to the nearest and second nearest of random points, one a cell; a tone of each."""
    first, second = np.full(u.shape, 9.0, np.float32), np.full(u.shape, 9.0, np.float32)
    tone = np.zeros(u.shape, np.float32)
    i, j = np.floor(u), np.floor(v)
    seeds = rng.integers(2**31, size=3)
    for di in (-1, 0, 1):
        for dj in (-1, 0, 1):
            x, y, z = (_of_cell(i + di, j + dj, np.random.default_rng(s)) for s in seeds)
            r = np.hypot(i + di + x - u, j + dj + y - v)
            tone = np.where(r < first, z, tone)
            second = np.minimum(second, np.maximum(first, r))
            first = np.minimum(first, r)
    return first, second, tone


# Pictures ----------------------------------------------------------------------------------------


def palette(rng: np.random.Generator) -> np.ndarray:
    """Three colours (3, 3) from 0 to 1, the outer ones apart by at least 0.5."""
    while True:
        colours = rng.random((3, 3)) * rng.uniform(0.4, 1) + rng.uniform(0, 0.3)
        if np.linalg.norm(colours[0] - colours[2]) > 0.5:
            return np.clip(colours, 0, 1).astype(np.float32)


def texture(
    name: str,
    size: int,
    rng: np.random.Generator,
    *,
    period: float | None = None,
    colours: np.ndarray | None = None,
) -> np.ndarray:
    """A picture that one texture fills: (size, size, 3) float32 from 0 to 1.

    period   of what repeats, pixels; drawn from PERIODS where it is None
    colours  (3, 3) from 0 to 1, for h = 0, 1/2 and 1; drawn where they are None

    Raises: ValueError for a name that is not in TEXTURES.
    """
    if name not in _HEIGHTS:
        raise ValueError(f"texture: got {name!r}, expected one of {', '.join(TEXTURES)}")
    period = rng.uniform(*PERIODS) if period is None else period
    x, y = _places(size)
    bend = rng.uniform(0, 0.15) * period
    x, y = (t + 2 * bend * gentle(x, y, 4 * period, rng) for t in (x, y))
    turn, start = rng.uniform(0, 2 * np.pi), rng.uniform(0, 50, 2)
    stretch = rng.uniform(0.8, 1.25)
    u = (np.cos(turn) * x + np.sin(turn) * y) / period * stretch + start[0]
    v = (np.cos(turn) * y - np.sin(turn) * x) / period / stretch + start[1]
    height = np.clip(_HEIGHTS[name](u, v, period, rng), 0, 1)  # eq. 1
    colours = palette(rng) if colours is None else colours
    place = np.linspace(0, 1, len(colours))
    picture = np.stack([np.interp(height, place, colours[:, c]) for c in range(3)], axis=-1)
    light = 1 + rng.uniform(0, 0.2) * gentle(x, y, size, rng)
    return np.clip(picture * light[..., None], 0, 1).astype(np.float32)  # eq. 2


def _places(size: int) -> tuple[np.ndarray, np.ndarray]:
    """The centres of the pixels, across and down: (size, size) each."""
    along = np.arange(size, dtype=np.float32) + np.float32(0.5)
    across, down = np.meshgrid(along, along)
    return across, down


def _shape(name: str, size: int, radius: float, rng: np.random.Generator) -> np.ndarray:
    """How much of each pixel a shape covers that is turned by any angle, (size, size)."""
    x0, y0 = rng.uniform(0.15 * size, 0.85 * size, 2)
    x, y = _places(size)
    turn = rng.uniform(-0.4, 0.4)
    dx = np.cos(turn) * (x - x0) + np.sin(turn) * (y - y0)
    dy = np.cos(turn) * (y - y0) - np.sin(turn) * (x - x0)
    return np.clip(0.5 - signed_distance(name, dx, dy, np.array(radius)), 0, 1)


def labelled(n: int, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """n pictures of one or two shapes, each with a texture, before a textured background.

    Shapes: -> uint8 (n, size, size, 3); which of LABELS are seen, float32 (n, len(LABELS)) of 0
    and 1.
    """
    pictures = np.empty((n, size, size, 3), np.uint8)
    seen = np.zeros((n, len(LABELS)), np.float32)
    for k in range(n):
        leaves = int(rng.integers(LEAVES[0], LEAVES[1] + 1))
        kinds = rng.choice(len(TEXTURES), leaves + 1, replace=False)
        forms = rng.choice(len(SHAPES), leaves, replace=False)
        picture = texture(TEXTURES[kinds[0]], size, rng)
        for kind, form in zip(kinds[1:], forms):
            radius = size * rng.uniform(0.2, 0.32)
            cover = _shape(SHAPES[form], size, radius, rng)[..., None]
            picture += cover * (texture(TEXTURES[kind], size, rng) - picture)
        seen[k, kinds], seen[k, len(TEXTURES) + forms] = 1, 1
        pictures[k] = np.rint(picture * 255)
    seen[:, -len(TONES) :] = tones(pictures)
    return pictures, seen


def tones(pictures: np.ndarray) -> np.ndarray:
    """Which of TONES are seen: those to which a tenth of the pixels is nearest.

    Shapes: uint8 (N, H, W, 3) -> float32 (N, len(TONES)) of 0 and 1.
    """
    named = np.array(list(TONES.values()), np.float32)  # (T, 3)
    pixels = pictures[:, ::2, ::2].reshape(len(pictures), -1, 3).astype(np.float32)
    nearest = (pixels @ named.T - 0.5 * (named**2).sum(axis=1)).argmax(axis=-1)  # (N, pixels)
    share = (nearest[..., None] == np.arange(len(named))).mean(axis=1)
    return (share >= SEEN_FROM).astype(np.float32)


def leaf_picture(size: int, rng: np.random.Generator, leaves: int = 12) -> np.ndarray:
    """Textured shapes of all sizes, one over the other: (size, size, 3) float32 from 0 to 1.

    Half of the shapes are plain, or shaded from one colour to another: most of a photograph is.
    """
    picture = _surface(size, rng)
    for _ in range(leaves):
        radius = size * 0.05 * (0.08 + 0.92 * rng.random()) ** -1.0  # P(radius > r) ~ 1 / r
        name = SHAPES[rng.integers(len(SHAPES))]
        cover = _shape(name, size, min(radius, 0.5 * size), rng)[..., None]
        picture += cover * (_surface(size, rng) - picture)
    return picture


def _surface(size: int, rng: np.random.Generator) -> np.ndarray:
    if rng.random() < 0.5:
        return texture(TEXTURES[rng.integers(len(TEXTURES))], size, rng)
    slope = np.linspace(0, 1, size, dtype=np.float32)
    ramp = slope[:, None] * rng.uniform(-1, 1) + slope * rng.uniform(-1, 1) + rng.random()
    a, b = rng.random((2, 3))
    return (a + (b - a) * np.clip(ramp, 0, 1)[..., None] * rng.random()).astype(np.float32)

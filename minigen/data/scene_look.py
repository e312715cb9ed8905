"""Looking at a picture before any shape is known: the first three steps of the scene parser.

What comes out says where the background is, how many objects there are, in which part of the canvas
each is to be looked for, and how much of it every pixel there shows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minigen.data.scene_fit import Ink
from minigen.data.scene_styles import Style
from minigen.data.scenes import CANVAS

# Distances between colours are Euclidean in sRGB, 0 to 255 a channel; the two closest colours of
# a palette are 62 apart in the plain style, 52 in the outlined one. "Blurred" is the mean of 3 x 3
# pixels.
FOREGROUND = 35.0  # from the background; noise of sigma 8 stays below
COLOUR = 24.0  # from a colour of the palette

SINGLE, BESIDE, STACKED = range(3)  # the layouts
_ELONGATED = 1.7  # ratio of variances from which a layout is two objects
_AT = np.arange(CANVAS, dtype=np.float32) + np.float32(0.5)  # pixel centres
_BORDER = np.pad(np.zeros((CANVAS - 2, CANVAS - 2), bool), 1, constant_values=True)


class Ground(NamedTuple):
    """What is seen before any object: n pictures."""

    style: Style
    colour: np.ndarray  # (n, 3) of the background
    plain: np.ndarray  # (n, H, W, 3) the background alone, with its hatching
    difference: np.ndarray  # (n, H, W, 3) of the picture from it
    foreground: np.ndarray  # (n, H, W) bool
    layout: np.ndarray  # (n,)


class Objects(NamedTuple):
    """Where objects are to be looked for: M objects, those of one picture side by side."""

    picture: np.ndarray  # (M,)
    slot: np.ndarray  # (M,) 1 for the second object of a picture: the right one, the lower one
    layout: np.ndarray  # (M,) of its picture
    region: np.ndarray  # (M, H, W) bool: the pixels that tell about this object
    amount: np.ndarray  # (M, K, H, W), step 3
    ink: Ink


def look(pictures: np.ndarray, style: Style) -> Ground:
    colour, plain = _background(pictures, style)
    difference = pictures - plain
    foreground = norm(difference) > FOREGROUND
    foreground &= blurred(foreground.astype(np.float32)) > 0.3  # three pixels together
    spread = []
    for axis in (1, 2):  # summed over y: the profile along x, then the other way round
        profile = foreground.sum(axis) / np.maximum(foreground.sum((1, 2)), 1)[:, None]
        mean = profile @ _AT
        spread.append((profile * (_AT - mean[:, None]) ** 2).sum(1))
    along_x, along_y = spread
    beside, above = along_x > _ELONGATED * along_y, along_y > _ELONGATED * along_x
    layout = np.where(beside, BESIDE, np.where(above, STACKED, SINGLE))
    return Ground(style, colour, plain, difference, foreground, layout)


def _background(pictures: np.ndarray, style: Style) -> tuple[np.ndarray, np.ndarray]:
    """Its colour (n, 3), and with its hatching as strong as on the border (n, H, W, 3)."""
    border = pictures[:, _BORDER]  # (n, p, 3)
    colour = np.median(border, axis=1)
    if not style.hatching.any():
        return colour, np.zeros_like(pictures) + colour[:, None, None]
    lines = style.hatching[_BORDER]
    strength = (border.mean(2) - colour.mean(1)[:, None]) @ lines / (lines @ lines)
    strength = np.clip(strength, 0, 2).astype(np.float32)[:, None, None, None]
    colour = np.median(border - strength[:, 0] * lines[:, None], axis=1)
    return colour, colour[:, None, None] + strength * style.hatching[:, :, None]


def objects_of(pictures: np.ndarray, ground: Ground) -> Objects:
    counts = np.where(ground.layout == SINGLE, 1, 2)
    picture = np.repeat(np.arange(len(pictures)), counts)
    slot = np.arange(len(picture)) - np.repeat(np.cumsum(counts) - counts, counts)
    layout = ground.layout[picture]
    region = _half(slot, layout, gap=1.0)
    find = _vote_colour if ground.style.outline else _guess_colour
    colour = find(pictures, ground, picture, _half(slot, layout, gap=4.0))
    basis, ink = _ways(ground, picture, colour)
    amount = np.einsum("mhwc,mck->mkhw", ground.difference[picture], basis)
    least = -1.25 if ground.style.outline else -0.25
    return Objects(picture, slot, layout, region, np.clip(amount, least, 1.25), ink)


def _ways(ground: Ground, picture: np.ndarray, colour: np.ndarray) -> tuple[np.ndarray, Ink]:
    """What takes a difference from the background to K amounts (M, 3, K), and how they are mixed.

    Plain, K = 1: (c - b) / |c - b|^2. With an outline, K = 2: see `Ink`, over the longer of i - b
    and c - b.
    """
    style, background = ground.style, ground.colour[picture]
    if not style.outline:
        way = colour - background  # c - b
        basis = way / np.maximum((way**2).sum(1), 1)[:, None]
        return basis[:, :, None], Ink(np.ones((len(way), 1, 1), np.float32), 0.0)
    e1, e2 = style.ink - background, colour - style.ink
    q, r = np.linalg.qr(np.stack([e1, e2], axis=2))  # (M, 3, 2), (M, 2, 2)
    signs = np.where(np.diagonal(r, axis1=1, axis2=2) < 0, -1, 1).astype(np.float32)
    length = np.maximum(norm(e1), norm(e1 + e2))[:, None, None]
    return q * signs[:, None] / length, Ink(r * signs[:, :, None] / length, style.outline)


def _half(slot: np.ndarray, layout: np.ndarray, gap: float) -> np.ndarray:
    """The half of the canvas an object is in (M, H, W), `gap` pixels wide left out between."""
    offset = _AT - np.float32(CANVAS / 2)
    along = np.where((layout == BESIDE)[:, None, None], offset, offset[:, None])
    mine = np.where(slot[:, None, None] == 0, -along, along) >= gap / 2
    return mine | (layout == SINGLE)[:, None, None]


def _guess_colour(
    pictures: np.ndarray, ground: Ground, picture: np.ndarray, region: np.ndarray
) -> np.ndarray:
    """Of the palette, by the mean of the pixels furthest from the background: its mixtures with
    it are nearer.
    """
    distance = (norm(ground.difference)[picture] * region).reshape(len(picture), -1)
    furthest = np.sort(distance, axis=1)[:, -16:].mean(1)
    core = (distance >= 0.8 * furthest[:, None]).astype(np.float32)
    total = np.einsum("mp,mpc->mc", core, pictures.reshape(len(pictures), -1, 3)[picture])
    palette = ground.style.palette
    return palette[nearest_colour(total / core.sum(1)[:, None], ground.style)[0]]


def _vote_colour(
    pictures: np.ndarray, ground: Ground, picture: np.ndarray, region: np.ndarray
) -> np.ndarray:
    """The colour that most pixels have, the background's left out: those with ink have others."""
    palette = ground.style.palette
    distance = norm(pictures[:, :, :, None] - palette)  # (n, H, W, 8)
    votes = np.einsum("mhwc,mhw->mc", (distance < COLOUR)[picture], region.astype(np.float32))
    background, _ = nearest_colour(ground.colour, ground.style)
    votes[np.arange(len(votes)), background[picture]] = -1
    return palette[votes.argmax(1)]


def nearest_colour(colour: np.ndarray, style: Style) -> tuple[np.ndarray, np.ndarray]:
    """Index and distance of the nearest colour of the palette, for (M, 3)."""
    distance = norm(colour[:, None] - style.palette)
    return distance.argmin(1), distance.min(1)


def norm(vectors: np.ndarray) -> np.ndarray:
    return np.sqrt((vectors**2).sum(-1))


def blurred(planes: np.ndarray) -> np.ndarray:
    """Mean of 3 x 3 pixels of (n, H, W) or (n, H, W, C), the border repeated."""
    padding = [(0, 0), (1, 1), (1, 1)] + [(0, 0)] * (planes.ndim - 3)
    padded = np.pad(planes, padding, mode="edge")
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    return (rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]) / 9

"""The same scenes in another hand: pastel colours, an ink outline, a hatched background.

A style changes how a scene looks and nothing of what it says, so a picture that was translated
from one style into the other can be judged exactly: read it in the new style, and compare with the
truth of the old. With the signed distance d of `minigen.data.scenes` an object is drawn twice ::

    outer   = clip(0.5 - (d - outline), 0, 1)
    inner   = clip(0.5 - d, 0, 1)                            as in the plain style
    picture = picture + outer (ink - picture)
    picture = picture + inner (colour - picture)

and the background is its colour plus a hatching, which is the same in all pictures. Every square of
3 x 3 pixels of the hatching adds up to 0: who looks at a picture through a blur of 3 x 3 pixels, as
the parser does, sees none.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minigen.data.scenes import ALONE, CANVAS, PALETTE, RADII, Columns, coverage

_CHUNK = 64  # scenes drawn at once


class Style(NamedTuple):
    """How scenes are drawn.

    Shapes: palette (8, 3), in the order of COLOUR_NAMES; ink (3,); hatching (32, 32).
    *Units*: colours 0 to 255 in sRGB, the outline in pixels; 0 for none.
    """

    name: str
    palette: np.ndarray
    outline: float
    ink: np.ndarray
    hatching: np.ndarray


def _hatching(dark: float) -> np.ndarray:
    """Diagonal lines, one pixel in three `dark` darker, the others half of it lighter."""
    across = np.add.outer(np.arange(CANVAS), np.arange(CANVAS)) % 3
    return np.where(across == 0, -dark, dark / 2).astype(np.float32)


PLAIN = Style("plain", PALETTE, 0.0, np.zeros(3, np.float32), _hatching(0.0))

OUTLINED = Style(
    "outlined",
    np.array(
        [
            (248, 156, 162),  # red
            (154, 213, 153),  # green
            (146, 188, 248),  # blue
            (246, 242, 157),  # yellow
            (207, 153, 239),  # purple
            (253, 185, 119),  # orange
            (253, 248, 237),  # white
            (92, 124, 90),  # black: moss
        ],
        np.float32,
    ),
    1.0,
    np.array((89, 20, 107), np.float32),  # plum: on no way from one colour to another
    _hatching(14.0),
)
STYLES = {style.name: style for style in (PLAIN, OUTLINED)}


def draw_styled(columns: Columns, style: Style) -> np.ndarray:
    """Pictures of the scenes in `columns`, (n, 32, 32, 3) uint8.

    In PLAIN they are those of `minigen.data.scenes.draw_columns`.
    Cost: about 60 microseconds a scene in OUTLINED.
    """
    chunks = [
        _draw_chunk(Columns(*(column[start : start + _CHUNK] for column in columns)), style)
        for start in range(0, len(columns.background), _CHUNK)
    ]
    return np.concatenate(chunks) if chunks else np.empty((0, CANVAS, CANVAS, 3), np.uint8)


def _draw_chunk(columns: Columns, style: Style) -> np.ndarray:
    n = len(columns.background)
    ground = style.palette[columns.background][:, :, None, None] + style.hatching
    pictures = np.clip(ground, 0, 255)  # (n, 3, H, W)
    pair = columns.relation >= 0
    radius = RADII[columns.size] * np.where(pair, np.float32(1), ALONE)[:, None]
    for slot, rows in enumerate((np.arange(n), np.flatnonzero(pair))):
        shape, x, y, r = (
            attribute[rows, slot] for attribute in (columns.shape, columns.x, columns.y, radius)
        )
        layers = [(coverage(shape, x, y, r), style.palette[columns.colour[rows, slot]])]
        if style.outline:
            layers.insert(0, (coverage(shape, x, y, r, style.outline), style.ink[None]))
        for covered, colour in layers:
            below = pictures[rows]
            pictures[rows] = below + covered[:, None] * (colour[:, :, None, None] - below)
    return (pictures + np.float32(0.5)).astype(np.uint8).transpose(0, 2, 3, 1).copy()

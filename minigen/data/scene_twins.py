"""Scenes with twins: two that differ in one thing, so that this thing has to be seen.

In a batch of random scenes many a caption can be told from all others by its colours alone. Shapes,
sizes, and who is left of whom then matter little to a network that is asked to tell captions apart,
and it learns which words there are and not what they say together (Yuksekgonul et al., 2022, arXiv
2210.01936). So every scene has a twin
beside it, which differs in its relation, background, or in colour, shape or size of an object, each
as often as the others; a single object has no relation, and its size changes instead.
"""

from typing import cast

import numpy as np

from minigen.data import scenes
from minigen.data.scenes import COLOUR_NAMES, SHAPES, Columns, draw_columns, sample_columns

CHANGES = ("relation", "background", "colour", "shape", "size")
RELATION, BACKGROUND, COLOUR, SHAPE, SIZE = range(len(CHANGES))

_TURNED = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}


def turned(caption: str) -> str | None:
    """The caption with its relation turned over; None of one object.

    >>> turned("a red circle left of a blue ring"), turned("a red circle")
    ('a red circle right of a blue ring', None)
    """
    for relation, other in _TURNED.items():
        if f" {relation} " in caption:
            return caption.replace(f" {relation} ", f" {other} ")
    return None


def sample_with_twins(
    n: int, rng: np.random.Generator, *, drop_size: float = 0.2, drop_background: float = 0.25
) -> tuple[np.ndarray, list[str]]:
    """n pictures (n, 32, 32, 3) uint8 and their captions: a scene, its twin, the next scene, ...

    What tells a twin from its scene is in both captions; of the rest sizes and the background are
    left out as in `sample_batch`. No scene has a colour with a shape that training never shows.
    """
    m = (n + 1) // 2
    columns = sample_columns(m, rng)
    twins, change, slot = twins_of(columns, rng)
    with_size = rng.random((m, 2)) >= drop_size
    with_background = rng.random(m) >= drop_background
    with_size[np.arange(m), slot] |= change == SIZE
    with_background |= change == BACKGROUND
    pictures = np.stack([draw_columns(columns), draw_columns(twins)], axis=1)  # (m, 2, H, W, 3)
    texts = [scenes._captions(c, with_size, with_background) for c in (columns, twins)]
    captions = [text for both in zip(*texts, strict=True) for text in both]
    return pictures.reshape(-1, *pictures.shape[2:])[:n], captions[:n]


def twins_of(columns: Columns, rng: np.random.Generator) -> tuple[Columns, np.ndarray, np.ndarray]:
    """Twins of m scenes, what was changed, (m,) places in CHANGES, and of which object, (m,)."""
    m = len(columns.background)
    rows, pair = np.arange(m), columns.relation >= 0
    slot = np.where(pair, rng.integers(2, size=m), 0)
    change = rng.integers(len(CHANGES), size=m)
    change[(change == RELATION) & ~pair] = SIZE
    keys = rng.random((m, len(COLOUR_NAMES)))
    for used in (columns.background, columns.colour[:, 0], columns.colour[:, 1]):
        keys[rows, used] = np.inf
    free = keys.argmin(axis=1)  # a colour that is nowhere in the scene
    other = (columns.shape[rows, slot] + rng.integers(1, len(SHAPES), size=m)) % len(SHAPES)

    twins = Columns(*(column.copy() for column in columns))
    k = change == RELATION  # left 0 and right 1, above 2 and below 3; the objects change places
    twins.relation[k] ^= 1
    twins.x[k], twins.y[k] = columns.x[k, ::-1], columns.y[k, ::-1]
    k = change == BACKGROUND
    twins.background[k] = free[k]
    k = change == COLOUR
    twins.colour[k, slot[k]] = free[k]
    k = change == SHAPE
    twins.shape[k, slot[k]] = other[k]
    held = scenes._HELD_SHAPE[twins.colour] == twins.shape
    k = cast(
        np.ndarray, held[:, 0] | (held[:, 1] & pair)
    )  # never to be shown: another size instead
    twins.colour[k], twins.shape[k] = columns.colour[k], columns.shape[k]
    change[k] = SIZE
    k = change == SIZE
    twins.size[k, slot[k]] = 1 - columns.size[k, slot[k]]
    return twins, change, slot

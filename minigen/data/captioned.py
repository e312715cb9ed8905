"""Pictures with captions, from one place: what every text-to-image model learns from.

    data = captioned("scenes")                      or "art", or captioned("art", size=64)
    pictures, captions = data.draw(64, rng)         uint8 (64, 32, 32, 3), 64 strings
    words = data.encode(captions)                   (64, 14) integers
    words = drop_prompts(words, 0.1, rng)           in a tenth of the rows "no prompt"

A caption is a row of numbers, 0 behind its end; a row of zeros is the empty caption, "no prompt",
from which classifier-free guidance starts (arXiv 2207.12598, Alg. 1).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from minigen.data import art
from minigen.data.openmoji import SIZES
from minigen.data.scenes import CANVAS, sample_batch
from minigen.data.words import SCENE_CAPTION_LENGTH, SCENE_WORDS

SOURCES = ("scenes", "art")
SCENES_SHOWN = (
    "a large red circle above a small blue square on a white background",
    "a small blue square above a large red circle on a white background",
    "a small green ring left of a large orange triangle on a black background",
    "a large yellow cross right of a small purple diamond on a white background",
    "a small red cross on a blue background",
    "a large green triangle on a yellow background",
    "a red circle",
    "a white diamond below a purple cross on a green background",
)


class Vocabulary(Protocol):
    """What makes numbers of captions: Words or BytePairs. 0 is the end and the padding."""

    def __len__(self) -> int: ...  # rows of a word table, that of 0 included

    def encode(self, captions: Sequence[str], length: int) -> np.ndarray: ...  # (N, length) int64

    def decode(self, numbers: np.ndarray) -> list[str]: ...

    def unknown(self, text: str) -> list[tuple[str, str]]: ...  # words that are left out


@dataclass(frozen=True)
class Captioned:
    """Pictures with captions."""

    words: Vocabulary  # what makes numbers of a caption
    caption_length: int  # L, numbers of the longest caption
    size: int  # pixels along each side
    draw: Callable[[int, np.random.Generator], tuple[np.ndarray, list[str]]]  # of n; for training
    shown: tuple[str, ...]  # captions of the pictures that a training shows

    def encode(self, captions: Sequence[str]) -> np.ndarray:
        """Numbers of the captions' words, (N, L), 0 behind the last."""
        return self.words.encode(captions, self.caption_length)


def captioned(
    source: str = "scenes",
    *,
    size: int = CANVAS,
    drop_size: float = 0.2,
    drop_background: float = 0.25,
) -> Captioned:
    """A source by its name.

    scenes  drawn anew for each batch (minigen/data/scenes.py), half of them with two objects; of a
            share of them the sizes, or the background, are not in the caption
    art     the training set of OpenMoji (minigen/data/art.py), 32 or 64 pixels, named in English or
            Chinese; to draw pictures takes the extra `art`, to encode captions does not

    Raises: ValueError for another name or size.
    """
    if source not in SOURCES:
        raise ValueError(f"captioned: got {source!r}, expected {' or '.join(SOURCES)}")
    sizes = SIZES if source == "art" else (CANVAS,)
    if size not in sizes:
        raise ValueError(
            f"captioned: got size = {size}, {source} come at {' or '.join(map(str, sizes))} pixels"
        )
    if source == "art":
        pieces = partial(art.draw, size=size)
        return Captioned(art.art_words(), art.CAPTION_LENGTH, size, pieces, art.SHOWN)
    draw = partial(sample_batch, drop_size=drop_size, drop_background=drop_background)
    return Captioned(SCENE_WORDS, SCENE_CAPTION_LENGTH, CANVAS, draw, SCENES_SHOWN)


def drop_prompts(words: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """A copy in which each caption is emptied with probability `share`: (N, L) -> (N, L).

    Raises: ValueError for a share outside 0..1.

    >>> drop_prompts(np.array([[3, 1, 0]]), 1.0, np.random.default_rng(0))
    array([[0, 0, 0]])
    """
    if not 0 <= share <= 1:
        raise ValueError(f"drop_prompts: share is {share}, expected 0 to 1")
    return np.where(rng.random((len(words), 1)) < share, 0, words)

"""Step 7: augment, more pictures out of few, each as believable as the first.

    flip      left and right change places, in half of them. Not for letters and digits
    crop      a square of 70 to 100 % of the area, anywhere, resized
    colour    brightness, contrast and saturation times 0.8 to 1.2, each on its own
    cutout    a grey square of a quarter of the side, in half of them, so that no single part may
              decide

Which of them a variant has is drawn from a seed, the picture's name and the variant's number: the
same command makes the same pictures, in any order.

Source of cutout: T. DeVries and G. Taylor, Improved regularization of convolutional neural networks
with cutout, 2017, arXiv 1708.04552.
"""

from __future__ import annotations

import hashlib

import numpy as np

from minigen.data.pixels import to_grey
from minigen.data.prepare.reshape import resized

KINDS = ("flip", "crop", "colour", "cutout")
_LEAST_AREA = 0.7
_STRENGTH = 0.2  # of colours
_HOLE = 0.25  # of the side


def generator(seed: int, name: str, variant: int) -> np.random.Generator:
    """For one variant of one picture."""
    digest = hashlib.sha256(f"{seed}/{name}/{variant}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def augmented(picture: np.ndarray, kinds: tuple[str, ...], rng: np.random.Generator) -> np.ndarray:
    """A variant of a square picture (S, S, 3) uint8, by those of KINDS that are asked for."""
    for kind in KINDS:
        if kind in kinds:
            picture = _BY_KIND[kind](picture, rng)
    return picture


def _flip(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return picture[:, ::-1] if rng.random() < 0.5 else picture


def _crop(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    size = len(picture)
    side = max(1, round(size * np.sqrt(rng.uniform(_LEAST_AREA, 1))))
    top, left = rng.integers(0, size - side + 1, 2)
    return resized(picture[top : top + side, left : left + side], size)


def _colour(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    brightness, contrast, saturation = rng.uniform(1 - _STRENGTH, 1 + _STRENGTH, 3)
    grey = to_grey(picture).astype(np.float32)  # (S, S, 1)
    x = grey + saturation * (picture - grey)
    x = grey.mean() + contrast * (x - grey.mean())
    return np.rint(np.clip(brightness * x, 0, 255)).astype(np.uint8)


def _cutout(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if rng.random() < 0.5:
        return picture
    size = len(picture)
    hole = max(1, round(_HOLE * size))
    top, left = rng.integers(0, size - hole + 1, 2)
    picture = picture.copy()
    picture[top : top + hole, left : left + hole] = 128
    return picture


_BY_KIND = {"flip": _flip, "crop": _crop, "colour": _colour, "cutout": _cutout}

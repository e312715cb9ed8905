"""Step 2: find duplicates, by a hash that looks at what people look at.

The same picture in another size or another quality of JPEG has other bytes but the same coarse
structure. The perceptual hash keeps 64 bits of it: with the grey picture g of 32 x 32 pixels and
the cosine transform C ::

    C[k, i] = cos(pi (i + 1/2) k / 32)
    F       = C g C^T                       the lowest 8 x 8 frequencies are kept
    bit     = F > median of F

Copies differ in a few bits. So do two drawings of one outline in different colours, and those are
no copies; so a duplicate must be near in a picture of 8 x 8 colours as well.

Source: C. Zauner, Implementation and benchmarking of perceptual image hash functions, 2010.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minigen.data.pixels import to_grey

_SIDE, _KEPT = 32, 8
COLOURS_APART = 8.0  # root mean square over 8 x 8 colours, grey levels, up to which it is a copy


class Fingerprint(NamedTuple):
    """The 64 bits of the hash, and 8 x 8 colours (192 numbers, 0 to 255)."""

    bits: int
    colours: list[int]


def fingerprint(picture: np.ndarray) -> Fingerprint:
    """Of a picture (H, W, 3) uint8."""
    grey = to_grey(_shrunk(picture, _SIDE))[:, :, 0].astype(float)
    k, i = np.arange(_KEPT)[:, None], np.arange(_SIDE)
    cosines = np.cos(np.pi * (i + 0.5) * k / _SIDE)  # (8, 32)
    frequencies = cosines @ grey @ cosines.T  # (8, 8)
    bits = (frequencies > np.median(frequencies)).ravel()
    number = int.from_bytes(np.packbits(bits).tobytes(), "big")
    return Fingerprint(number, _shrunk(picture, _KEPT).ravel().tolist())


def originals(fingerprints: list[Fingerprint], pixels: list[int], most: int) -> list[int | None]:
    """For each picture the number of the one whose copy it is, None for those that are kept.

    Of copies the one with most pixels is kept, of those the first. `most` is how many bits may
    differ.

    Cost: N^2 comparisons of a word; 10,000 pictures take seconds.
    """
    bits = np.array([one.bits for one in fingerprints], np.uint64)
    colours = np.array([one.colours for one in fingerprints], np.float32)
    kept: list[int] = []
    found: list[int | None] = [None] * len(bits)
    for k in sorted(range(len(bits)), key=lambda k: (-pixels[k], k)):
        near = np.array(kept, int)[_near(bits[kept], bits[k], most)]
        apart = [float(np.sqrt(((colours[j] - colours[k]) ** 2).mean())) for j in near]
        if apart and min(apart) <= COLOURS_APART:  # of all that are near, the nearest
            found[k] = int(near[int(np.argmin(apart))])
        else:
            kept.append(k)
    return found


def _near(many: np.ndarray, one: np.uint64, most: int) -> np.ndarray:
    return np.bitwise_count(many ^ one) <= most


def _shrunk(picture: np.ndarray, side: int) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BOX))

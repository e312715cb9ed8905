"""Step 1: decode. What comes from the internet is not to be trusted.

A picture is opened by Pillow, and refused if it claims more than 89 million pixels: a file of
kilobytes that unpacks to gigabytes is an attack. It is turned upright as its EXIF data say,
transparency lies over white, CMYK, palettes and 16 bits become RGB of 8 bits, and an animation its
first picture: see `minigen.data.pixels.open_rgb`. What cannot be decoded to its end is dropped,
with the reason.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from minigen.data.pixels import odd_kind, open_rgb


class DroppedError(ValueError):
    """Why a picture is left out, in words for the report."""


def decode(path: Path, smallest: int) -> tuple[np.ndarray, list[str]]:
    """A picture (H, W, 3) uint8, and what was changed about it.

    Raises: DroppedError if it cannot be decoded, or its shorter side is below `smallest` pixels.
    """
    try:
        kind = odd_kind(path)
        picture = np.asarray(open_rgb(path))
    except (OSError, ValueError, MemoryError) as error:
        raise DroppedError(str(error).replace(str(path), "it")) from error
    height, width = picture.shape[:2]
    if min(height, width) < smallest:
        raise DroppedError(f"too small: {width} x {height}, expected at least {smallest} a side")
    return picture, [kind] if kind else []

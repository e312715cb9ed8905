"""Step 5: crop to a square and resize, without aliasing.

A picture that is made smaller by leaving out pixels shows stripes that were never there: detail
finer than two new pixels pretends to be coarse. Lanczos' filter first averages away what the new
size cannot show, over a window that grows with the reduction ::

    new(x) = sum_i picture(i) sinc(u) sinc(u / 3),   u = (i - x) / reduction, |u| < 3

normalised so that the weights add up to 1.

Source: C. Duchon, Lanczos filtering in one and two dimensions, 1979.
"""

from __future__ import annotations

import numpy as np

CROPS = ("centre", "pad", "foreground")
WORKING = 4  # times the final size, at which pictures are denoised and segmented
_MARGIN = 0.08  # of the foreground's longer side, left around it


def reduced(picture: np.ndarray, size: int) -> np.ndarray:
    """A large picture, its shorter side brought down to WORKING times `size`."""
    height, width = picture.shape[:2]
    factor = WORKING * size / min(height, width)
    if factor >= 1:
        return picture
    return _resized(picture, max(1, round(width * factor)), max(1, round(height * factor)))


def cropped(picture: np.ndarray, crop: str, mask: np.ndarray | None) -> np.ndarray:
    """A square of a picture (H, W, 3): its centre, or all of it on a square of the colour of its
    border, or the foreground with a margin (the centre, where there is none).
    """
    height, width = picture.shape[:2]
    if crop == "pad":
        return _padded(picture, 0, 0, height, width)
    if crop == "foreground" and mask is not None and mask.any():
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        side = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
        margin = int(np.ceil(_MARGIN * side))
        top, left = max(rows[0] - margin, 0), max(columns[0] - margin, 0)
        bottom = min(rows[-1] + 1 + margin, height)
        right = min(columns[-1] + 1 + margin, width)
        return _padded(picture, top, left, bottom, right)
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return picture[top : top + side, left : left + side]


def resized(picture: np.ndarray, size: int) -> np.ndarray:
    """(H, W, 3) uint8 -> (size, size, 3) uint8."""
    return _resized(picture, size, size)


def _padded(picture: np.ndarray, top: int, left: int, bottom: int, right: int) -> np.ndarray:
    """The rectangle in the middle of a square of the colour of the picture's border."""
    part = picture[top:bottom, left:right]
    height, width = part.shape[:2]
    side = max(height, width)
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    square = np.empty((side, side, 3), np.uint8)
    square[:] = np.median(border, axis=0)
    y, x = (side - height) // 2, (side - width) // 2
    square[y : y + height, x : x + width] = part
    return square


def _resized(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(picture))
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))

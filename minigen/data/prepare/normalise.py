"""Step 6: normalise, so that dark and pale pictures use the whole range.

With the brightness Y of the pixels and its 1 % and 99 % quantiles ::

    clean = (picture - low) gain,   gain = min(255 / (high - low), MOST)

one line for all three channels: hues stay. A picture that has no contrast gets no more than MOST
times what it has, as the rest would be noise.
"""

from __future__ import annotations

import numpy as np

from minigen.data.pixels import to_grey

MOST = 3.0
_FULL = 245.0  # a range from which nothing is done


def normalised(picture: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """(H, W, 3) uint8 in the whole range, and what was done."""
    low, high = np.quantile(to_grey(picture), [0.01, 0.99])
    if high - low >= _FULL or high == low:
        return picture, []
    gain = min(255 / (high - low), MOST)
    middle = 127.5 if gain < MOST else (low + high) / 2  # what little there is stays where it is
    stretched = (picture - (low + high) / 2) * gain + middle
    return np.rint(np.clip(stretched, 0, 255)).astype(np.uint8), [f"contrast times {gain:.1f}"]

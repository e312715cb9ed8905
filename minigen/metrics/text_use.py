"""Does a network that takes noise away read the caption? Asked by its loss, and by its pictures.

With the captions of other pictures the loss must rise: a network that reads is misled. And pictures
of captions with different colours must have different colours.
"""

from collections.abc import Callable, Mapping

import numpy as np

from minigen.metrics.codes import use_of_captions
from minigen.metrics.report import Measured

Loss = Callable[[slice, np.ndarray, np.random.Generator], float]


def text_use(
    loss: Loss, words: np.ndarray, size: int = 16, seed: int = 0
) -> tuple[dict[str, Measured], list[str]]:
    """The loss of pictures with their captions, how much more it is with those of others, remarks.

    loss  (which pictures, their words, rng) -> the mean over these pictures. Noise and times come
          from rng, so that both captions are asked about with the same noisy pictures
    size  pictures at once, which exchange their captions: from 2 up, and so that there are several

    Shapes: words (N, L).
    Raises: ValueError for fewer than 4 captions: two parts are needed to tell how sure it is.
    """
    size = min(size, len(words) // 2)
    if size < 2:
        raise ValueError(f"text_use: {len(words)} captions came, expected at least 4")
    own, others = [], []
    for first in range(0, len(words) - size + 1, size):
        part = slice(first, first + size)
        turned = np.roll(words[part], 1, axis=0)
        own.append(loss(part, words[part], np.random.default_rng([seed, first])))
        others.append(loss(part, turned, np.random.default_rng([seed, first])))
    return use_of_captions(np.array(own), np.array(others), "")


def same_colours(
    numbers: Mapping[str, float], pictures: np.ndarray | None, least: float = 8.0
) -> list[str]:
    """For `diagnose=` of the training: are the samples, of different captions, all of one colour?

    least  spread of the pictures' mean colours, in grey levels of 255

    Shapes: pictures (N, H, W, 3) uint8, of captions that name different colours.
    """
    if pictures is None or pictures.ndim != 4 or len(pictures) < 2:
        return []
    spread = float(pictures.mean(axis=(1, 2)).std(axis=0).mean())
    if spread >= least:
        return []
    return [
        f"pictures of different captions have the same colours (spread {spread:.1f} of 255): the "
        "text is not used yet, and if this stays so, look whether it reaches the network"
    ]

"""A picture in given colours: what the model guesses is drawn towards them, at every step.

    x0_hat <- x0_hat + strength (nearest colour of the palette - x0_hat)

As later steps start from the corrected guess, the model paints what fits: an object keeps its edges
and becomes another colour, instead of being tinted afterwards. No model has to be taught for it.
"""

import numpy as np

from minigen.backend import Array, array_module
from minigen.samplers.frames import Denoiser


def within_palette(denoise: Denoiser, colours: np.ndarray, strength: float = 1.0) -> Denoiser:
    """The same denoiser, whose guesses are drawn towards the nearest of some colours.

    colours   (K, C) in [-1, 1]; nearest by the squared distance of the channels
    strength  0: not at all, 1: each pixel becomes one of the colours

    Raises: ValueError for no colours, or a strength outside [0, 1].
    """
    if colours.ndim != 2 or not len(colours):
        raise ValueError(f"palette: colours are {colours.shape}, expected (K, C) with K > 0")
    if not 0 <= strength <= 1:
        raise ValueError(f"palette: strength is {strength}, expected 0 to 1")

    def guess(x: Array, a: float, b: float) -> Array:
        x0_hat = denoise(x, a, b)
        return x0_hat + strength * (nearest_colours(x0_hat, colours) - x0_hat)

    return guess


def nearest_colours(x: Array, colours: np.ndarray) -> Array:
    """Each pixel replaced by the nearest of the colours; of equally near ones the first.

    Shapes: x (N, H, W, C), colours (K, C) -> as x.
    """
    xp = array_module(x)
    palette = xp.asarray(colours, x.dtype)
    distances = ((x[..., None, :] - palette) ** 2).sum(axis=-1)  # (N, H, W, K)
    return palette[distances.argmin(axis=-1)]

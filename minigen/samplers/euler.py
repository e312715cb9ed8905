"""Euler's method on the probability-flow equation, the first half of Heun's.

Tero Karras, Miika Aittala, Timo Aila, Samuli Laine, Elucidating the Design Space of Diffusion-Based
Generative Models, 2022, arXiv 2206.00364.

In the sigma frame, x = x0 + sigma eps, samples of all noise levels lie on the solutions of

    dx / dsigma = -sigma score(x, sigma) = (x - D(x, sigma)) / sigma            (1) and (3)

where D is the denoiser, x0_hat: walk away from the noise towards the guess.
"""

from collections.abc import Sequence

import numpy as np

from minigen.backend import Array
from minigen.samplers.frames import Callback, LevelDenoiser, intervals


def euler(
    denoise: LevelDenoiser,
    x: Array,
    sigmas: Sequence[float] | np.ndarray,
    callback: Callback | None = None,
) -> Array:
    """Follow the flow along `sigmas`, which fall to 0; x starts as sigmas[0] * noise.

    denoise   (x, sigma) -> x0_hat, where x = x0 + sigma eps
    callback  called as callback(step, x, x0_hat) after every step

    Shapes: x (N, ...), any; the result has its shape and type.
    Error: of order 1 in the step (tests/samplers/test_order.py).
    Cost: one evaluation of `denoise` a step.
    Source: Karras et al., 2022, Alg. 1 without lines 6 to 8, with sigma(t) = t and s(t) = 1.
    """
    for step, sigma, sigma_next in intervals("euler", sigmas, noise=float("inf"), data=0.0):
        x0_hat = denoise(x, sigma)
        d = (x - x0_hat) / sigma  # Alg. 1, line 4
        x = x + (sigma_next - sigma) * d  # line 5
        if callback:
            callback(step, x, x0_hat)
    return x

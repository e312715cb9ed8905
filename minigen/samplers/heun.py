"""Heun's method on the probability-flow equation: the mean of the slopes at both ends of a step.

Tero Karras, Miika Aittala, Timo Aila, Samuli Laine, Elucidating the Design Space of Diffusion-Based
Generative Models, 2022, arXiv 2206.00364.

    d  = (x_i - D(x_i, sigma_i)) / sigma_i                                    Alg. 1, line 4
    x' = x_i + (sigma_{i+1} - sigma_i) d                                      line 5
    d' = (x' - D(x', sigma_{i+1})) / sigma_{i+1}                              line 7
    x_{i+1} = x_i + (sigma_{i+1} - sigma_i) (d + d') / 2                      line 8

The last step, to sigma = 0, is Euler's, because d' has no meaning there. This is Algorithm 1, which
adds no noise ("churn" is Algorithm 2).
"""

from collections.abc import Sequence

import numpy as np

from minigen.backend import Array
from minigen.samplers.frames import Callback, LevelDenoiser, intervals


def heun(
    denoise: LevelDenoiser,
    x: Array,
    sigmas: Sequence[float] | np.ndarray,
    callback: Callback | None = None,
) -> Array:
    """Follow the flow along `sigmas`, which fall to 0; x starts as sigmas[0] * noise.

    denoise   (x, sigma) -> x0_hat, where x = x0 + sigma eps
    callback  called as callback(step, x, x0_hat) after every step

    Shapes: x (N, ...), any; the result has its shape and type.
    Error: of order 2 in the step (tests/samplers/test_order.py).
    Cost: two evaluations of `denoise` a step, one in a step to sigma = 0.
    Source: Karras et al., 2022, Alg. 1 with sigma(t) = t and s(t) = 1.
    """
    for step, sigma, sigma_next in intervals("heun", sigmas, noise=float("inf"), data=0.0):
        x0_hat = denoise(x, sigma)
        d = (x - x0_hat) / sigma  # Alg. 1, line 4
        x_euler = x + (sigma_next - sigma) * d  # line 5
        if sigma_next > 0:  # line 6
            x0_hat = denoise(x_euler, sigma_next)
            d_next = (x_euler - x0_hat) / sigma_next  # line 7
            x = x + (sigma_next - sigma) * 0.5 * (d + d_next)  # line 8
        else:
            x = x_euler
        if callback:
            callback(step, x, x0_hat)
    return x

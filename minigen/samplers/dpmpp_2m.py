"""DPM-Solver++(2M): second order for one evaluation a step, by remembering the last guess.

Cheng Lu, Yuhao Zhou, Fan Bao, Jianfei Chen, Chongxuan Li, Jun Zhu, DPM-Solver++: Fast Solver for
Guided Sampling of Diffusion Probabilistic Models, 2022, arXiv 2211.01095.

The flow is linear in x but for x0_hat. With the linear part solved exactly in lambda = -log(sigma),
and h_i = lambda_i - lambda_{i-1}:

    r_i = h_{i-1} / h_i                                                          Alg. 2, line 7
    D_i = (1 + 1 / (2 r_i)) x0_hat_{i-1} - 1 / (2 r_i) x0_hat_{i-2}              line 8
    x_i = sigma_i / sigma_{i-1} x_{i-1} - (exp(-h_i) - 1) D_i                    line 9

D_i is the guess in the middle of the step, on the line through the last two guesses. The first step
has one guess only, and in a step to sigma = 0 h is infinite: there D_i is the last guess, which is
of first order.

Differs from the paper in: x is in the sigma frame, where the paper's alpha is 1.
"""

import math
from collections.abc import Sequence

import numpy as np

from minigen.backend import Array
from minigen.samplers.frames import Callback, LevelDenoiser, intervals


def dpmpp_2m(
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
    Cost: one evaluation of `denoise` a step.
    """
    x0_last, h_last = None, 0.0
    for step, sigma, sigma_next in intervals("dpmpp_2m", sigmas, noise=float("inf"), data=0.0):
        x0_hat = denoise(x, sigma)
        ratio = sigma_next / sigma  # exp(-h)
        h = -math.log(ratio) if ratio > 0 else math.inf
        if x0_last is None or h == math.inf:
            D = x0_hat  # Alg. 2, line 4
        else:
            r = h_last / h  # line 7
            D = (1 + 1 / (2 * r)) * x0_hat - 1 / (2 * r) * x0_last  # line 8
        x = ratio * x - (ratio - 1) * D  # line 9
        x0_last, h_last = x0_hat, h
        if callback:
            callback(step, x, x0_hat)
    return x

"""RePaint: fill a hole in a picture with a model that was never taught to.

Andreas Lugmayr, Martin Danelljan, Andres Romero, Fisher Yu, Radu Timofte, Luc Van Gool, RePaint:
Inpainting using Denoising Diffusion Probabilistic Models, 2022, arXiv 2201.09865.

The idea: at every noise level the known pixels can be drawn from the picture itself, and only those
in the hole come from the model. The two would not fit, as the model could not take what is known
into account before it was put in: so each step is gone back and taken again, several times.

    known    ~ N(sqrt(abar_{t-1}) x0, (1 - abar_{t-1}) I)                                      (8a)
    unknown  ~ N(mu(x_t), beta_tilde I), a step of ddpm                                        (8b)
    x_{t-1}  = mask unknown + (1 - mask) known                                                 (8c)
    x_t      ~ N(sqrt(alpha_t) x_{t-1}, (1 - alpha_t) I), and again              Alg. 1, line 10

Shapes: x and known (N, ...), mask broadcast to it: 1 where to paint.

Differs from the paper in: one step is gone back at a time (its jump length is 1).
"""

import math
from collections.abc import Sequence

import numpy as np

from minigen.backend import Array
from minigen.samplers.ddpm import ddpm_step
from minigen.samplers.frames import Callback, LevelDenoiser, intervals
from minigen.schedules import noise_like


def repaint(
    denoise: LevelDenoiser,
    x: Array,
    alpha_bars: Sequence[float] | np.ndarray,
    known: Array,
    mask: Array,
    rng: np.random.Generator,
    resample: int = 5,
    callback: Callback | None = None,
) -> Array:
    """Paint where `mask` is 1, around what is `known` where it is 0: Alg. 1.

    denoise   (xt, alpha_bar) -> x0_hat
    x         noise to begin with
    resample  U of the paper: how often each step is taken; more fits better
    callback  called as callback(step, x, x0_hat) when a step has been taken for the last time

    Shapes: -> as x; where mask is 0 the result is `known`.
    Raises: ValueError for resample < 1, or levels out of order.
    Cost: `resample` evaluations of `denoise` a step, one in the last.
    """
    if resample < 1:
        raise ValueError(f"repaint: resample is {resample}, expected at least 1")
    for step, abar, abar_next in intervals("repaint", alpha_bars, noise=0.0, data=1.0):
        times = resample if abar_next < 1 else 1
        for u in range(times):
            x0_hat = denoise(x, abar)
            unknown = ddpm_step(x, x0_hat, abar, abar_next, rng)  # eq. 8b
            there = math.sqrt(abar_next) * known
            if abar_next < 1:
                there = there + math.sqrt(1 - abar_next) * noise_like(x, rng)  # eq. 8a
            x = mask * unknown + (1 - mask) * there  # eq. 8c
            if u < times - 1:  # Alg. 1, line 10: back by one step
                alpha = abar / abar_next
                x = math.sqrt(alpha) * x + math.sqrt(1 - alpha) * noise_like(x, rng)
        if callback:
            callback(step, x, x0_hat)
    return x

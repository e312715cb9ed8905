"""DDIM: large steps along a chain that has DDPM's marginals but needs less noise, or none.

Jiaming Song, Chenlin Meng, Stefano Ermon, Denoising Diffusion Implicit Models, 2020,
arXiv 2010.02502; its alpha is DDPM's alpha_bar.

    x_{t-1} = sqrt(abar_{t-1}) x0_hat + sqrt(1 - abar_{t-1} - sigma_t^2) eps_hat + sigma_t z    (12)
    sigma_t = eta sqrt((1 - abar_{t-1}) / (1 - abar_t)) sqrt(1 - abar_t / abar_{t-1})           (16)

eta = 0 is deterministic, and Euler's method in the sigma frame; eta = 1 is DDPM with beta_tilde.
"""

import math
from collections.abc import Sequence

import numpy as np

from minigen.backend import Array
from minigen.samplers.frames import Callback, LevelDenoiser, intervals
from minigen.schedules import noise_like


def ddim(
    denoise: LevelDenoiser,
    x: Array,
    alpha_bars: Sequence[float] | np.ndarray,
    rng: np.random.Generator | None = None,
    eta: float = 0.0,
    callback: Callback | None = None,
) -> Array:
    """Draw data from noise along `alpha_bars`, which rise to 1.

    denoise   (xt, alpha_bar) -> x0_hat, where xt = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) eps
    eta       share of DDPM's noise, 0 to 1; above 0 it needs `rng`
    callback  called as callback(step, x, x0_hat) after every step

    Shapes: x (N, ...), any; the result has its shape and type.
    Cost: one evaluation of `denoise` a step.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"ddim: eta is {eta}, expected 0 to 1")
    for step, abar, abar_next in intervals("ddim", alpha_bars, noise=0.0, data=1.0):
        x0_hat = denoise(x, abar)
        eps_hat = (x - math.sqrt(abar) * x0_hat) / math.sqrt(1 - abar)  # from eq. 4
        sigma = eta * math.sqrt((1 - abar_next) / (1 - abar) * (1 - abar / abar_next))  # eq. 16
        towards_xt = math.sqrt(max(1 - abar_next - sigma**2, 0.0))
        x = math.sqrt(abar_next) * x0_hat + towards_xt * eps_hat  # eq. 12
        if sigma:  # 0 in the last step
            x = x + sigma * noise_like(x, rng)
        if callback:
            callback(step, x, x0_hat)
    return x

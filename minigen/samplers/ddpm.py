"""Ancestral sampling: the reverse of the noising chain, one random step after the other.

Jonathan Ho, Ajay Jain, Pieter Abbeel, Denoising Diffusion Probabilistic Models, 2020,
arXiv 2006.11239.

With x0_hat in the place of x0, the step before x_t is drawn from the posterior of the chain:

    q(x_{t-1} | x_t, x0) = N(mu_tilde, beta_tilde I)                                         (6)
    mu_tilde   = sqrt(abar_{t-1}) beta_t / (1 - abar_t) x0
               + sqrt(alpha_t) (1 - abar_{t-1}) / (1 - abar_t) x_t                           (7)
    beta_tilde = (1 - abar_{t-1}) / (1 - abar_t) beta_t                                      (7)

Algorithm 2 of the paper is the same, with x0_hat expressed by the predicted noise (15).
"""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from minigen.backend import Array
from minigen.samplers.affine import affine_step
from minigen.samplers.frames import Callback, LevelDenoiser, intervals
from minigen.schedules import noise_like


def ddpm(
    denoise: LevelDenoiser,
    x: Array,
    alpha_bars: Sequence[float] | np.ndarray,
    rng: np.random.Generator,
    variance: Literal["beta_tilde", "beta"] = "beta_tilde",
    callback: Callback | None = None,
) -> Array:
    """Draw data from noise along `alpha_bars`, which rise to 1; the last step adds no noise.

    denoise   (xt, alpha_bar) -> x0_hat, where xt = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) eps
    variance  of a step: "beta_tilde" is right for data in one point, "beta" for data ~ N(0, I)
              (section 3.2); between them lies what other data need, and small steps need no choice
    callback  called as callback(step, x, x0_hat) after every step

    Shapes: x (N, ...), any; the result has its shape and type.
    Cost: one evaluation of `denoise` a step.
    """
    if variance not in ("beta_tilde", "beta"):
        raise ValueError(f'ddpm: variance is {variance!r}, expected "beta_tilde" or "beta"')
    for step, abar, abar_next in intervals("ddpm", alpha_bars, noise=0.0, data=1.0):
        x0_hat = denoise(x, abar)
        x = ddpm_step(x, x0_hat, abar, abar_next, rng, variance)
        if callback:
            callback(step, x, x0_hat)
    return x


def ddpm_step(
    x: Array,
    x0_hat: Array,
    abar: float,
    abar_next: float,
    rng: np.random.Generator,
    variance: Literal["beta_tilde", "beta"] = "beta_tilde",
) -> Array:
    """x at the level abar_next, drawn given x at abar and x0_hat: eq. 6."""
    alpha = abar / abar_next  # alpha_t, also where the chain is visited in strides
    beta = 1 - alpha
    on_x0 = math.sqrt(abar_next) * beta / (1 - abar)
    on_xt = math.sqrt(alpha) * (1 - abar_next) / (1 - abar)
    terms = [(on_x0, x0_hat), (on_xt, x)]  # mu_tilde, eq. 7
    if abar_next < 1:  # Alg. 2, line 3: z = 0 in the last step
        beta_tilde = (1 - abar_next) / (1 - abar) * beta  # eq. 7
        sigma = math.sqrt(beta_tilde if variance == "beta_tilde" else beta)
        terms.append((sigma, noise_like(x, rng)))
    return affine_step(*terms)

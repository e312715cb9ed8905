"""Denoising diffusion: learn to undo one small step of noising at a time.

Jonathan Ho, Ajay Jain, Pieter Abbeel, Denoising Diffusion Probabilistic Models, 2020,
arXiv 2006.11239.

The idea: add a little noise to a picture, a thousand times, until only noise is left. The way back
is a chain of small Gaussian steps too, and the mean of each follows from a guess of the noise in
the picture. So one network learns to see the noise at all levels, by least squares.

    q(x_t | x_{t-1}) = N(sqrt(1 - beta_t) x_{t-1}, beta_t I)                                 (2)
    q(x_t | x_0)     = N(sqrt(abar_t) x_0, (1 - abar_t) I),   abar_t = prod(1 - beta_s)      (4)
    L_simple         = E |eps - eps_theta(sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps, t)|^2     (14)
    x_{t-1}          = (x_t - beta_t / sqrt(1 - abar_t) eps_theta) / sqrt(1 - beta_t) + sigma_t z
                                                                                     (11), Alg. 2

The steps of sampling are in minigen/samplers/ddpm.py. By choice: the cosine schedule (Nichol and
Dhariwal, 2021, arXiv 2102.09672), a network that predicts x0 or v (Salimans and Ho, 2022,
arXiv 2202.00512), and min-SNR weights (Hang et al., 2023, arXiv 2303.09556).

Shapes: x0, eps, xt and the prediction (N, ...); t (N,) integers from 1 to T, 0 would be the data.

Differs from the paper in: the decoder of section 3.3 is left out, so that there is no likelihood.
Recipe: minigen/recipes/fashion_ddpm.py.
Derivation: docs/derivations/ddpm.md.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen.autograd import Tensor
from minigen.backend import Array, array_module, move
from minigen.samplers import guided_model, sample_ddpm
from minigen.samplers.frames import Callback
from minigen.schedules import (
    cosine_alpha_bars,
    linear_alpha_bars,
    min_snr_weights,
    noise_like,
    prediction_target,
)

Model = Callable[..., Tensor]  # (xt (N, ...), t (N,) int64, **conditions) -> prediction (N, ...)


@dataclass(frozen=True)
class DDPMConfig:
    """The chain, and what the network says about it."""

    num_timesteps: int = 1000  # T
    schedule: str = "linear"  # or "cosine", which keeps small pictures visible for longer
    prediction_type: str = "epsilon"  # or "x0", "v"
    min_snr_gamma: float | None = None  # 5 in 2303.09556; None: the paper's plain mean
    clip: float | None = 1.0  # x0_hat is kept within this range in sampling; None: it is not

    def alpha_bars(self) -> np.ndarray:
        """abar_0 = 1, abar_1, ..., abar_T: (T + 1,), float64.

        Raises: ValueError for an unknown schedule.
        """
        schedules = {"cosine": cosine_alpha_bars, "linear": linear_alpha_bars}
        if self.schedule not in schedules:
            raise ValueError(
                f'DDPMConfig: schedule is {self.schedule!r}, expected "cosine" or "linear"'
            )
        return schedules[self.schedule](self.num_timesteps)


def add_noise(x0: Array, eps: Array, alpha_bar: Any) -> Array:
    """x_t given x_0, in one step.

    Shapes: x0, eps (N, ...); alpha_bar a number or (N, 1, ..., 1).
    """
    return alpha_bar**0.5 * x0 + (1 - alpha_bar) ** 0.5 * eps  # eq. 4


def loss(
    model: Model,
    x0: Array,
    rng: np.random.Generator,
    config: DDPMConfig = DDPMConfig(),
    **conditions: Any,
) -> Tensor:
    """The mean squared error of the prediction, at one random time for each picture.

    conditions  handed to the model; to train for guidance, the caller empties some of them

    Shapes: x0 (N, ...), an array -> a scalar Tensor.
    Raises: ValueError where the model returns another shape.
    """
    xp = array_module(x0)
    t = rng.integers(1, config.num_timesteps + 1, len(x0))  # Alg. 1, line 3
    eps = noise_like(x0, rng)  # line 4
    abar = config.alpha_bars()[t].reshape(-1, *[1] * (x0.ndim - 1))  # (N, 1, ..., 1)
    abar_x = xp.asarray(abar.astype(x0.dtype))
    xt = add_noise(x0, eps, abar_x)
    prediction = model(Tensor(xt), xp.asarray(t), **conditions)
    if prediction.shape != x0.shape:
        raise ValueError(f"ddpm: the model returned {prediction.shape}, x0 is {x0.shape}")
    error = prediction - prediction_target(x0, eps, abar_x, config.prediction_type)
    if config.min_snr_gamma is None:
        return (error**2).mean()  # eq. 14
    weights = min_snr_weights(abar, config.min_snr_gamma, config.prediction_type)
    return (error**2 * xp.asarray(weights.astype(x0.dtype))).mean()


def sample(
    model: Model,
    n: int,
    rng: np.random.Generator,
    shape: tuple[int, ...],
    config: DDPMConfig = DDPMConfig(),
    *,
    sampler: str = "ddpm",
    steps: int | None = None,
    conditions: Mapping[str, Array] | None = None,
    null_conditions: Mapping[str, Array] | None = None,
    guidance_scale: float = 1.0,
    device: str = "cpu",
    callback: Callback | None = None,
) -> Array:
    """Draw `n` new pictures.

    shape            of one picture
    sampler, steps   see minigen.samplers; None is all T steps of Alg. 2
    conditions       arrays with n rows, handed to the model
    null_conditions  the same emptied, for guidance_scale other than 1
    device           where the model is; the noise is drawn on the host

    Shapes: -> (n, *shape), float32.
    """
    noise = move(rng.standard_normal((n, *shape)).astype(np.float32), device)  # Alg. 2, line 1
    predict = guided_model(model, conditions or {}, null_conditions, guidance_scale)
    return sample_ddpm(
        predict,
        noise,
        config.alpha_bars(),
        config.prediction_type,
        config.clip,
        sampler,
        steps,
        rng,
        callback=callback,
    )

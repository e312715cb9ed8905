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
    -log p(x_0) <= L_T + sum over t > 1 of L_{t-1} + L_0                                     (5)

The steps of sampling are in minigen/samplers/ddpm.py. By choice: the cosine schedule (Nichol and
Dhariwal, 2021, arXiv 2102.09672), a network that predicts x0 or v (Salimans and Ho, 2022,
arXiv 2202.00512), and min-SNR weights (Hang et al., 2023, arXiv 2303.09556).

Shapes: x0, eps, xt and the prediction (N, ...); t (N,) integers from 1 to T, 0 would be the data.

Differs from the paper in: the variance of a step of `bound` is the posterior's, beta_tilde, and its
x0_hat is kept within the range of pictures.

Recipe: minigen/recipes/fashion_ddpm.py.
Derivation: docs/derivations/ddpm.md.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen.autograd import Tensor
from minigen.backend import Array, array_module, move
from minigen.data.pixels import to_float
from minigen.ops.elementwise import normal_cdf
from minigen.samplers import guided_model, sample_ddpm
from minigen.samplers.frames import Callback, on_arrays
from minigen.schedules import (
    cosine_alpha_bars,
    linear_alpha_bars,
    min_snr_weights,
    noise_like,
    prediction_target,
    x0_and_eps,
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


def bound(
    model: Model,
    pictures: np.ndarray,
    rng: np.random.Generator,
    config: DDPMConfig = DDPMConfig(),
    *,
    draws: int | None = None,
    **conditions: Any,
) -> np.ndarray:
    """log P(pictures) from below, in nats: the negative of eq. 5, right on average.

        L_T     = KL(N(sqrt(abar_T) x_0, (1 - abar_T) I) || N(0, I))
        L_{t-1} = E (snr_{t-1} - snr_t) / 2 |x_0 - x0_hat(x_t, t)|^2,  snr_t = abar_t / (1 - abar_t)
        L_0     = -E log P(greys | x_1), by `grey_log_prob` around x0_hat(x_1, 1), variance beta_1

    draws  of the T - 1 terms in the middle, at random; None: each of them once

    Shapes: pictures uint8 (N, ...) -> (N,), float64.
    Raises: ValueError for draws <= 0, and for pictures that are not uint8.
    Cost: one evaluation of the network for each draw.
    Source: eq. 5 to 8 and 13, derived in docs/derivations/ddpm.md.
    """
    if draws is not None and draws <= 0:
        raise ValueError(f"bound: draws is {draws}, expected at least 1")
    x0, abars, T = to_float(pictures), config.alpha_bars(), config.num_timesteps
    predict = on_arrays(model, **conditions)

    def guess(t: int) -> np.ndarray:
        """x0_hat from a draw of x_t."""
        xt = add_noise(x0, noise_like(x0, rng), x0.dtype.type(abars[t]))
        x0_hat, _ = x0_and_eps(predict(xt, t), xt, float(abars[t]), config.prediction_type)
        return x0_hat if config.clip is None else x0_hat.clip(-config.clip, config.clip)

    def summed(x: np.ndarray) -> np.ndarray:
        return x.reshape(len(x), -1).sum(axis=1, dtype=np.float64)

    snr = abars[1:] / (1 - abars[1:])  # snr[t - 1] is that of x_t
    nats = summed(abars[T] * (np.square(x0, dtype=np.float64) - 1) - np.log1p(-abars[T])) / 2  # L_T
    times = range(2, T + 1) if draws is None else rng.integers(2, T + 1, draws).tolist()
    for t in times:
        weight = (snr[t - 2] - snr[t - 1]) / 2 * (T - 1) / len(times)
        nats = nats + weight * summed(np.square(x0 - guess(t), dtype=np.float64))  # L_{t-1}
    return summed(grey_log_prob(pictures, guess(1), float(1 - abars[1]) ** 0.5)) - nats


def grey_log_prob(pictures: np.ndarray, mean: np.ndarray, std: float) -> np.ndarray:
    """log of the mass that N(mean, std^2) has in the interval of each grey, eq. 13.

    The intervals are 2 / 255 wide around `to_float`'s values; those of black and white are open.
    Where the mass is below 1e-280 it is taken as that of an interval with the density of its far
    end, which is less: a bound stays one.

    Shapes: uint8 (...), mean (...) -> (...), float64.
    Source: section 3.3.
    """
    away = pictures / 127.5 - 1 - mean  # in float64
    sign = np.where(away > 0, -1.0, 1.0)  # both ends are moved to the left, where tails keep digits
    ends = [(away - 1 / 255) / std, (away + 1 / 255) / std]
    open_ends = [
        np.where(pictures == 0, -np.inf, ends[0]),
        np.where(pictures == 255, np.inf, ends[1]),
    ]
    mass = np.abs(np.subtract(*(normal_cdf.forward(sign * np.clip(e, -40, 40)) for e in open_ends)))
    far = np.maximum(*np.abs(ends))
    least = np.log(2 / 255 / std) - (far**2 + np.log(2 * np.pi)) / 2
    return np.where(mass > 1e-280, np.log(np.maximum(mass, 1e-280)), least)

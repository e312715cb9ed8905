"""Any network with any sampler: one denoiser between them.

A *denoiser* here is denoise(x, a, b) -> x0_hat for x = a x0 + b eps. Both scales are given, so it
knows no frame, and pure noise is (0, 1) instead of sigma = infinity. Networks become denoisers,
denoisers become what samplers call:

    denoiser_from_velocity(velocity)             in_alpha_bar(denoise)   ddpm, ddim
                                        denoise  in_sigma(denoise)       euler, heun, dpmpp_2m
    denoiser_from_prediction(predict, ...)       in_flow(denoise)        flow_euler

A network trained in a frame of its own can serve any (a, b), because only the noise level b / a
matters: x is scaled to what the network saw at that level. For a flow network a + b must be 1:

    x / (a + b) = (1 - t) x0 + t eps   with   t = b / (a + b)

and for a DDPM network a^2 + b^2 must be 1: x / sqrt(a^2 + b^2).
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from minigen.autograd import Tensor, no_grad
from minigen.backend import Array, array_module
from minigen.schedules import x0_and_eps

Denoiser = Callable[[Array, float, float], Array]  # (x, a, b) -> x0_hat
LevelDenoiser = Callable[[Array, float], Array]  # (x, alpha_bar) or (x, sigma) -> x0_hat
Velocity = Callable[[Array, float], Array]  # (xt, t) -> eps - x0, t = 1 is noise
Callback = Callable[[int, Array, Array], None]  # (step, x, x0_hat)


def on_arrays(model: Callable[..., Tensor], **conditions: Any) -> Callable[[Array, float], Array]:
    """A model on Tensors as the function (array, time) -> array that samplers call; no graph.

    model  (Tensor (N, ...), times (N,), **conditions) -> Tensor; the batch's one time is repeated
           for each picture: integers where it is an int, else in the pictures' type
    """

    def predict(xt: Array, t: float) -> Array:
        dtype = xt.dtype if isinstance(t, float) else np.int64
        times = array_module(xt).full(len(xt), t, dtype)  # (N,)
        with no_grad():
            return model(Tensor(xt), times, **conditions).data

    return predict


# ---------------------------------------------------------------------------- networks -> denoisers


def denoiser_from_velocity(velocity: Velocity) -> Denoiser:
    """The denoiser inside a flow network: x0_hat = xt - t v.

    From xt = (1 - t) x0 + t eps and v = eps - x0: xt - t v = x0.
    """

    def denoise(x: Array, a: float, b: float) -> Array:
        t = b / (a + b)
        xt = x / (a + b)
        return xt - t * velocity(xt, t)

    return denoise


def denoiser_from_prediction(
    predict: Callable[[Array, int], Array],
    alpha_bars: np.ndarray,
    prediction_type: str = "epsilon",
    clip: float | None = None,
) -> Denoiser:
    """The denoiser inside a DDPM network, which knows the times 1 ... T only.

    predict     (xt, t) -> epsilon, x0 or v, with an integer t
    alpha_bars  (T + 1,), of the network's training; alpha_bars[0] = 1
    clip        keep x0_hat within [-clip, clip]: 1.0 for pictures

    A level between two trained ones is rounded to the nearer in log(sigma). At the trained levels,
    the only ones that `sample_ddpm` visits, nothing is lost.
    """
    log_sigmas = 0.5 * np.log1p(-alpha_bars[1:]) - 0.5 * np.log(alpha_bars[1:])  # (T,), rising

    def denoise(x: Array, a: float, b: float) -> Array:
        log_sigma = math.log(b / a) if a > 0 else math.inf
        t = 1 + int(np.abs(log_sigmas - min(log_sigma, log_sigmas[-1])).argmin())
        xt = x / math.hypot(a, b)
        x0_hat, _ = x0_and_eps(predict(xt, t), xt, float(alpha_bars[t]), prediction_type)
        return x0_hat if clip is None else x0_hat.clip(-clip, clip)

    return denoise


# ------------------------------------------------------------------------------ denoisers -> frames


def in_alpha_bar(denoise: Denoiser) -> LevelDenoiser:
    """(xt, alpha_bar) -> x0_hat, for xt = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) eps."""
    return lambda xt, alpha_bar: denoise(xt, math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar))


def in_sigma(denoise: Denoiser) -> LevelDenoiser:
    """(x, sigma) -> x0_hat, for x = x0 + sigma eps."""
    return lambda x, sigma: denoise(x, 1.0, sigma)


def in_flow(denoise: Denoiser) -> Velocity:
    """(xt, t) -> velocity, for xt = (1 - t) x0 + t eps: eps - x0_hat = (xt - x0_hat) / t."""
    return lambda xt, t: (xt - denoise(xt, 1 - t, t)) / t


# ------------------------------------------------------------------------------------------- levels


def intervals(
    sampler: str, levels: Sequence[float] | np.ndarray, noise: float, data: float
) -> list[tuple[int, float, float]]:
    """(step, level now, level next) for each step, as Python numbers: where every sampler begins.

    noise, data  the ends of the frame; levels must move from the first towards the second

    Raises: ValueError for fewer than two levels, levels beyond the ends or in the wrong order.

    >>> intervals("flow_euler", [1.0, 0.5, 0.0], noise=1.0, data=0.0)
    [(0, 1.0, 0.5), (1, 0.5, 0.0)]
    """
    numbers = [float(level) for level in levels]
    pairs = list(pairwise(numbers))
    sign = 1 if data > noise else -1
    inside = all(math.isfinite(x) and min(noise, data) <= x <= max(noise, data) for x in numbers)
    if not pairs or not inside or any((after - now) * sign <= 0 for now, after in pairs):
        raise ValueError(
            f"{sampler}: levels are {_shorten(numbers)}, "
            f"expected two or more from {noise:g} (noise) towards {data:g} (data)"
        )
    return [(step, now, after) for step, (now, after) in enumerate(pairs)]


def _shorten(numbers: list[float]) -> str:
    text = [f"{x:g}" for x in numbers]
    return ", ".join(text if len(text) < 7 else [*text[:3], "...", *text[-3:]]) or "none"

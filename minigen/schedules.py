"""How much noise at which time, what the network predicts, and how the learning rate moves.

Every noisy picture here is x = a x0 + b eps. Papers differ in how they name the pair (a, b):

    frame       level       a                 b                     most noise -> data
    alpha_bar   alpha_bar   sqrt(alpha_bar)   sqrt(1 - alpha_bar)   0 -> 1         DDPM, DDIM
    sigma       sigma       1                 sigma                 infinity -> 0  EDM, DPM-Solver++
    flow        t           1 - t             t                     1 -> 0         rectified flow

Only the ratio b / a = sigma tells how hard it is to see x0; the rest is a scale. So a level of one
frame is a level of every other: the functions `..._from_...` below convert them by way of t.

All levels are float64 on the host; samplers turn them into Python numbers, so that float32 pictures
stay float32.
"""

import math
from typing import Any

import numpy as np

from minigen.backend import Array, array_module

PREDICTION_TYPES = ("epsilon", "x0", "v")
SIGMA_MAX = (
    80.0  # "pure noise" for samplers that cannot start at sigma = infinity (2206.00364, table 1)
)

# ----------------------------------------------------------------------------- discrete times: DDPM


def linear_betas(T: int = 1000, beta_start: float = 1e-4, beta_end: float = 0.02) -> np.ndarray:
    """beta_1 ... beta_T, evenly spaced from beta_start to beta_end.

    Both ends are meant for T = 1000. For another T they are multiplied by 1000 / T, which keeps the
    noise at the last time nearly the same; a beta above 0.999 is cut.

    Shapes: (T,), entry t - 1 is beta_t.
    Raises: ValueError for T < 1.
    Source: Ho et al., 2020, section 4, arXiv 2006.11239.
    """
    _check_count("linear_betas", "T", T)
    scale = 1000 / T
    return np.minimum(np.linspace(scale * beta_start, scale * beta_end, T), 0.999)


def alpha_bars_from_betas(betas: np.ndarray) -> np.ndarray:
    """alpha_bar_t = (1 - beta_1) ... (1 - beta_t), with alpha_bar_0 = 1 for the data itself.

    Shapes: (T,) -> (T + 1,), so that alpha_bars[t] is the paper's alpha_bar_t.
    Source: Ho et al., 2020, eq. 4, arXiv 2006.11239.

    >>> alpha_bars_from_betas(np.array([0.5, 0.5]))
    array([1.  , 0.5 , 0.25])
    """
    return np.concatenate([[1.0], np.cumprod(1 - betas)])


def linear_alpha_bars(T: int = 1000) -> np.ndarray:
    """alpha_bar_0 ... alpha_bar_T of `linear_betas`, (T + 1,)."""
    return alpha_bars_from_betas(linear_betas(T))


def cosine_alpha_bars(T: int = 1000, s: float = 0.008) -> np.ndarray:
    """alpha_bar_t = f(t) / f(0), f(t) = cos((t / T + s) / (1 + s) * pi / 2)^2, no beta above 0.999.

    Noise rises more slowly at both ends than with linear betas, which destroy small pictures early.

    Shapes: (T + 1,), alpha_bars[0] = 1.
    Raises: ValueError for T < 1.
    Source: Nichol and Dhariwal, 2021, eq. 17, arXiv 2102.09672.
    """
    _check_count("cosine_alpha_bars", "T", T)
    f = np.cos((np.arange(T + 1) / T + s) / (1 + s) * np.pi / 2) ** 2
    return alpha_bars_from_betas(np.minimum(1 - f[1:] / f[:-1], 0.999))


def visited_timesteps(T: int, steps: int) -> np.ndarray:
    """steps + 1 of the times T ... 0, as evenly spaced as integers can be, for a sampler to visit.

    Raises: ValueError for steps < 1 or steps > T.

    >>> visited_timesteps(1000, 4)
    array([1000,  750,  500,  250,    0])
    """
    _check_count("visited_timesteps", "steps", steps)
    if steps > T:
        raise ValueError(f"visited_timesteps: steps is {steps}, the network knows only {T} times")
    return np.round(np.linspace(T, 0, steps + 1)).astype(int)


# ---------------------------------------------------------------------- continuous times: EDM, flow


def karras_sigmas(
    steps: int, sigma_min: float = 0.002, sigma_max: float = SIGMA_MAX, rho: float = 7.0
) -> np.ndarray:
    """Evenly spaced in sigma^(1 / rho), then 0: short steps where sigma is small, for the details.

    sigma_i = (sigma_max^(1/rho) + i / (steps - 1) (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho

    Shapes: (steps + 1,), from sigma_max to 0.
    Raises: ValueError for steps < 1 or sigmas that are not 0 < sigma_min < sigma_max.
    Source: Karras et al., 2022, eq. 5, arXiv 2206.00364.
    """
    _check_count("karras_sigmas", "steps", steps)
    if not 0 < sigma_min < sigma_max < math.inf:
        raise ValueError(
            f"karras_sigmas: sigma_min is {sigma_min} and sigma_max {sigma_max}, "
            "expected 0 < sigma_min < sigma_max"
        )
    roots = np.linspace(sigma_max ** (1 / rho), sigma_min ** (1 / rho), steps)
    return np.concatenate([roots**rho, [0.0]])


def shift_times(t: Any, shift: float) -> Any:
    """shift t / (1 + (shift - 1) t): sigma = t / (1 - t) becomes shift * sigma; 0 and 1 stay.

    Neighbouring pixels of a large picture average the noise away, so it needs more noise to be
    equally hard to see: shift = sqrt(m / n) for m pixels in place of n.

    Source: Esser et al., 2024, eq. 23, arXiv 2403.03206.

    >>> shift_times(0.5, 3.0)
    0.75
    """
    return shift * t / (1 + (shift - 1) * t)


def flow_times(steps: int, shift: float = 1.0, start: float = 1.0) -> np.ndarray:
    """Times from `start` (1 is pure noise) to 0 (data), evenly spaced before the shift.

    Shapes: (steps + 1,).
    Raises: ValueError for steps < 1, shift <= 0, or start outside (0, 1].

    >>> flow_times(4)
    array([1.  , 0.75, 0.5 , 0.25, 0.  ])
    """
    _check_count("flow_times", "steps", steps)
    if not 0 < shift < math.inf:
        raise ValueError(f"flow_times: shift is {shift}, expected a number above 0")
    if not 0 < start <= 1:
        raise ValueError(f"flow_times: start is {start}, expected 0 < start <= 1")
    unshifted = shift_times(start, 1 / shift)  # shifting by 1 / shift undoes the shift
    times = shift_times(np.linspace(unshifted, 0, steps + 1), shift)
    times[0] = start  # without the rounding error
    return times


def logit_normal_times(
    n: int, rng: np.random.Generator, mean: float = 0.0, std: float = 1.0
) -> np.ndarray:
    """Training times, most in the hard middle: t = 1 / (1 + exp(-u)), u ~ N(mean, std^2).

    Shapes: (n,), float64 in [0, 1].
    Source: Esser et al., 2024, eq. 19, arXiv 2403.03206.
    """
    u = mean + std * rng.standard_normal(n)
    return 0.5 + 0.5 * np.tanh(0.5 * u)  # the sigmoid, without overflow


# --------------------------------------------------------------------------- one level, three names


def alpha_bars_from_times(t: Any) -> Any:
    """alpha_bar = (1 - t)^2 / ((1 - t)^2 + t^2); t = 1 gives exactly 0 and t = 0 exactly 1."""
    return (1 - t) ** 2 / ((1 - t) ** 2 + t**2)


def times_from_alpha_bars(alpha_bar: Any) -> Any:
    """t = sqrt(1 - alpha_bar) / (sqrt(alpha_bar) + sqrt(1 - alpha_bar))."""
    a, b = np.sqrt(alpha_bar), np.sqrt(1 - alpha_bar)
    return b / (a + b)


def sigmas_from_times(t: Any) -> np.ndarray:
    """sigma = t / (1 - t).

    Raises: ValueError where t = 1, because sigma would be infinite.
    """
    t = np.asarray(t, np.float64)
    if np.any(t >= 1):
        raise ValueError(
            "sigmas_from_times: t = 1 is sigma = infinity; "
            "begin earlier, with flow_times(steps, start=times_from_sigmas(80))"
        )
    return t / (1 - t)


def times_from_sigmas(sigma: Any) -> Any:
    """t = sigma / (1 + sigma)."""
    return sigma / (1 + sigma)


# -------------------------------------------------------------------------- what a network predicts


def prediction_target(x0: Array, eps: Array, alpha_bar: Any, prediction_type: str) -> Array:
    """What a network should return for xt = a x0 + b eps.

    epsilon  eps
    x0       x0
    v        a eps - b x0        where a = sqrt(alpha_bar), b = sqrt(1 - alpha_bar)

    Shapes: x0, eps (N, ...); alpha_bar a number or (N, 1, ..., 1).
    Raises: ValueError for another type.
    Source: epsilon, Ho et al., 2020, eq. 14, arXiv 2006.11239;
            v, Salimans and Ho, 2022, section 4, arXiv 2202.00512.
    """
    check_prediction_type(prediction_type)
    if prediction_type == "epsilon":
        return eps
    if prediction_type == "x0":
        return x0
    return alpha_bar**0.5 * eps - (1 - alpha_bar) ** 0.5 * x0


def x0_and_eps(
    prediction: Array, xt: Array, alpha_bar: Any, prediction_type: str
) -> tuple[Array, Array]:
    """The data and the noise that a prediction about xt stands for: `prediction_target` undone.

    epsilon  x0 = (xt - b eps) / a                           Ho et al., 2020, eq. 15
    x0       eps = (xt - a x0) / b
    v        x0 = a xt - b v,  eps = b xt + a v              as a^2 + b^2 = 1

    Error: x0 from epsilon magnifies the network's error b / a times.
    Raises: ValueError for another type.
    """
    check_prediction_type(prediction_type)
    a, b = alpha_bar**0.5, (1 - alpha_bar) ** 0.5
    if prediction_type == "epsilon":
        return (xt - b * prediction) / a, prediction
    if prediction_type == "x0":
        return prediction, (xt - a * prediction) / b
    return a * xt - b * prediction, b * xt + a * prediction


def min_snr_weights(alpha_bar: Any, gamma: float, prediction_type: str) -> Any:
    """Weights of the squared error that amount to min(snr, gamma) on the squared error of x0.

    snr = alpha_bar / (1 - alpha_bar), and the weight is

    epsilon  min(snr, gamma) / snr
    x0       min(snr, gamma)
    v        min(snr, gamma) / (snr + 1)

    Raises: ValueError for another type.
    Source: Hang et al., 2023, section 3.4, arXiv 2303.09556; gamma = 5 there.
    """
    check_prediction_type(prediction_type)
    snr = alpha_bar / (1 - alpha_bar)
    divisor = {"x0": 1.0, "epsilon": snr, "v": snr + 1}[prediction_type]
    return np.minimum(snr, gamma) / divisor


def check_prediction_type(prediction_type: str) -> None:
    """Raises: ValueError where it is none of PREDICTION_TYPES."""
    if prediction_type not in PREDICTION_TYPES:
        raise ValueError(
            f"prediction_type is {prediction_type!r}, expected one of {', '.join(PREDICTION_TYPES)}"
        )


def noise_like(x: Array, rng: np.random.Generator | None) -> Array:
    """Standard normal noise of the shape, type and device of x.

    Drawn on the host in float64, so that a seed means the same picture in any type, on any device.

    Raises: ValueError where rng is None.
    """
    if rng is None:
        raise ValueError("noise_like: rng is None, expected a numpy.random.Generator")
    return array_module(x).asarray(rng.standard_normal(x.shape).astype(x.dtype))


# ------------------------------------------------------------------------------------ learning rate


def warmup_cosine(step: int, total_steps: int, warmup_steps: int = 0) -> float:
    """Factor of the learning rate: up from 0 in a line, then down to 0 along half a cosine.

    Source: Loshchilov and Hutter, 2016, eq. 5, arXiv 1608.03983.

    >>> [round(warmup_cosine(step, 10, warmup_steps=2), 3) for step in (0, 1, 2, 6, 10)]
    [0.5, 1.0, 1.0, 0.5, 0.0]
    """
    up, down = _warmup_progress(step, total_steps, warmup_steps)
    return up * 0.5 * (1 + math.cos(math.pi * down))


def warmup_linear(step: int, total_steps: int, warmup_steps: int = 0) -> float:
    """Factor of the learning rate: up from 0 in a line, then down to 0 in another.

    >>> [warmup_linear(step, 10, warmup_steps=2) for step in (0, 1, 2, 6, 10)]
    [0.5, 1.0, 1.0, 0.5, 0.0]
    """
    up, down = _warmup_progress(step, total_steps, warmup_steps)
    return up * (1 - down)


def _warmup_progress(step: int, total_steps: int, warmup_steps: int) -> tuple[float, float]:
    """How far up the ramp, and how far along the way down; step 0 already has 1 / warmup_steps."""
    up = min((step + 1) / warmup_steps, 1.0) if warmup_steps else 1.0
    down = (step - warmup_steps) / max(total_steps - warmup_steps, 1)
    return up, min(max(down, 0.0), 1.0)


def _check_count(function: str, name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{function}: {name} is {value}, expected at least 1")

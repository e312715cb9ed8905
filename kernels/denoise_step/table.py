"""What the steps of a sampler multiply by: a table with a row for each step, made before the loop.

All samplers here take a guess of the data from the network's prediction, and walk towards it:

    guess = clip(guess_x x + guess_p p)
    x     = next_x x + next_guess guess + next_noise noise + next_last last

p is the prediction after guidance, `last` the guess of the step before. A captured loop replays one
launch with the same arguments for every step, so what changes lies in memory: the table, and the
step, which is counted there.

From x and x0_hat, which is the guess, in the sampler's own frame, x = a x0 + b eps:

    sampler     next_x            next_guess        next_noise   next_last
    ddpm        sqrt(alpha) B^2   a' beta / b^2     sigma        0
    ddim        r / b             a' - a r / b      eta sigma    0
    euler       B                 1 - B             0            0
    flow_euler  B                 1 - B             0            0
    dpmpp_2m    B                 (1 - B) k         0            (1 - B) (1 - k)

where ' is the next step, B = b' / b, alpha = (a / a')^2 = abar / abar', beta = 1 - alpha,
sigma = B sqrt(beta) (of ddpm with "beta" sqrt(beta)), r = sqrt(b'^2 - next_noise^2) and
k = 1 + h / (2 h_before), in the first and the last step 1; minigen/samplers has the sources. A
prediction p = e eps + d x0 gives the guess that solves it together with x = a x0 + b eps:

    x0 = (e x - b p) / (e a - b d)       epsilon (1, 0)   x0 (0, 1)   v (a, -b)   velocity (1, -1)

x stays in the frame of the *network*, so that it is what the network reads at every step: a DDPM's
has a^2 + b^2 = 1, a flow's a + b = 1. For a sampler in another frame the table scales it.
"""

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np


class Row(NamedTuple):
    """A row of the table, in this order; read by the kernels as float row[8]."""

    guess_x: float
    guess_p: float
    next_x: float
    next_guess: float
    next_noise: float
    next_last: float
    guidance: float  # p = guidance conditional + (1 - guidance) unconditional
    clip: float  # the guess stays within -clip and clip


class Steps(NamedTuple):
    table: np.ndarray  # (T, 8), float32
    times: np.ndarray  # (T,), what the network is told: integers for a DDPM's, else float64
    scales: np.ndarray  # (T + 1,): x of the sampler times this is x of the table


def steps_of(
    sampler,
    levels,
    prediction_type,
    *,
    alpha_bars=None,
    guidance=1.0,
    clip=None,
    eta=0.0,
    variance="beta_tilde",
):
    """The table of a sampler of minigen/samplers that visits `levels`, from noise to data.

    prediction_type  "epsilon", "x0" or "v" of a DDPM's network, "velocity" or "x0" of a flow's
    alpha_bars       (T + 1,) of a DDPM's training: its network is asked at the nearest of its
                     times; None for a flow's network
    eta, variance    of ddim and of ddpm

    Raises: ValueError for a name that there is not, or that is not for such a network.
    """
    if sampler not in SAMPLERS:
        raise ValueError(f"steps_of: sampler is {sampler!r}, expected one of {sorted(SAMPLERS)}")
    is_flow = alpha_bars is None
    expected = ["velocity", "x0"] if is_flow else ["epsilon", "v", "x0"]
    if prediction_type not in expected:
        whose = "a flow's network (no alpha_bars)" if is_flow else "a DDPM's network"
        raise ValueError(
            f"steps_of: prediction_type is {prediction_type!r}, expected of {whose} {expected}"
        )
    frame, step = SAMPLERS[sampler]
    walks = {"ddpm": {"variance": variance}, "ddim": {"eta": eta}}.get(sampler, {})
    points = [frame(float(level)) for level in levels]  # (a, b) of each level
    scales = [1 / (a + b if is_flow else math.hypot(a, b)) for a, b in points]
    rows, times, last_h = [], [], None
    for (now, after), (scale, next_scale) in zip(pairwise(points), pairwise(scales)):
        walk, last_h = step(now, after, last_h, **walks)
        a, b = (scale * n for n in now)
        time = b
        if not is_flow:
            time = nearest_time(a, b, alpha_bars)
            a, b = math.sqrt(alpha_bars[time]), math.sqrt(1 - alpha_bars[time])
        e, d = PREDICTIONS[prediction_type](a, b)
        guess = e / (e * a - b * d), -b / (e * a - b * d)
        x, *others = (next_scale * factor for factor in walk)
        limit = math.inf if clip is None else clip
        rows.append(Row(*guess, x / scale, *others, guidance, limit))
        times.append(time)
    return Steps(np.array(rows, np.float32), np.array(times), np.array(scales))


def nearest_time(a, b, alpha_bars):
    """The trained time, 1 ... T, whose noise is nearest in log(b / a)."""
    log_sigmas = 0.5 * np.log1p(-alpha_bars[1:]) - 0.5 * np.log(alpha_bars[1:])  # (T,), rising
    log_sigma = math.log(b / a) if a > 0 else math.inf
    return 1 + int(np.abs(log_sigmas - min(log_sigma, log_sigmas[-1])).argmin())


PREDICTIONS = {  # p = e eps + d x0
    "epsilon": lambda a, b: (1, 0),
    "x0": lambda a, b: (0, 1),
    "v": lambda a, b: (a, -b),
    "velocity": lambda a, b: (1, -1),
}

# --------------------------------------------------------------------------------- the samplers
# Each: (a, b), (a', b'), h of the step before -> next_x, next_guess, next_noise, next_last; and h.


def _ddpm(now, after, _, *, variance):
    (a, b), (a_next, b_next) = now, after
    alpha = (a / a_next) ** 2
    beta = 1 - alpha
    sigma = b_next / b * math.sqrt(beta) if variance == "beta_tilde" else math.sqrt(beta)
    noise = sigma if b_next > 0 else 0.0  # none in the last step
    return (math.sqrt(alpha) * (b_next / b) ** 2, a_next * beta / b**2, noise, 0.0), None


def _ddim(now, after, _, *, eta):
    (a, b), (a_next, b_next) = now, after
    noise = eta * b_next / b * math.sqrt(1 - (a / a_next) ** 2)
    r = math.sqrt(max(b_next**2 - noise**2, 0.0))
    return (r / b, a_next - a * r / b, noise, 0.0), None


def _euler(now, after, _):
    ratio = after[1] / now[1]  # of sigma, and of t
    return (ratio, 1 - ratio, 0.0, 0.0), None


def _dpmpp_2m(now, after, last_h):
    ratio = after[1] / now[1]
    h = -math.log(ratio) if ratio > 0 else math.inf
    k = 1.0 if last_h is None or h == math.inf else 1 + h / (2 * last_h)
    return (ratio, (1 - ratio) * k, 0.0, (1 - ratio) * (1 - k)), h


def _alpha_bar(level):
    return math.sqrt(level), math.sqrt(1 - level)


def _sigma(level):
    return 1.0, level


def _flow(level):
    return 1 - level, level


SAMPLERS = {  # name -> (level -> (a, b), a step)
    "ddpm": (_alpha_bar, _ddpm),
    "ddim": (_alpha_bar, _ddim),
    "euler": (_sigma, _euler),
    "dpmpp_2m": (_sigma, _dpmpp_2m),
    "flow_euler": (_flow, _euler),
}

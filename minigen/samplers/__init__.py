"""From noise to data: samplers that take any network.

    name        frame       order  random    evaluations a step
    ddpm        alpha_bar   -      yes       1
    ddim        alpha_bar   1      eta > 0   1
    euler       sigma       1      no        1
    heun        sigma       2      no        2
    dpmpp_2m    sigma       2      no        1
    flow_euler  flow        1      no        1

`sample_flow` and `sample_ddpm` pick one by name for a flow network and for a DDPM network. All of
them then visit the same noise levels, so that they can be compared: ddim with eta = 0, euler and
flow_euler are one method in three frames. For a flow network they differ in where they start: ddpm,
ddim and flow_euler at t = 1, which is sigma = infinity, the others at sigma = 80.

To choose the levels yourself, call a sampler directly:

    heun(in_sigma(denoiser_from_velocity(velocity)), 80 * noise, karras_sigmas(18))

Derivation: docs/derivations/samplers.md.
"""

import difflib
from collections.abc import Callable
from typing import Any

import numpy as np

from minigen.backend import Array
from minigen.samplers.ddim import ddim
from minigen.samplers.ddpm import ddpm
from minigen.samplers.dpmpp_2m import dpmpp_2m
from minigen.samplers.euler import euler
from minigen.samplers.flow_euler import flow_euler
from minigen.samplers.frames import (
    Callback,
    Denoiser,
    Velocity,
    denoiser_from_prediction,
    denoiser_from_velocity,
    in_alpha_bar,
    in_flow,
    in_sigma,
    on_arrays,
)
from minigen.samplers.guidance import batched_guidance, classifier_free_guidance, guided_model
from minigen.samplers.heun import heun
from minigen.samplers.levels import SIGMA_FRAME, levels_of, times_of
from minigen.samplers.repaint import repaint
from minigen.schedules import times_from_alpha_bars, visited_timesteps

_FUNCTIONS: dict[str, Callable[..., Array]] = {
    "ddpm": ddpm,
    "ddim": ddim,
    "euler": euler,
    "heun": heun,
    "dpmpp_2m": dpmpp_2m,
    "flow_euler": flow_euler,
}
SAMPLERS = tuple(_FUNCTIONS)

__all__ = [
    "SAMPLERS",
    "batched_guidance",
    "check_sampler",
    "classifier_free_guidance",
    "ddim",
    "ddpm",
    "denoiser_from_prediction",
    "denoiser_from_velocity",
    "dpmpp_2m",
    "euler",
    "flow_euler",
    "guided_model",
    "heun",
    "in_alpha_bar",
    "in_flow",
    "in_sigma",
    "on_arrays",
    "repaint",
    "sample_ddpm",
    "sample_denoiser",
    "sample_flow",
]


def check_sampler(name: str) -> None:
    """Raises: ValueError where `name` is none of SAMPLERS, with the nearest one."""
    if name not in SAMPLERS:
        near = difflib.get_close_matches(name, SAMPLERS, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"sampler: {name!r} is none of {', '.join(SAMPLERS)}{hint}")


def sample_flow(
    velocity: Velocity,
    noise: Array,
    sampler: str = "flow_euler",
    steps: int = 30,
    shift: float = 1.0,
    rng: np.random.Generator | None = None,
    eta: float = 0.0,
    callback: Callback | None = None,
) -> Array:
    """Data from a flow network, with any sampler.

    velocity  (xt, t) -> eps - x0, for xt = (1 - t) x0 + t eps; t is one number for the batch
    noise     (N, ...), standard normal
    shift     of the times towards the noise, see `flow_times`
    rng, eta  for the samplers that draw noise: ddpm, and ddim with eta > 0
    callback  called as callback(step, xt, x0_hat) after every step, with any sampler's x in the
              flow frame, xt = (1 - t) x0 + t eps

    Raises: ValueError for an unknown sampler, steps < 1, or a missing `rng`.
    """
    denoise = denoiser_from_velocity(velocity)
    return sample_denoiser(denoise, noise, sampler, steps, shift, rng, eta, callback)


def sample_denoiser(
    denoise: Denoiser,
    noise: Array,
    sampler: str = "flow_euler",
    steps: int = 30,
    shift: float = 1.0,
    rng: np.random.Generator | None = None,
    eta: float = 0.0,
    callback: Callback | None = None,
    init: Array | None = None,
    strength: float = 1.0,
) -> Array:
    """`sample_flow` for a denoiser, from pure noise, or from a picture under some of it (SDEdit).

    init      what to begin with: xt = (1 - t) init + t noise, at the time where a share `strength`
              of the steps is left. 0 gives it back as it is, at 1 nothing of it is left
    strength  of the change, 0 to 1

    Source: Meng et al., SDEdit, 2021, Alg. 1, arXiv 2108.01073.
    Raises: as sample_flow; ValueError for a strength outside [0, 1].
    """
    check_sampler(sampler)
    if not 0 <= strength <= 1:
        raise ValueError(f"sampler: strength is {strength}, expected 0 to 1")
    times = times_of(sampler, steps, shift)
    x = float(times[0]) * noise
    if init is not None:
        times = times[steps - round(steps * strength) :]
        t = float(times[0])
        x = (1 - t) * init + t * noise if strength < 1 else x
        if len(times) == 1:  # no step is left
            return init
    return _run(sampler, denoise, x, times, rng, eta, callback)


def sample_ddpm(
    predict: Callable[[Array, int], Array],
    noise: Array,
    alpha_bars: np.ndarray,
    prediction_type: str = "epsilon",
    clip: float | None = None,
    sampler: str = "ddpm",
    steps: int | None = None,
    rng: np.random.Generator | None = None,
    eta: float = 0.0,
    callback: Callback | None = None,
) -> Array:
    """Data from a DDPM network, with any sampler; it is asked about times of its training only.

    predict     (xt, t) -> prediction, for xt = a x0 + b eps with a = sqrt(alpha_bars[t]) and
                b = sqrt(1 - alpha_bars[t]); t is one integer for the batch
    noise       (N, ...), standard normal
    alpha_bars  (T + 1,), of the network's training
    clip        keep x0_hat within [-clip, clip]: 1.0 for pictures
    steps       the number of times visited, all T for None
    rng, eta, callback  as in `sample_flow`

    Raises: ValueError for an unknown sampler or type, steps < 1 or > T, or a missing `rng`.
    """
    check_sampler(sampler)
    T = len(alpha_bars) - 1
    visited = alpha_bars[visited_timesteps(T, T if steps is None else steps)]
    denoise = denoiser_from_prediction(predict, alpha_bars, prediction_type, clip)
    x = noise / float(np.sqrt(visited[0]) + np.sqrt(1 - visited[0]))  # into the flow frame
    return _run(sampler, denoise, x, times_from_alpha_bars(visited), rng, eta, callback)


def _run(
    sampler: str,
    denoise: Denoiser,
    x: Array,
    times: np.ndarray,
    rng: np.random.Generator | None,
    eta: float,
    callback: Callback | None,
) -> Array:
    """Run a sampler in its own frame; x comes in the flow frame and is scaled by a + b."""
    if eta and sampler != "ddim":
        raise ValueError(f"sampler: eta is {eta}, but {sampler} has none; it is a setting of ddim")
    levels = levels_of(sampler, times)
    if sampler in SIGMA_FRAME:
        frame, scales = in_sigma, 1 + levels  # a + b
    elif sampler == "flow_euler":
        frame, scales = in_flow, np.ones_like(times)
    else:
        frame, scales = in_alpha_bar, np.sqrt(levels) + np.sqrt(1 - levels)
    options: dict[str, Any] = {"ddpm": {"rng": rng}, "ddim": {"rng": rng, "eta": eta}}

    def in_flow_frame(step: int, x: Array, x0_hat: Array) -> None:
        if callback:
            callback(step, x / float(scales[step + 1]), x0_hat)

    return _FUNCTIONS[sampler](
        frame(denoise),
        x * float(scales[0]),
        levels,
        callback=in_flow_frame,
        **options.get(sampler, {}),
    )

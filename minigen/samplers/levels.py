"""Which noise levels a sampler visits, in its own frame."""

import numpy as np

from minigen.schedules import (
    SIGMA_MAX,
    alpha_bars_from_times,
    flow_times,
    sigmas_from_times,
    times_from_sigmas,
)

SIGMA_FRAME = ("euler", "heun", "dpmpp_2m")


def times_of(sampler: str, steps: int, shift: float) -> np.ndarray:
    """steps + 1 times of a flow, from noise to data: those of the sigma frame start at SIGMA_MAX.

    x starts as the first time times standard normal noise.
    """
    return flow_times(steps, shift, times_from_sigmas(SIGMA_MAX) if sampler in SIGMA_FRAME else 1.0)


def levels_of(sampler: str, times: np.ndarray) -> np.ndarray:
    """The times of a flow as sigmas, alpha_bars, or as they are."""
    if sampler == "flow_euler":
        return times
    return (sigmas_from_times if sampler in SIGMA_FRAME else alpha_bars_from_times)(times)

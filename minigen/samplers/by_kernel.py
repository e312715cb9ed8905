"""A flow network's pictures on a GPU, a step recorded as one: network, guidance and the sampler.

The same numbers as `sample_flow` of a `guided_model`, but for their last bits. What a step of the
sampler multiplies by comes from kernels/denoise_step/table.py; noise is drawn on the host, so that
a seed means the same picture everywhere.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minigen.autograd import Tensor, no_grad
from minigen.backend import Array, array_module, recorded, select, steps_of
from minigen.samplers.frames import Callback
from minigen.samplers.guidance import both_conditions
from minigen.samplers.levels import levels_of, times_of
from minigen.schedules import noise_like

Step = Callable[..., Array]  # see recorded_step
SAMPLERS = ("ddpm", "ddim", "euler", "dpmpp_2m", "flow_euler")  # heun asks the network twice a step
NOISE = 4  # the table's column: noise is multiplied by it


def is_possible(sampler: str, x: Array) -> bool:
    """Whether x lies on a GPU and a kernel of denoise_step is chosen that does such steps."""
    if isinstance(x, np.ndarray) or sampler not in SAMPLERS:
        return False
    xp = array_module(x)
    arrays = [x, x, x, xp.zeros((1, 8), np.float32), xp.zeros(1, np.int32)]
    arrays += [x] if sampler == "ddpm" else []  # its noise
    return select("denoise_step", tuple(arrays), {}) is not None


def recorded_step(model: Callable[..., Tensor], record: Callable[[Step], Step] = recorded) -> Step:
    """(x, x0_hat, t, row of the table, noise or none, **conditions) -> the next (x, x0_hat).

    For `sample`; to be kept for as long as the model's weights stay where they are.
    """

    def step(x: Array, last: Array, t: Array, row: Array, *noise: Array, **given: Any) -> Array:
        xp = array_module(x)
        asked = x if len(t) == len(x) else xp.concatenate([x, x])
        with no_grad():
            prediction = model(Tensor(asked), t, **given).data
        y = xp.stack([x, last])
        arrays = prediction, y[0], y[1], row, xp.zeros(1, np.int32), *noise
        kernel = select("denoise_step", arrays, {})
        assert kernel is not None
        kernel.launch(*arrays)  # which changes y
        return y

    return record(step)


def sample(
    step: Step,
    noise: Array,
    conditions: Mapping[str, Array],
    null_conditions: Mapping[str, Array] | None,
    *,
    sampler: str,
    steps: int,
    shift: float,
    guidance: float,
    prediction_type: str,
    clip: float | None,
    rng: np.random.Generator,
    callback: Callback | None = None,
) -> Array:
    """Data from noise, as `minigen.models.flow_matching.flow_matching.sample`.

    step  of `recorded_step`

    Shapes: noise (N, ...) -> the same.
    Error: that of other roundings (tests/samplers/test_by_kernel.py).
    """
    levels = levels_of(sampler, times_of(sampler, steps, shift))
    made = steps_of(sampler, levels, prediction_type, guidance=guidance, clip=clip)
    given = both_conditions(conditions, null_conditions, guidance)
    xp, asked = array_module(noise), len(noise) * (1 if guidance == 1 else 2)
    x = float(times_of(sampler, steps, shift)[0]) * noise
    x0_hat, rows, is_random = xp.zeros_like(x), xp.asarray(made.table), made.table[:, NOISE].any()
    for i, t in enumerate(made.times.tolist()):
        drawn = []
        if is_random:  # but not in the last step
            drawn = [noise_like(x, rng) if made.table[i, NOISE] else xp.zeros_like(x)]
        times = xp.full(asked, t, x.dtype)
        x, x0_hat = step(x, x0_hat, times, rows[i : i + 1], *drawn, **given)
        if callback:
            callback(i, x, x0_hat)
    return x

"""Euler's method along the straight paths of rectified flow.

Xingchao Liu, Chengyue Gong, Qiang Liu, Flow Straight and Fast: Learning to Generate and Transfer
Data with Rectified Flow, 2022, arXiv 2209.03003.

    dx / dt = v(x, t)                                                            section 2.1

Differs from the paper in: t = 1 is noise and t = 0 data, as in 2403.03206; time runs backwards.
"""

from collections.abc import Sequence

import numpy as np

from minigen.backend import Array
from minigen.samplers.frames import Callback, Velocity, intervals


def flow_euler(
    velocity: Velocity,
    x: Array,
    times: Sequence[float] | np.ndarray,
    callback: Callback | None = None,
) -> Array:
    """Follow the velocity along `times`, which fall from 1 to 0; x starts as noise.

    velocity  (xt, t) -> eps - x0, where xt = (1 - t) x0 + t eps
    callback  called as callback(step, x, x0_hat) after every step

    Shapes: x (N, ...), any; the result has its shape and type.
    Error: of order 1 in the step (tests/samplers/test_order.py).
    Cost: one evaluation of `velocity` a step.
    """
    for step, t, t_next in intervals("flow_euler", times, noise=1.0, data=0.0):
        v = velocity(x, t)
        x0_hat = x - t * v  # the straight path, followed to its end
        x = x + (t_next - t) * v  # dx / dt = v
        if callback:
            callback(step, x, x0_hat)
    return x

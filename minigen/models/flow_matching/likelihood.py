"""The likelihood of a flow-matching model: follow its ODE from the data to the noise.

Grathwohl, Chen, Bettencourt, Sutskever, Duvenaud, FFJORD: Free-form Continuous Dynamics for
Scalable Reversible Generative Models, 2018, arXiv 1810.01367; Lipman et al., Flow Matching for
Generative Modeling, 2022, appendix C, arXiv 2210.02747.

The idea: a velocity field carries every point of the data to one of the noise and back, so it is a
flow like any other, of infinitely many layers. Each changes volumes by the divergence of the
velocity, and the density by as much. A divergence needs one product of a vector with the Jacobian
for each number of a picture; Hutchinson's estimate needs one in all, and is right on average.

    dx/dt = v(x, t),   d log p_t(x_t) / dt = -div v(x_t, t)                 1810.01367 (2)
    log p_0(x_0) = log N(x_1; 0, I) + integral from 0 to 1 of div v dt      1810.01367 (3)
    div v = tr(dv/dx) = E e^T (dv/dx) e,   E e = 0, E e e^T = I             1810.01367 (7), (8)

Shapes: x0 (N, ...) -> log p(x0) (N,).

Differs from the papers in: t = 0 is data and t = 1 noise, as in flow_matching.py; a fixed number of
steps, of Heun's method or the classical Runge-Kutta method, rather than an adaptive one.

Derivation: docs/derivations/flow_likelihood.md. Notebook: notebooks/13_flows.ipynb.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minigen.autograd import Tensor, grad
from minigen.backend import Array, array_module
from minigen.nn.invertible import normal_log_prob
from minigen.schedules import noise_like

Model = Callable[..., Tensor]  # (xt (N, ...), t (N,), **conditions) -> velocity (N, ...)
TRACES = ("hutchinson", "exact")
METHODS = ("heun", "rk4")


def log_prob(
    model: Model,
    x0: Array,
    rng: np.random.Generator,
    *,
    trace: str = "hutchinson",
    method: str = "heun",
    steps: int = 50,
    conditions: Mapping[str, Array] | None = None,
) -> Array:
    """log p(x0) in nats.

    model       returns the velocity eps - x0, as one trained by flow_matching.loss does
    trace       "hutchinson": an estimate without bias, its probes drawn once for the whole way, so
                that the ODE stays one; "exact": as many products as a picture has numbers
    method      "heun", order 2, two evaluations a step; "rk4", order 4, four
    conditions  arrays with N rows, handed to the model

    Of pictures of 256 greys, to_float(g) plus uniform noise of one grey's width 2 / 255, D numbers:
    log P(g) >= log p(x0) + D log(2 / 255).

    Shapes: x0 (N, ...) -> (N,), in x0's type.
    Raises: ValueError for an unknown trace or method, steps < 1, or a velocity of another shape.
    """
    for name, value, known in (("trace", trace, TRACES), ("method", method, METHODS)):
        if value not in known:
            raise ValueError(f"likelihood: {name} is {value!r}, expected one of {known}")
    if steps < 1:
        raise ValueError(f"likelihood: steps is {steps}, expected at least 1")
    probes = _probes(x0, rng) if trace == "hutchinson" else None

    def slope(x: Array, t: float) -> tuple[Array, Array]:
        return velocity_and_divergence(model, x, t, probes, **(conditions or {}))

    x, integral = x0, array_module(x0).zeros(len(x0), x0.dtype)
    h = 1 / steps
    for step in range(steps):
        v, divergence = _mean_slope(slope, x, step * h, h, method)
        x, integral = x + h * v, integral + h * divergence
    return normal_log_prob(x).data + integral  # eq. 3


def velocity_and_divergence(
    model: Model, x: Array, t: float, probes: Array | None = None, **conditions: Any
) -> tuple[Array, Array]:
    """v(x, t), and the trace of dv/dx for each picture by itself.

    probes  e of Hutchinson's estimate e^T (dv/dx) e; None: the exact trace, the sum over all unit
            vectors e

    The Jacobian is never there: e^T (dv/dx) is what backward() gives for the gradient e at v.

    Shapes: x, probes (N, ...) -> (N, ...), (N,).
    Cost: one evaluation, and a walk back for the estimate or one for each number of a picture.
    """
    xt = Tensor(x, requires_grad=True)
    times = array_module(x).full(len(x), t, x.dtype)  # (N,)
    v = model(xt, times, **conditions)
    if v.shape != x.shape:
        raise ValueError(f"likelihood: the model returned {v.shape}, x is {x.shape}")
    if probes is not None:
        return v.data, _per_picture(_pulled_back(v, xt, probes) * probes)
    divergence = array_module(x).zeros(len(x), x.dtype)
    for i in range(x[0].size):
        unit = array_module(x).zeros_like(x).reshape(len(x), -1)
        unit[:, i] = 1
        divergence += _pulled_back(v, xt, unit.reshape(x.shape)).reshape(len(x), -1)[:, i]
    return v.data, divergence


def _pulled_back(v: Tensor, xt: Tensor, e: Array) -> Array:
    """e^T dv/dx: each picture's v depends on its own x alone."""
    (g,) = grad(v, [xt], gradient=e)
    return g.data


def _mean_slope(
    slope: Callable[[Array, float], tuple[Array, Array]], x: Array, t: float, h: float, method: str
) -> tuple[Array, Array]:
    """The mean of the slopes that a step of length h from t goes along."""
    v1, d1 = slope(x, t)
    if method == "heun":
        v2, d2 = slope(x + h * v1, t + h)
        return (v1 + v2) / 2, (d1 + d2) / 2
    v2, d2 = slope(x + h / 2 * v1, t + h / 2)
    v3, d3 = slope(x + h / 2 * v2, t + h / 2)
    v4, d4 = slope(x + h * v3, t + h)
    return (v1 + 2 * v2 + 2 * v3 + v4) / 6, (d1 + 2 * d2 + 2 * d3 + d4) / 6


def _probes(x: Array, rng: np.random.Generator) -> Array:
    """+1 or -1: of all e with E e e^T = I the one whose estimate has the least variance."""
    return array_module(x).where(noise_like(x, rng) < 0, -1, 1).astype(x.dtype)


def _per_picture(x: Array) -> Array:
    return x.reshape(len(x), -1).sum(axis=1)

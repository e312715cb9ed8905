"""Flow matching on straight lines: learn the velocity that carries noise to data.

Lipman, Chen, Ben-Hamu, Nickel, Le, Flow Matching for Generative Modeling, 2022, arXiv 2210.02747;
Liu, Gong, Liu, Flow Straight and Fast (rectified flow), 2022, arXiv 2209.03003;
Esser et al., Scaling Rectified Flow Transformers (Stable Diffusion 3), 2024, arXiv 2403.03206.

The idea: draw a straight line from every picture to a noise. Many lines cross at a point (xt, t);
the mean of their directions there is a velocity field, and least squares learns it. Its flow
carries the standard normal distribution to that of the pictures.

    z_t = (1 - t) x0 + t eps                                                 2403.03206 (13)
    L   = E |v(z_t, t) - (eps - x0)|^2,   x0 ~ data, eps ~ N(0, I)           2210.02747 (23)
    t   = 1 / (1 + exp(-u)),   u ~ N(mean, std^2)                            2403.03206 (19)
    t'  = shift t / (1 + (shift - 1) t), for sampling                        2403.03206 (23)

Shapes: x0, eps, xt and the velocity (N, ...), t (N,).

Differs from the papers in: t = 0 is data and t = 1 noise in all formulas, as in 2403.03206; the
other two run the other way. The sigma_min of 2210.02747 is 0. Training on pairs that the flow
itself has made ("reflow", 2209.03003) is left out.

Recipes: minigen/recipes/scenes.py, toy_flow.py and mnist_flow.py.
Derivation: docs/derivations/flow_matching.md.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from minigen.autograd import Tensor
from minigen.backend import Array, array_module, move
from minigen.samplers import by_kernel, denoiser_from_velocity, guided_model, sample_denoiser
from minigen.samplers.frames import Callback, Denoiser, Velocity, on_arrays
from minigen.schedules import logit_normal_times, noise_like

Model = Callable[..., Tensor]  # (xt (N, ...), t (N,), **conditions) -> velocity (N, ...)


@dataclass(frozen=True)
class FlowMatchingConfig:
    """How to train and how to sample."""

    time_mean: float = 0.0  # of logit(t) in training; above 0: more often near the noise
    time_std: float = 1.0  # of logit(t) in training
    shift: float = 1.0  # of the sampling times towards the noise; sqrt(pixels / pixels it is 1 for)
    prediction_type: str = "velocity"  # what the model returns: "velocity" or "x0"
    max_weight: float = 10.0  # of x0's squared error: 1 / t^2, the velocity's weight, up to this
    clip: float | None = None  # keep a predicted x0 within [-clip, clip]: 1.0 for pictures

    def __post_init__(self) -> None:
        if self.prediction_type not in ("velocity", "x0"):
            raise ValueError(
                f"flow_matching: prediction_type is {self.prediction_type!r}, "
                "expected 'velocity' or 'x0'"
            )


def loss(
    model: Model,
    x0: Array,
    rng: np.random.Generator,
    config: FlowMatchingConfig = FlowMatchingConfig(),
    **conditions: Any,
) -> Tensor:
    """The mean squared error of the velocity, at one random time for each picture.

    A model that predicts x0 has the velocity (xt - x0_hat) / t, whose error is that of x0 over t.

    conditions  handed to the model; to train for guidance, the caller empties some of them

    Shapes: x0 (N, ...), an array -> a scalar Tensor.
    Raises: ValueError where the model returns another shape.
    """
    xp = array_module(x0)
    t = logit_normal_times(len(x0), rng, config.time_mean, config.time_std)  # 2403.03206, eq. 19
    t = xp.asarray(t.astype(x0.dtype))  # (N,)
    eps = noise_like(x0, rng)
    share = t.reshape(-1, *[1] * (x0.ndim - 1))  # (N,) -> (N, 1, ..., 1)
    xt = (1 - share) * x0 + share * eps  # 2403.03206, eq. 13
    y = model(Tensor(xt), t, **conditions)
    if y.shape != x0.shape:
        raise ValueError(f"flow_matching: the model returned {y.shape}, x0 is {x0.shape}")
    if config.prediction_type == "x0":
        weight = xp.minimum(1 / xp.maximum(share, 1e-4) ** 2, config.max_weight)
        return (weight.astype(x0.dtype) * (y - x0) ** 2).mean()
    return ((y - (eps - x0)) ** 2).mean()  # 2210.02747, eq. 23


def sample(
    model: Model,
    n: int,
    rng: np.random.Generator,
    shape: tuple[int, ...],
    config: FlowMatchingConfig = FlowMatchingConfig(),
    *,
    sampler: str = "flow_euler",
    steps: int = 30,
    conditions: Mapping[str, Array] | None = None,
    null_conditions: Mapping[str, Array] | None = None,
    guidance_scale: float = 1.0,
    device: str = "cpu",
    step: by_kernel.Step | None = None,
    callback: Callback | None = None,
) -> Array:
    """Draw `n` new pictures.

    shape            of one picture
    sampler, steps   see minigen.samplers
    conditions       arrays with n rows, handed to the model
    null_conditions  the same emptied, for guidance_scale other than 1
    device           where the model is; the noise is drawn on the host
    step             `recorded_step(model)`: on a GPU it does a whole step at once where it can

    Shapes: -> (n, *shape), float32.
    """
    noise = move(rng.standard_normal((n, *shape)).astype(np.float32), device)  # x at t = 1
    if step is not None and by_kernel.is_possible(sampler, noise):
        return by_kernel.sample(
            step,
            noise,
            conditions or {},
            null_conditions,
            sampler=sampler,
            steps=steps,
            shift=config.shift,
            guidance=guidance_scale,
            prediction_type=config.prediction_type,
            clip=config.clip if config.prediction_type == "x0" else None,
            rng=rng,
            callback=callback,
        )
    denoise = denoiser(model, config, conditions, null_conditions, guidance_scale)
    return sample_denoiser(denoise, noise, sampler, steps, config.shift, rng, callback=callback)


def denoiser(
    model: Model,
    config: FlowMatchingConfig,
    conditions: Mapping[str, Array] | None = None,
    null_conditions: Mapping[str, Array] | None = None,
    guidance_scale: float = 1.0,
    **guidance: Any,
) -> Denoiser:
    """What samplers and edits call, (x, a, b) -> x0_hat for x = a x0 + b eps; `guidance` is the
    interval and rescale of `guided_model`.
    """
    predict = guided_model(model, conditions or {}, null_conditions, guidance_scale, **guidance)
    velocity = predict if config.prediction_type == "velocity" else _velocity(predict, config.clip)
    return denoiser_from_velocity(velocity)


def encode(
    model: Model,
    x0: Array,
    config: FlowMatchingConfig = FlowMatchingConfig(),
    *,
    steps: int = 30,
    conditions: Mapping[str, Array] | None = None,
) -> Array:
    """The noise from which the flow comes to x0, its latent: dx / dt = v from t = 0 to 1.

    Shapes: x0 (N, ...), conditions with N rows -> as x0.
    Error: of order 2 in the step, by Heun's method (tests/models/test_flow_matching.py).
    Cost: two evaluations of the model a step.
    Raises: ValueError for steps < 1, or a model that predicts x0: its velocity has no value at 0.
    """
    return _follow(model, x0, 0.0, 1.0, config, steps, conditions)


def decode(
    model: Model,
    noise: Array,
    config: FlowMatchingConfig = FlowMatchingConfig(),
    *,
    steps: int = 30,
    conditions: Mapping[str, Array] | None = None,
) -> Array:
    """The picture that the flow makes of a noise: `encode` the other way, t = 1 to 0."""
    return _follow(model, noise, 1.0, 0.0, config, steps, conditions)


def _follow(
    model: Model,
    x: Array,
    start: float,
    end: float,
    config: FlowMatchingConfig,
    steps: int,
    conditions: Mapping[str, Array] | None,
) -> Array:
    """dx / dt = v by Heun's method, in either direction."""
    if steps < 1 or config.prediction_type != "velocity":
        raise ValueError(
            f"flow_matching: steps is {steps}, prediction_type {config.prediction_type!r}; the way "
            "between data and noise takes steps of at least 1 and a model that predicts velocity"
        )
    velocity = on_arrays(model, **(conditions or {}))
    for t, t_next in pairwise(np.linspace(start, end, steps + 1).tolist()):
        v = velocity(x, t)
        v_next = velocity(x + (t_next - t) * v, t_next)
        x = x + (t_next - t) * 0.5 * (v + v_next)
    return x


def _velocity(predict_x0: Velocity, clip: float | None) -> Velocity:
    """v = (xt - x0_hat) / t, from xt = (1 - t) x0 + t eps and v = eps - x0."""

    def velocity(xt: Array, t: float) -> Array:
        x0_hat = predict_x0(xt, t)
        if clip is not None:
            x0_hat = x0_hat.clip(-clip, clip)
        return (xt - x0_hat) / t

    return velocity

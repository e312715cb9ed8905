"""Classifier-free guidance: go further in the direction that the condition moves the prediction.

Jonathan Ho, Tim Salimans, Classifier-Free Diffusion Guidance, 2022, arXiv 2207.12598.

    guided = unconditional + scale (conditional - unconditional)                (6), scale = 1 + w

scale 0 ignores the condition, 1 is the conditional model, more trades variety for obedience. The
weights, scale and 1 - scale, sum to 1, so the formula means the same for velocity, noise and x0:
at a given xt each of them is an affine function of the others.

Derivation: docs/derivations/guidance.md.
"""

from collections.abc import Callable, Mapping
from typing import Any

from minigen.backend import Array, array_module
from minigen.samplers.affine import affine_step
from minigen.samplers.frames import on_arrays

Prediction = Callable[[Array, float], Array]  # (xt, level) -> velocity, noise, x0 ...


def classifier_free_guidance(
    conditional: Prediction, unconditional: Prediction, scale: float
) -> Prediction:
    """(xt, level) -> unconditional + scale (conditional - unconditional); two evaluations.

    At scale 1 it *is* `conditional`, and `unconditional` is never evaluated: half the time.
    """
    if scale == 1:
        return conditional

    def guided(xt: Array, level: float) -> Array:
        base = unconditional(xt, level)
        return affine_step((scale, conditional(xt, level)), (1 - scale, base))  # eq. 6

    return guided


def batched_guidance(conditional: Prediction, both: Prediction, scale: float) -> Prediction:
    """The same with one evaluation of a batch of 2 N: less overhead on a CPU, a fuller GPU.

    conditional  predicts for N pictures with their conditions; used at scale 1 only
    both         predicts for 2 N pictures: N with their conditions, then N with the null condition

    Raises: ValueError where `both` does not return 2 N predictions.
    """
    if scale == 1:
        return conditional

    def guided(xt: Array, level: float) -> Array:
        N = len(xt)
        y = both(array_module(xt).concatenate([xt, xt]), level)  # (2 N, ...)
        if len(y) != 2 * N:
            raise ValueError(f"batched_guidance: {len(y)} predictions came, expected 2 x {N}")
        return affine_step((scale, y[:N]), (1 - scale, y[N:]))  # eq. 6

    return guided


def guided_model(
    model: Callable[..., Any],
    conditions: Mapping[str, Array],
    null_conditions: Mapping[str, Array] | None = None,
    scale: float = 1.0,
) -> Prediction:
    """The same for a model on Tensors whose conditions are arrays: it joins the two halves.

    model            (Tensor (N, ...), times (N,), **conditions) -> Tensor
    conditions       arrays with a row for each picture
    null_conditions  the same arrays with nothing in them; needed at any scale but 1

    Raises: ValueError where null_conditions are needed and missing.
    """
    both = both_conditions(conditions, null_conditions, scale)
    conditional = on_arrays(model, **conditions)
    return batched_guidance(conditional, on_arrays(model, **both), scale)


def both_conditions(
    conditions: Mapping[str, Array], null_conditions: Mapping[str, Array] | None, scale: float
) -> dict[str, Array]:
    """The conditions, and below them the null conditions; at scale 1 the conditions alone.

    Raises: ValueError where null_conditions are needed and missing.
    """
    if scale == 1:
        return dict(conditions)
    if null_conditions is None or set(null_conditions) != set(conditions):
        raise ValueError(
            f"guided_model: scale is {scale}, expected null_conditions for {sorted(conditions)}"
        )
    return {
        name: array_module(c).concatenate([c, null_conditions[name]])
        for name, c in conditions.items()
    }

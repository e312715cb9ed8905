"""Classifier-free guidance: go further in the direction that the condition moves the prediction.

Jonathan Ho, Tim Salimans, Classifier-Free Diffusion Guidance, 2022, arXiv 2207.12598.

    guided = unconditional + scale (conditional - unconditional)                (6), scale = 1 + w

A negative prompt takes the place of the null condition: away from what it says. Several prompts
with weights of sum 1 are one condition, whose prediction is the weighted mean of theirs (Liu et
al., 2022, eq. 11, arXiv 2206.01714). Two remedies for pictures that a large scale burns out:

    interval   the scale counts at levels from its first to its second number only    2404.07724
    rescale    guided *= rescale std(conditional) / std(guided) + 1 - rescale   2305.08891, eq. 16

scale 0 ignores the condition, 1 is the conditional model, more trades variety for obedience. The
weights, scale and 1 - scale, sum to 1, so the formula means the same for velocity, noise and x0:
at a given xt each of them is an affine function of the others.

Derivation: docs/derivations/guidance.md.
"""

from collections.abc import Callable, Mapping, Sequence
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
    interval: tuple[float, float] | None = None,
    rescale: float = 0.0,
) -> Prediction:
    """The same for a model on Tensors whose conditions are arrays: it joins the two halves.

    model            (Tensor (N, ...), times (N,), **conditions) -> Tensor
    conditions       arrays with a row for each picture
    null_conditions  the same arrays with nothing in them; needed at any scale but 1
    interval         levels at which the scale counts; elsewhere the prediction is the conditional
    rescale          0 to 1: how far the spread of each prediction is brought back

    Raises: ValueError where null_conditions are needed and missing, or rescale is not in [0, 1].
    """
    if not 0 <= rescale <= 1:
        raise ValueError(f"guided_model: rescale is {rescale}, expected 0 to 1")
    both = both_conditions(conditions, null_conditions, scale)
    conditional = on_arrays(model, **conditions)
    if scale == 1:
        return conditional
    halves = on_arrays(model, **both)
    if rescale:
        guided = _rescaled(halves, scale, rescale)
    else:
        guided = batched_guidance(conditional, halves, scale)
    if interval is None:
        return guided
    low, high = interval

    def predict(xt: Array, level: float) -> Array:
        return (guided if low <= level <= high else conditional)(xt, level)

    return predict


def _rescaled(both: Prediction, scale: float, rescale: float) -> Prediction:
    """Eq. 6, then eq. 15 and 16 of 2305.08891: the standard deviation is that of each picture."""

    def guided(xt: Array, level: float) -> Array:
        N, xp = len(xt), array_module(xt)
        y = both(xp.concatenate([xt, xt]), level)  # (2 N, ...)
        conditional, axes = y[:N], tuple(range(1, xt.ndim))
        pushed = affine_step((scale, conditional), (1 - scale, y[N:]))  # eq. 6
        std = xp.maximum(pushed.std(axes, keepdims=True), 1e-8)
        share = conditional.std(axes, keepdims=True) / std  # 2305.08891, eq. 15
        return pushed * (rescale * share + 1 - rescale)  # eq. 16

    return guided


def mixed_model(
    model: Callable[..., Any], conditions: Sequence[Mapping[str, Array]]
) -> Callable[..., Any]:
    """A model whose only condition is how much each of several prompts counts.

        prediction_n = sum over k of mixed_nk prediction(prompt k)
                     + (1 - sum over k of mixed_nk) prediction(no prompt)

    conditions  of each of K prompts, arrays of one row; the last ones are those of no prompt

    The result takes `mixed` (N, K). Zeros stand for no prompt, so it is guided like any model.
    """

    def predict(xt: Any, t: Array, mixed: Array) -> Any:
        shares = array_module(mixed).concatenate([mixed, 1 - mixed.sum(1, keepdims=True)], axis=1)
        total: Any = 0.0
        for k, condition in enumerate(conditions):
            if not shares[:, k].any():
                continue
            y = model(xt, t, **{name: c.repeat(len(t), axis=0) for name, c in condition.items()})
            total = total + y * shares[:, k].reshape(-1, *[1] * (y.ndim - 1)).astype(y.dtype)
        return total

    return predict


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

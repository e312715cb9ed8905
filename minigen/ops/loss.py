"""Losses; `reduction` is "mean" (over all elements), "sum" or "none"."""

from typing import Any

from minigen.autograd import Tensor, primitive
from minigen.backend import Array, array_module
from minigen.ops.elementwise import abs_, clip, exp, sigmoid
from minigen.ops.reduce import softmax


def _reduce(name: str, losses: Tensor, reduction: str) -> Tensor:
    if reduction == "mean":
        return losses.mean()
    if reduction == "sum":
        return losses.sum()
    if reduction == "none":
        return losses
    raise ValueError(f'{name}: reduction is {reduction!r}, expected "mean", "sum" or "none"')


def _difference(name: str, x: Tensor, target: Any) -> Tensor:
    shape = getattr(target, "shape", ())
    if shape not in ((), x.shape):
        raise ValueError(f"{name}: x is {x.shape}, the target {shape}")
    return x - target


def mse_loss(x: Tensor, target: Any, reduction: str = "mean") -> Tensor:
    """(x - target)^2."""
    d = _difference("mse_loss", x, target)
    return _reduce("mse_loss", d * d, reduction)


def l1_loss(x: Tensor, target: Any, reduction: str = "mean") -> Tensor:
    """|x - target|."""
    return _reduce("l1_loss", abs_(_difference("l1_loss", x, target)), reduction)


def huber_loss(x: Tensor, target: Any, delta: float = 1.0, reduction: str = "mean") -> Tensor:
    """d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2), with d = x - target."""
    d = _difference("huber_loss", x, target)
    c = clip(d, -delta, delta)
    return _reduce("huber_loss", c * (d - c * 0.5), reduction)


def bce_with_logits(x: Tensor, target: Any, reduction: str = "mean") -> Tensor:
    """-target log(sigmoid(x)) - (1 - target) log(1 - sigmoid(x))."""
    shape = getattr(target, "shape", ())
    if shape not in ((), x.shape):
        raise ValueError(f"bce_with_logits: x is {x.shape}, the target {shape}")
    return _reduce("bce_with_logits", bce_with_logits_(x, target), reduction)


@primitive
def bce_with_logits_(x: Array, target: Array) -> Array:
    xp = array_module(x)
    return xp.maximum(x, 0) - x * target + xp.log1p(xp.exp(-xp.abs(x)))


@bce_with_logits_.backward
def bce_with_logits_backward(g, y, x, target):
    gx = g * (sigmoid(x) - target)
    return gx, (-g * x).sum() if target.shape == () and x.shape != () else -g * x


def cross_entropy(logits: Tensor, target: Any, reduction: str = "mean") -> Tensor:
    """-log softmax(logits)[target] over the last axis.

    Shapes: logits (..., K), target integers (...).
    """
    target = array_module(logits.data).asarray(
        target.data if isinstance(target, Tensor) else target
    )
    if target.shape != logits.shape[:-1]:
        raise ValueError(
            f"cross_entropy: logits are {logits.shape}, expected targets {logits.shape[:-1]}, got {target.shape}"
        )
    return _reduce("cross_entropy", cross_entropy_(logits, target=target), reduction)


def _one_hot(target: Array, classes: int, dtype: Any) -> Array:
    xp = array_module(target)
    return (target[..., None] == xp.arange(classes)).astype(dtype)


@primitive
def cross_entropy_(logits: Array, *, target: Array) -> Array:
    xp = array_module(logits)
    z = logits - logits.max(axis=-1, keepdims=True)
    chosen = xp.take_along_axis(z, target[..., None], axis=-1)[..., 0]
    return xp.log(xp.exp(z).sum(axis=-1)) - chosen


@cross_entropy_.backward
def cross_entropy_backward(g, y, logits, *, target):
    error = softmax(logits) - _one_hot(target, logits.shape[-1], logits.dtype)
    return error * g.reshape(*g.shape, 1)


def gaussian_kl(mu: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mu, exp(log_var)) || N(0, 1)) = sum(mu^2 + exp(log_var) - 1 - log_var) / 2.

    Summed over all axes but the first, then the mean over the first, the batch.
    """
    kl = (mu * mu + exp(log_var) - 1 - log_var) * 0.5
    return kl.sum() * (1 / mu.shape[0])

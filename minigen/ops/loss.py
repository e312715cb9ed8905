"""Losses. Each formula is of one element; `reduction` is "mean" (over all), "sum" or "none".

A target may also be one number for all elements.
"""

from typing import Any

from minigen.autograd import Tensor, primitive, sum_to
from minigen.backend import Array, array_module
from minigen.ops.elementwise import abs_, as_tensor, clip, exp, plain, sigmoid
from minigen.ops.reduce import softmax, sum_product


def mse_loss(x: Any, target: Any, reduction: str = "mean") -> Tensor:
    """(x - target)^2."""
    d = _difference("mse_loss", x, target)
    return _reduce("mse_loss", d * d, reduction)


def l1_loss(x: Any, target: Any, reduction: str = "mean") -> Tensor:
    """|x - target|."""
    return _reduce("l1_loss", abs_(_difference("l1_loss", x, target)), reduction)


def huber_loss(x: Any, target: Any, delta: float = 1.0, reduction: str = "mean") -> Tensor:
    """With d = x - target: d^2 / 2 where |d| <= delta, else delta * (|d| - delta / 2).

    Source: Huber, Robust estimation of a location parameter, 1964.
    """
    if delta <= 0:
        raise ValueError(f"huber_loss: delta is {delta}, expected a number above 0")
    d = _difference("huber_loss", x, target)
    c = clip(d, -delta, delta)
    return _reduce("huber_loss", c * (d - c * 0.5), reduction)  # both cases at once


def bce_with_logits(x: Any, target: Any, reduction: str = "mean") -> Tensor:
    """-target * log(p) - (1 - target) * log(1 - p) with p = sigmoid(x), for a large |x| too."""
    _same_shape("bce_with_logits", x, target)
    return _reduce("bce_with_logits", bce_with_logits_(x, target), reduction)


@primitive
def bce_with_logits_(x: Array, target: Array) -> Array:
    """max(x, 0) - x * target + log(1 + exp(-|x|)), which is the same and does not overflow."""
    xp = array_module(x)
    return xp.maximum(x, 0) - x * target + xp.log1p(xp.exp(-xp.abs(x)))


@bce_with_logits_.backward
def bce_with_logits_backward(g, y, x, target):
    gx = g * (sigmoid(x) - target) if x.requires_grad else None
    return gx, sum_to(-g * x, target.shape) if target.requires_grad else None


def cross_entropy(logits: Any, target: Any, reduction: str = "mean") -> Tensor:
    """-log_softmax(logits)[target] over the last axis.

    Shapes: logits (..., K), target integers (...) from 0 to K - 1.
    Raises: ValueError where the shapes differ or a target is none of the K classes.
    """
    logits = as_tensor(logits)
    target = array_module(logits.data).asarray(plain(target))
    K = logits.shape[-1]
    if target.shape != logits.shape[:-1]:
        raise ValueError(
            f"cross_entropy: logits are {logits.shape}, the target is {target.shape}, "
            f"expected {logits.shape[:-1]}"
        )
    if target.dtype.kind not in "iu":
        raise TypeError(f"cross_entropy: the target is {target.dtype}, expected integers")
    if target.size and (int(target.min()) < 0 or int(target.max()) >= K):
        raise ValueError(
            f"cross_entropy: targets from {target.min()} to {target.max()}, expected 0 to {K - 1}"
        )
    return _reduce("cross_entropy", cross_entropy_(logits, target=target), reduction)


@primitive
def cross_entropy_(logits: Array, *, target: Array) -> Array:
    """-log_softmax(logits)[target] for each row."""
    xp = array_module(logits)
    z = logits - logits.max(axis=-1, keepdims=True)
    chosen = xp.take_along_axis(z, target[..., None], axis=-1)  # (..., 1)
    return (xp.log(sum_product.forward(xp.exp(z), axis=-1)) - chosen)[..., 0]


@cross_entropy_.backward
def cross_entropy_backward(g, y, logits, *, target):
    classes = array_module(target).arange(logits.shape[-1])
    one_hot = (target[..., None] == classes).astype(logits.dtype)
    return (softmax(logits) - one_hot) * g.reshape(*g.shape, 1)


def kl_per_latent(mu: Any, log_var: Any) -> Tensor:
    """KL(N(mu, sigma^2) || N(0, 1)) = (mu^2 + sigma^2 - 1 - log_var) / 2, sigma = exp(log_var / 2).

    In nats, of every number by itself. One with nearly 0 tells nothing about its picture; if all
    of them do, the posterior has collapsed.

    Shapes: mu and log_var, of one shape -> the same.
    Source: Kingma and Welling, 2013, arXiv 1312.6114, appendix B.
    """
    mu, log_var = as_tensor(mu), as_tensor(log_var)
    _same_shape("kl_per_latent", mu, log_var)
    return (mu * mu + exp(log_var) - log_var - 1) * 0.5


def gaussian_kl(mu: Any, log_var: Any) -> Tensor:
    """`kl_per_latent`, summed over all axes but the first, then the mean over the first, the batch.

    Shapes: mu and log_var (N, ...) -> ().
    """
    kl = kl_per_latent(mu, log_var)
    return kl.sum() * (1 / kl.shape[0])


def _same_shape(name: str, x: Any, target: Any) -> None:
    x_shape, shape = plain(x).shape, getattr(target, "shape", ())
    if shape not in ((), x_shape):
        raise ValueError(f"{name}: x is {x_shape}, the target is {shape}")


def _difference(name: str, x: Any, target: Any) -> Tensor:
    _same_shape(name, x, target)
    return as_tensor(x) - target


def _reduce(name: str, losses: Tensor, reduction: str) -> Tensor:
    if reduction == "mean":
        return losses.mean()
    if reduction == "sum":
        return losses.sum()
    if reduction == "none":
        return losses
    raise ValueError(f'{name}: reduction is {reduction!r}, expected "mean", "sum" or "none"')

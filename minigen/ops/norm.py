"""Normalisations: subtract a mean, divide by a standard deviation, then scale and shift."""

from typing import Any

from minigen.autograd import Tensor, primitive
from minigen.backend import Array, array_module


def _affine(x: Tensor, weight: Any, bias: Any) -> tuple[Any, Any]:
    xp, C = array_module(x.data), x.shape[-1]
    return (
        xp.ones(C, x.dtype) if weight is None else weight,
        xp.zeros(C, x.dtype) if bias is None else bias,
    )


def layer_norm(x: Tensor, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias over the last axis."""
    return layer_norm_(x, *_affine(x, weight, bias), eps=float(eps))


@primitive
def layer_norm_(x: Array, weight: Array, bias: Array, *, eps: float) -> Array:
    xp = array_module(x)
    y = x - x.mean(axis=-1, keepdims=True)
    y *= 1 / xp.sqrt(xp.square(y).mean(axis=-1, keepdims=True) + eps)
    y *= weight
    y += bias
    return y


@layer_norm_.backward
def layer_norm_backward(g, y, x, weight, bias, *, eps):
    d = x - x.mean(-1, keepdims=True)
    rstd = ((d * d).mean(-1, keepdims=True) + eps) ** -0.5
    xhat, gw = d * rstd, g * weight
    gx = (gw - gw.mean(-1, keepdims=True) - xhat * (gw * xhat).mean(-1, keepdims=True)) * rstd
    axes = tuple(range(x.ndim - 1))
    return gx, (g * xhat).sum(axes), g.sum(axes)


def rms_norm(x: Tensor, weight: Any = None, eps: float = 1e-6) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight over the last axis."""
    return rms_norm_(x, _affine(x, weight, None)[0], eps=float(eps))


@primitive
def rms_norm_(x: Array, weight: Array, *, eps: float) -> Array:
    xp = array_module(x)
    y = x * (1 / xp.sqrt(xp.square(x).mean(axis=-1, keepdims=True) + eps))
    y *= weight
    return y


@rms_norm_.backward
def rms_norm_backward(g, y, x, weight, *, eps):
    rstd = ((x * x).mean(-1, keepdims=True) + eps) ** -0.5
    xhat, gw = x * rstd, g * weight
    gx = (gw - xhat * (gw * xhat).mean(-1, keepdims=True)) * rstd
    return gx, (g * xhat).sum(tuple(range(x.ndim - 1)))


def group_norm(
    x: Tensor, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Tensor:
    """As layer_norm, over the pixels and the C / num_groups channels of each group."""
    if x.shape[-1] % num_groups:
        raise ValueError(
            f"group_norm: x has C = {x.shape[-1]} channels, expected a multiple of {num_groups}"
        )
    return group_norm_(x, *_affine(x, weight, bias), num_groups=num_groups, eps=float(eps))


@primitive
def group_norm_(x: Array, weight: Array, bias: Array, *, num_groups: int, eps: float) -> Array:
    xp = array_module(x)
    grouped = x.reshape(x.shape[0], -1, num_groups, x.shape[-1] // num_groups)
    y = grouped - grouped.mean(axis=(1, 3), keepdims=True)
    y *= 1 / xp.sqrt(xp.square(y).mean(axis=(1, 3), keepdims=True) + eps)
    y = y.reshape(x.shape)
    y *= weight
    y += bias
    return y


@group_norm_.backward
def group_norm_backward(g, y, x, weight, bias, *, num_groups, eps):
    shape, axes = (x.shape[0], -1, num_groups, x.shape[-1] // num_groups), tuple(range(x.ndim - 1))
    d = x.reshape(shape)
    d = d - d.mean((1, 3), keepdims=True)
    rstd = ((d * d).mean((1, 3), keepdims=True) + eps) ** -0.5
    xhat, gw = d * rstd, (g * weight).reshape(shape)
    gx = (
        gw - gw.mean((1, 3), keepdims=True) - xhat * (gw * xhat).mean((1, 3), keepdims=True)
    ) * rstd
    return gx.reshape(x.shape), (g * xhat.reshape(x.shape)).sum(axes), g.sum(axes)


def instance_norm(x: Tensor, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    """As group_norm with one channel in each group."""
    return group_norm(x, x.shape[-1], weight, bias, eps)


def batch_norm(
    x: Tensor,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """As layer_norm, over all axes but the last. In training the running statistics are updated in place."""
    weight, bias = _affine(x, weight, bias)
    xp = array_module(x.data)
    if training:
        if running_mean is not None and running_var is not None:
            axes, n = tuple(range(x.ndim - 1)), x.size // x.shape[-1]
            running_mean += momentum * (x.data.mean(axis=axes) - running_mean)
            running_var += momentum * (x.data.var(axis=axes) * (n / max(n - 1, 1)) - running_var)
        return batch_norm_(x, weight, bias, eps=float(eps))
    rstd = 1 / xp.sqrt(running_var + float(eps))
    return (x - Tensor(running_mean)) * (Tensor(rstd) * weight) + bias


@primitive
def batch_norm_(x: Array, weight: Array, bias: Array, *, eps: float) -> Array:
    axes = tuple(range(x.ndim - 1))
    xp = array_module(x)
    y = x - x.mean(axis=axes)
    y *= weight / xp.sqrt(xp.square(y).mean(axis=axes) + eps)
    y += bias
    return y


@batch_norm_.backward
def batch_norm_backward(g, y, x, weight, bias, *, eps):
    axes = tuple(range(x.ndim - 1))
    d = x - x.mean(axes)
    rstd = ((d * d).mean(axes) + eps) ** -0.5
    xhat = d * rstd
    gx = (g - g.mean(axes) - xhat * (g * xhat).mean(axes)) * (rstd * weight)
    return gx, (g * xhat).sum(axes), g.sum(axes)

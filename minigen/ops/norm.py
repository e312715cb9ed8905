"""Normalisations: y = (x - mean) / sqrt(var + eps) * weight + bias, var without correction.

They differ in the elements that share a mean and a variance:

    layer_norm     the channels of one pixel or token         Ba et al., 2016, arXiv 1607.06450
    rms_norm       the same, mean taken as 0                  Zhang and Sennrich, 2019, 1910.07467
    instance_norm  the pixels of one channel of one image     Ulyanov et al., 2016, 1607.08022
    group_norm     the same, of C / num_groups channels       Wu and He, 2018, 1803.08494
    batch_norm     the pixels of one channel of all images    Ioffe and Szegedy, 2015, 1502.03167

The channels are the last axis; weight and bias are (C,), None stands for ones and zeros. Those of
group_norm may also be (N, C), a row for each image, as an adaptive norm has them.

Gradient: with rstd = 1 / sqrt(var + eps), z = (x - mean) * rstd and h = g * weight,

    gx = rstd * (h - mean(h) - z * mean(h * z))    gweight = sum(g * z)    gbias = sum(g)

where `mean` goes over the elements that share a mean, and `sum` over all elements with the same
weight.
"""

from typing import Any

from minigen.autograd import Tensor, primitive
from minigen.backend import Array, array_module
from minigen.ops.elementwise import as_tensor, plain, silu, silu_grad
from minigen.ops.reduce import sum_product


def layer_norm(x: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    """Normalise over the last axis.

    Shapes: x (..., C), weight and bias (C,) -> (..., C).
    """
    x = as_tensor(x)
    return layer_norm_(x, *_affine("layer_norm", x, weight, bias), eps=float(eps))


@primitive
def layer_norm_(x: Array, weight: Array, bias: Array, *, eps: float) -> Array:
    """Normalise over the last axis."""
    y = x - sum_product.forward(x, axis=-1) * (1 / x.shape[-1])
    y *= (sum_product.forward(y, y, axis=-1) * (1 / x.shape[-1]) + eps) ** -0.5
    y *= weight
    y += bias
    return y


@layer_norm_.backward
def layer_norm_backward(g, y, x, weight, bias, *, eps):
    shape, C = x.shape, x.shape[-1]
    x, g = x.reshape(-1, C), g.reshape(-1, C)
    d = x - sum_product(x, axis=-1) * (1 / C)
    rstd = (sum_product(d, d, axis=-1) * (1 / C) + eps) ** -0.5  # (rows, 1)
    z, h = d * rstd, g * weight
    gx = h - z * (sum_product(h, z, axis=-1) * (1 / C)) - sum_product(h, axis=-1) * (1 / C)
    gweight = sum_product(g, z, axis=0).reshape(C) if weight.requires_grad else None
    gbias = sum_product(g, axis=0).reshape(C) if bias.requires_grad else None
    return (gx * rstd).reshape(shape), gweight, gbias


def rms_norm(x: Any, weight: Any = None, eps: float = 1e-6) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight over the last axis.

    Shapes: x (..., C), weight (C,) -> (..., C).
    """
    x = as_tensor(x)
    return rms_norm_(x, _affine("rms_norm", x, weight, None)[0], eps=float(eps))


@primitive
def rms_norm_(x: Array, weight: Array, *, eps: float) -> Array:
    """x / sqrt(mean(x^2) + eps) * weight over the last axis."""
    y = x * (sum_product.forward(x, x, axis=-1) * (1 / x.shape[-1]) + eps) ** -0.5
    y *= weight
    return y


@rms_norm_.backward
def rms_norm_backward(g, y, x, weight, *, eps):
    shape, C = x.shape, x.shape[-1]
    x, g = x.reshape(-1, C), g.reshape(-1, C)
    rstd = (sum_product(x, x, axis=-1) * (1 / C) + eps) ** -0.5  # (rows, 1)
    z, h = x * rstd, g * weight
    gx = (h - z * (sum_product(h, z, axis=-1) * (1 / C))) * rstd
    gweight = sum_product(g, z, axis=0).reshape(C) if weight.requires_grad else None
    return gx.reshape(shape), gweight


def group_norm(
    x: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Tensor:
    """Normalise over the pixels of one image and the C / num_groups channels of one group.

    Shapes: x (N, ..., C), weight and bias (C,) or (N, C) -> (N, ..., C).
    Raises: ValueError where num_groups does not divide C.
    """
    x = as_tensor(x)
    affine = _affine_of_groups("group_norm", x, num_groups, weight, bias)
    return group_norm_(x, *affine, num_groups=num_groups, eps=float(eps))


@primitive
def group_norm_(x: Array, weight: Array, bias: Array, *, num_groups: int, eps: float) -> Array:
    """Normalise over the pixels of one image and the channels of one group."""
    pixels = x.reshape(x.shape[0], -1, x.shape[-1])  # (N, P, C)
    return _normalise(pixels, weight, bias, num_groups, eps).reshape(x.shape)


@group_norm_.backward
def group_norm_backward(g, y, x, weight, bias, *, num_groups, eps):
    shape = x.shape[0], x.size // (x.shape[0] * x.shape[-1]), x.shape[-1]  # (N, P, C)
    return _normalise_backward(g, x, weight, bias, shape, num_groups, eps)


def group_norm_silu(
    x: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Tensor:
    """silu(group_norm(x)): what stands before the convolutions of a U-Net, as one op.

    Shapes: x (N, ..., C), weight and bias (C,) or (N, C) -> (N, ..., C).
    Raises: ValueError where num_groups does not divide C.
    """
    x = as_tensor(x)
    affine = _affine_of_groups("group_norm_silu", x, num_groups, weight, bias)
    return group_norm_silu_(x, *affine, num_groups=num_groups, eps=float(eps))


@primitive
def group_norm_silu_(x: Array, weight: Array, bias: Array, *, num_groups: int, eps: float) -> Array:
    """silu(group_norm(x)). The array between both is not kept."""
    return silu.forward(group_norm_.forward(x, weight, bias, num_groups=num_groups, eps=eps))


@group_norm_silu_.backward
def group_norm_silu_backward(g, y, x, weight, bias, *, num_groups, eps):
    groups = {"num_groups": num_groups, "eps": eps}
    h = group_norm_(x, weight, bias, **groups)  # not stored but redone
    return group_norm_backward(silu_grad(g, h), h, x, weight, bias, **groups)


def instance_norm(x: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    """Normalise over the pixels of one channel of one image: group_norm with C groups.

    Shapes: x (N, ..., C), weight and bias (C,) -> (N, ..., C).
    """
    x = as_tensor(x)
    affine = _affine("instance_norm", x, weight, bias)
    return group_norm_(x, *affine, num_groups=x.shape[-1], eps=float(eps))


def batch_norm(
    x: Any,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise over the pixels of one channel of all images.

    In training by the batch, and both running statistics are moved in place towards the batch's by
    the share `momentum`, the variance with correction 1; else by the running statistics.

    Shapes: x (N, ..., C), all others (C,) -> (N, ..., C).
    """
    x = as_tensor(x)
    weight, bias = _affine("batch_norm", x, weight, bias)
    running_mean, running_var = plain(running_mean), plain(running_var)
    if training:
        if running_mean is not None and running_var is not None:
            _follow(x.data, running_mean, running_var, momentum)
        return batch_norm_(x, weight, bias, eps=float(eps))
    if running_mean is None or running_var is None:
        raise ValueError("batch_norm: without training it needs running_mean and running_var")
    scale = as_tensor((running_var + float(eps)) ** -0.5) * weight
    return x * scale + (bias - scale * running_mean)


def _follow(x: Array, running_mean: Array, running_var: Array, momentum: float) -> None:
    n, rows = x.size // x.shape[-1], x.reshape(-1, x.shape[-1])
    mean = sum_product.forward(rows, axis=0)[0] * (1 / n)
    d = rows - mean
    var = sum_product.forward(d, d, axis=0)[0] * (1 / max(n - 1, 1))
    running_mean += float(momentum) * (mean - running_mean)
    running_var += float(momentum) * (var - running_var)


@primitive
def batch_norm_(x: Array, weight: Array, bias: Array, *, eps: float) -> Array:
    """Normalise over the pixels of one channel of all images: they are the pixels of one image."""
    pixels = x.reshape(1, -1, x.shape[-1])  # (1, N * P, C)
    return _normalise(pixels, weight, bias, x.shape[-1], eps).reshape(x.shape)


@batch_norm_.backward
def batch_norm_backward(g, y, x, weight, bias, *, eps):
    C = x.shape[-1]
    return _normalise_backward(g, x, weight, bias, (1, x.size // C, C), C, eps)


# ------------------------------------------------ what group_norm and batch_norm have in common


@primitive
def group_mean(sums: Array, *, num_groups: int, pixels: int) -> Array:
    """Sums over the pixels -> means over the pixels and channels of each group, for each channel.

    Shapes: (N, 1, C) -> (N, 1, C). The map is its own transpose.
    """
    N, _, C = sums.shape
    groups = sums.reshape(N, 1, num_groups, C // num_groups)
    means = groups.sum(axis=-1, keepdims=True) * (num_groups / (pixels * C))  # (N, 1, G, 1)
    return array_module(sums).broadcast_to(means, groups.shape).reshape(N, 1, C)


@group_mean.backward
def group_mean_backward(g, y, sums, *, num_groups, pixels):
    return group_mean(g, num_groups=num_groups, pixels=pixels)


def _normalise(x: Array, weight: Array, bias: Array, num_groups: int, eps: float) -> Array:
    """x (N, P, C): pixels are summed first, for each channel, then the channels of a group."""
    groups = {"num_groups": num_groups, "pixels": x.shape[1]}
    y = x - group_mean.forward(sum_product.forward(x, axis=1), **groups)
    var = group_mean.forward(sum_product.forward(y, y, axis=1), **groups)
    y *= (var + eps) ** -0.5 * weight.reshape(-1, 1, x.shape[2])  # (1 or N, 1, C)
    y += bias.reshape(-1, 1, x.shape[2])
    return y


def _normalise_backward(g, x, weight, bias, shape, num_groups, eps):
    """The gradient above, with d = x - mean and all that is alike for the pixels put together:

    gx = g * (rstd * weight) - d * (rstd^3 * mean(h * d)) - rstd * mean(h)
    """
    groups = {"num_groups": num_groups, "pixels": shape[1]}
    original, x, g = x.shape, x.reshape(shape), g.reshape(shape)
    w = weight.reshape(-1, 1, shape[2])  # (1 or N, 1, C)
    d = x - group_mean(sum_product(x, axis=1), **groups)
    rstd = (group_mean(sum_product(d, d, axis=1), **groups) + eps) ** -0.5  # (N, 1, C)
    sum_g, sum_gd = sum_product(g, axis=1), sum_product(g, d, axis=1)
    mean_h = group_mean(sum_g * w, **groups)
    mean_hz = group_mean(sum_gd * w, **groups) * rstd
    gx = g * (rstd * w) - (d * (rstd * rstd * mean_hz) + rstd * mean_h)
    gweight = _for_images(sum_gd * rstd, weight) if weight.requires_grad else None
    gbias = _for_images(sum_g, bias) if bias.requires_grad else None
    return gx.reshape(original), gweight, gbias


def _for_images(sums: Tensor, like: Tensor) -> Tensor:
    """A gradient (N, 1, C) as that of a weight: (C,), the same for all images, or (N, C)."""
    return sums.sum((0, 1)) if like.ndim == 1 else sums.reshape(like.shape)


def _affine_of_groups(
    name: str, x: Tensor, num_groups: int, weight: Any, bias: Any
) -> tuple[Any, Any]:
    """Weight and bias, that may have a row for each image."""
    if x.shape[-1] % num_groups:
        raise ValueError(
            f"{name}: x has C = {x.shape[-1]} channels, expected a multiple of {num_groups}"
        )
    return _affine(name, x, weight, bias, (x.shape[0], x.shape[-1]))


def _affine(
    name: str, x: Tensor, weight: Any, bias: Any, rows: tuple[int, ...] | None = None
) -> tuple[Any, Any]:
    """Weight and bias of shape (C,) or `rows`, ones and zeros in the place of None."""
    xp, C = array_module(x.data), x.shape[-1]
    for what, given in (("weight", weight), ("bias", bias)):
        if given is not None and given.shape not in ((C,), rows):
            raise ValueError(f"{name}: x has C = {C} channels, {what} has shape {given.shape}")
    return (
        xp.ones(C, x.dtype) if weight is None else weight,
        xp.zeros(C, x.dtype) if bias is None else bias,
    )

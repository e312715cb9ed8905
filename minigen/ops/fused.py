"""Ops that are two others in a row, for kernels that do both without the array between them.

Unless such a kernel is asked for by name, the two run one after the other, each on its own kernel.
"""

from typing import Any

from minigen.autograd import Tensor, primitive
from minigen.backend import Array, is_named
from minigen.ops.conv import conv2d, conv2d_input_grad, conv2d_weight_grad
from minigen.ops.norm import group_norm_silu, group_norm_silu_, group_norm_silu_backward


def group_norm_silu_conv2d(
    x: Any, num_groups: int, weight: Any, bias: Any, w: Any, eps: float = 1e-5
) -> Tensor:
    """conv2d(group_norm_silu(x, num_groups, weight, bias), w, padding=1): half of a ResBlock.

    Shapes: x (N, H, W, C), weight and bias (C,) or (N, C), w (3, 3, C, O) -> (N, H, W, O).
    Kernels: kernels/group_norm_silu_conv2d, by name only.
    """
    if not is_named("group_norm_silu_conv2d"):
        return conv2d(group_norm_silu(x, num_groups, weight, bias, eps), w, padding=1)
    return group_norm_silu_conv2d_(x, weight, bias, w, num_groups=num_groups, eps=float(eps))


@primitive
def group_norm_silu_conv2d_(
    x: Array, weight: Array, bias: Array, w: Array, *, num_groups: int, eps: float
) -> Array:
    """conv2d(group_norm_silu(x), w, padding=1). The array between both is not kept."""
    h = group_norm_silu_.forward(x, weight, bias, num_groups=num_groups, eps=eps)
    return conv2d.forward(h, w, stride=1, padding=1)


@group_norm_silu_conv2d_.backward
def group_norm_silu_conv2d_backward(g, y, x, weight, bias, w, *, num_groups, eps):
    groups = {"num_groups": num_groups, "eps": eps}
    h = group_norm_silu_(x, weight, bias, **groups)  # not stored but redone
    gw = None
    if w.requires_grad:
        gw = conv2d_weight_grad(g, h, kernel_size=w.shape[:2], stride=1, padding=1)
    gh = conv2d_input_grad(g, w, size=x.shape[1:3], stride=1, padding=1)
    return *group_norm_silu_backward(gh, h, x, weight, bias, **groups), gw

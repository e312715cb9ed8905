"""Activations in which one half of the channels opens or closes the other."""

from minigen.autograd import primitive
from minigen.backend import Array
from minigen.ops.elementwise import sigmoid, tanh
from minigen.ops.shape import concat


@primitive
def gated_tanh(x: Array) -> Array:
    """tanh(a) * sigmoid(b), a the first half of the last axis and b the second.

    Shapes: (..., 2 C) -> (..., C).
    Raises: ValueError for an odd number of channels.
    Source: van den Oord et al., 2016, eq. 2, arXiv 1606.05328.
    Kernels: kernels/gated_tanh.
    """
    C, odd = divmod(x.shape[-1], 2)
    if odd:
        raise ValueError(f"gated_tanh: x has {x.shape[-1]} channels, expected an even number")
    return tanh.forward(x[..., :C]) * sigmoid.forward(x[..., C:])


@gated_tanh.backward
def gated_tanh_backward(g, y, x):
    C = y.shape[-1]
    t, s = tanh(x[..., :C]), sigmoid(x[..., C:])
    return concat([g * s * (1 - t * t), g * t * s * (1 - s)])

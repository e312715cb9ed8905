"""Convolution layers, channels last."""

from typing import Any

import numpy as np

from minigen.autograd import Tensor
from minigen.nn import init
from minigen.nn.module import Module, Parameter
from minigen.ops import conv2d, conv_transpose2d

Pair = int | tuple[int, int]


def _filter(
    kernel_size: Pair, in_channels: int, out_channels: int, rng: np.random.Generator
) -> Parameter:
    KH, KW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    return Parameter(init.lecun_normal((KH, KW, in_channels, out_channels), rng=rng))


class Conv2d(Module):
    """A filter slid over the picture: ops.conv2d plus a bias for each output channel.

    Shapes: x (N, H, W, C) -> (N, OH, OW, O) with OH = floor((H + 2 padding - KH) / stride) + 1;
    weight (KH, KW, C, O). Weights start with variance 1 / (KH KW C), the bias with 0.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair = 0,
        bias: bool = True,
        *,
        rng: np.random.Generator,
    ):
        self.weight = _filter(kernel_size, in_channels, out_channels, rng)
        self.bias = Parameter(np.zeros(out_channels, np.float32)) if bias else None
        self.stride, self.padding = stride, padding

    def forward(self, x: Any) -> Tensor:
        y = conv2d(x, self.weight, stride=self.stride, padding=self.padding)
        return y if self.bias is None else y + self.bias


class ConvTranspose2d(Module):
    """Each pixel spread over a patch of a larger picture: ops.conv_transpose2d plus a bias.

    Shapes: x (N, H, W, C) -> (N, OH, OW, O) with OH = (H-1) stride - 2 padding + KH +
    output_padding; weight (KH, KW, C, O). Weights start with variance 1 / (KH KW C), the bias with
    0.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair = 0,
        output_padding: Pair = 0,
        bias: bool = True,
        *,
        rng: np.random.Generator,
    ):
        self.weight = _filter(kernel_size, in_channels, out_channels, rng)
        self.bias = Parameter(np.zeros(out_channels, np.float32)) if bias else None
        self.stride, self.padding, self.output_padding = stride, padding, output_padding

    def forward(self, x: Any) -> Tensor:
        y = conv_transpose2d(x, self.weight, self.stride, self.padding, self.output_padding)
        return y if self.bias is None else y + self.bias

"""Parts of networks that translate pictures: a judge of patches, a convolution that grows.

PatchGAN: every answer is about one patch, and depends on no pixel outside of it. So D judges what
things are made of, not the whole picture, needs few weights, and works at any size of picture.

    x -> [conv 4 x 4 of stride 2 -> leaky relu], the last one of stride 1 -> conv 4 x 4 -> answers
    field = 1 + sum over layers of (KH - 1) product of the strides before               (1)

With 2, 3, 4 entries in `channels` a patch has 16, 34, 70 pixels along each side.

Source: Isola, Zhu, Zhou and Efros, 2016, section 3.2.2 and appendix 6.1.2, arXiv 1611.07004.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigen.autograd import Tensor
from minigen.nn import init
from minigen.nn.conv import Conv2d
from minigen.nn.module import Module, ModuleList
from minigen.ops import leaky_relu, upsample


class PatchDiscriminator(Module):
    """x (N, H, W, in_channels) -> logits or scores of patches (N, OH, OW, 1).

    There is no norm in it: one over the picture would make answers depend on other patches, and
    forgets which colour a flat picture has.

    Raises: ValueError for pictures smaller than a patch needs.
    """

    def __init__(self, in_channels: int, channels: Sequence[int], *, rng: np.random.Generator):
        self.in_channels = in_channels
        self.layers: Any = ModuleList()  # of Conv2d
        ins = (in_channels, *channels)
        for level, (C, O) in enumerate(zip(ins, [*channels, 1])):
            stride = 2 if level < len(channels) - 1 else 1
            conv = Conv2d(C, O, 4, stride=stride, padding=1, rng=rng)
            conv.weight.data[...] = init.he_normal(conv.weight.shape, rng=rng)
            self.layers.append(conv)
        self.least = 3 * 2 ** (len(channels) - 1)  # pixels that leave an answer

    @property
    def receptive_field(self) -> int:
        """Pixels along each side of the patch that an answer is about, eq. 1."""
        field, step = 1, 1
        for conv in self.layers:
            field, step = field + 3 * step, step * conv.stride
        return field

    def forward(self, x: Any) -> Tensor:
        if x.ndim != 4 or x.shape[-1] != self.in_channels or min(x.shape[1:3]) < self.least:
            raise ValueError(
                f"PatchDiscriminator: x is {tuple(x.shape)}, expected (N, H, W, "
                f"{self.in_channels}) with at least {self.least} pixels along each side"
            )
        *hidden, last = self.layers
        for conv in hidden:
            x = leaky_relu(conv(x), negative_slope=0.2)  # (N, H, W, C) -> (N, H/2, W/2, O)
        return last(x)


class ResizeConv2d(Module):
    """Each pixel a square of 2 x 2, then a 3 x 3 convolution: (N, H, W, C) -> (N, 2H, 2W, O).

    Every pixel of the output is a sum of as many terms. In a transposed convolution whose filter is
    no multiple of its stride some have more than others, and a checkerboard shows.

    Source: Odena, Dumoulin and Olah, 2016, doi 10.23915/distill.00003.
    """

    def __init__(self, in_channels: int, out_channels: int, *, rng: np.random.Generator):
        self.conv = Conv2d(in_channels, out_channels, 3, padding=1, rng=rng)

    def forward(self, x: Any) -> Tensor:
        return self.conv(upsample(x, 2))

"""The two halves of a convolutional autoencoder: a picture to a small map of vectors, and back.

    x (N, H, W, C) -> [shrink, ResBlocks] at every level -> norm -> z (N, H/2^n, W/2^n, width)
    y (N, H, W, C) <- output <- [grow, ResBlocks] at every level <- input <- z

There is no way around the map in the middle: unlike a U-Net, all that the decoder knows of the
picture is there. Sizes are free, as long as they can be halved at every level.

Source: Esser et al., 2021, table 7, arXiv 2012.09841; Rombach et al., 2022, appendix G, arXiv
2112.10752; both with attention at the lowest level, which is left out here.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigen.autograd import Tensor
from minigen.nn.blocks import ResBlock
from minigen.nn.conv import Conv2d
from minigen.nn.linear import Linear
from minigen.nn.module import Module, ModuleList, Sequential
from minigen.nn.norm import GroupNorm
from minigen.nn.unet import Down, Up
from minigen.ops import pixel_shuffle


class Encoder(Module):
    """Pictures to maps of `width` channels, half the size at each of the levels of `channels`.

    blocks  ResBlocks at each level

    Shapes: x (N, H, W, in_channels) -> (N, H / 2^levels, W / 2^levels, width).
    Raises: ValueError where x has other channels, a size that cannot be halved so often, or
    numbers outside [-1, 1].
    """

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int],
        width: int,
        blocks: int = 1,
        *,
        rng: np.random.Generator,
    ):
        self.in_channels, self.factor = in_channels, 2 ** len(channels)
        self.shrink, self.blocks = ModuleList(), ModuleList()
        for before, here in zip([in_channels, *channels], channels):
            self.shrink.append(Down(before, here, rng=rng))
            self.blocks.append(_row(here, blocks, rng))
        self.norm = GroupNorm(8, channels[-1], silu=True)
        self.output = Linear(channels[-1], width, rng=rng)

    def forward(self, x: Any) -> Tensor:
        if x.ndim != 4 or x.shape[-1] != self.in_channels:
            raise ValueError(
                f"Encoder: x is {tuple(x.shape)}, expected (N, H, W, {self.in_channels})"
            )
        if x.shape[1] % self.factor or x.shape[2] % self.factor:
            raise ValueError(
                f"Encoder: x has {x.shape[1]} x {x.shape[2]} pixels, expected multiples of "
                f"{self.factor}"
            )
        data = x.data if isinstance(x, Tensor) else x
        if not -1.001 <= float(data.min()) <= float(data.max()) <= 1.001:
            raise ValueError(
                f"Encoder: x lies between {data.min():.4g} and {data.max():.4g}, expected pictures "
                "in [-1, 1]"
            )
        for shrink, row in zip(self.shrink, self.blocks, strict=True):
            x = row(shrink(x))  # (N, H, W, C) -> (N, H / 2, W / 2, C of the level)
        return self.output(self.norm(x))


class Decoder(Module):
    """Maps of `width` channels to pictures: the Encoder of the same numbers, backwards.

    Shapes: z (N, H / 2^levels, W / 2^levels, width) -> (N, H, W, out_channels).
    """

    def __init__(
        self,
        out_channels: int,
        channels: Sequence[int],
        width: int,
        blocks: int = 1,
        *,
        rng: np.random.Generator,
    ):
        down = [*reversed(channels)]
        self.input = Conv2d(width, down[0], 3, padding=1, rng=rng)
        self.blocks, self.grow = ModuleList(), ModuleList()
        for here, after in zip(down, [*down[1:], None]):
            self.blocks.append(_row(here, blocks, rng))
            if after is not None:
                self.grow.append(Up(here, after, rng=rng))
        self.norm = GroupNorm(8, down[-1], silu=True)
        self.output = Conv2d(down[-1], 4 * out_channels, 3, padding=1, rng=rng)

    def forward(self, z: Any) -> Tensor:
        h = self.input(z)
        for level, row in enumerate(self.blocks):
            h = row(h)
            if level < len(self.grow):
                h = self.grow[level](h)  # (N, H, W, C) -> (N, 2H, 2W, C of the next level)
        return pixel_shuffle(self.output(self.norm(h)), 2)  # each vector a square of 2 x 2 pixels


def _row(channels: int, blocks: int, rng: np.random.Generator) -> Sequential:
    return Sequential(*(ResBlock(channels, channels, rng=rng) for _ in range(blocks)))

"""DCGAN: the two networks of a GAN for pictures, with which such a training is stable.

Radford, Metz, Chintala, Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks, 2015, arXiv 1511.06434; the generator's upsampling by Odena, Dumoulin and
Olah, Deconvolution and Checkerboard Artifacts, 2016, doi 10.23915/distill.00003.

The idea: no pooling and no hidden fully connected layer, but strides; batch norm keeps the signals
at one size, in G before every rectifier and in D but for its first layer, which must see colours as
they are; rectifiers in G, leaky ones in D; tanh at the end of G. Losses: those of gan.py.

    G: z -> linear -> [BN, relu -> twice the size, conv] ... -> tanh
    D: x -> [conv of stride 2 -> BN, leaky relu] ... -> linear -> logit               section 3

A transposed convolution, with which the paper's G grows, adds up more terms in some pixels than in
others where its filter's size is no multiple of the stride, and a checkerboard shows. Here each
pixel is first made a square of four, then convolved: all pixels are sums of as many terms.

Shapes: z (N, latents), x and G(z) (N, size, size, colours) in [-1, 1], logits (N,).

Differs from the paper in: pictures of 28 pixels with two levels, filters of 3 and 4 pixels, G grows
as above (`upsample="transposed"` grows as in the paper), He's initial weights in D, z is normal.
Without batch norm in D the same networks do for wgan_gp.py, and with spectral norm in its place for
Miyato et al., 2018, arXiv 1802.05957.

Recipe: minigen/recipes/picture_gan.py.
Derivation: docs/derivations/gan.md.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen import nn
from minigen.autograd import Tensor
from minigen.nn import init
from minigen.ops import leaky_relu, relu, tanh

D_NORMS = ("batch", "spectral", "none")
UPSAMPLES = ("resize", "transposed")


@dataclass(frozen=True)
class DCGANConfig:
    """Sizes of the two networks."""

    size: int = 28  # pixels along each side, halved once for each level
    colours: int = 1  # channels of a picture
    latents: int = 100  # numbers in z
    g_channels: tuple[int, ...] = (64, 32)  # of G at each level, the smallest picture first
    d_channels: tuple[int, ...] = (32, 64)  # of D after each level, the largest picture first
    d_norm: str = "batch"  # of D's layers but the first; spectral norm of all its layers
    upsample: str = "resize"  # how G grows
    pack: int = 1  # pictures that D is shown at once, see pac_gan.py

    def __post_init__(self) -> None:
        for name, allowed in (("d_norm", D_NORMS), ("upsample", UPSAMPLES)):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"dcgan: {name} is {getattr(self, name)!r}, expected {' or '.join(allowed)}"
                )
        for channels in (self.g_channels, self.d_channels):
            if not channels or self.size % 2 ** len(channels):
                raise ValueError(
                    f"dcgan: a picture of {self.size} pixels cannot be halved {len(channels)} times"
                )


class Generator(nn.Module):
    """z (N, latents) -> pictures (N, size, size, colours)."""

    def __init__(self, config: DCGANConfig, *, rng: np.random.Generator):
        self.latents, levels = config.latents, len(config.g_channels)
        side = config.size // 2**levels
        self.shape = (side, side, config.g_channels[0])
        self.start = nn.Linear(config.latents, math.prod(self.shape), bias=False, rng=rng)
        self.norms, self.grow = nn.ModuleList(), nn.ModuleList()
        for here, after in zip(config.g_channels, (*config.g_channels[1:], config.colours)):
            self.norms.append(nn.BatchNorm2d(here))
            self.grow.append(_grow(config.upsample, here, after, rng))

    def forward(self, z: Any) -> Tensor:
        h = self.start(z).reshape(len(z), *self.shape)  # (N, latents) -> (N, H, W, C)
        for norm, grow in zip(self.norms, self.grow, strict=True):
            h = grow(relu(norm(h)))  # (N, H, W, C) -> (N, 2H, 2W, C of the next level)
        return tanh(h)


def _grow(how: str, C: int, O: int, rng: np.random.Generator) -> nn.Module:
    if how == "resize":
        return nn.ResizeConv2d(C, O, rng=rng)
    return nn.ConvTranspose2d(C, O, 5, stride=2, padding=2, output_padding=1, rng=rng)


class Discriminator(nn.Module):
    """x (N, size, size, pack colours) -> logits (N,) of being real, or scores."""

    def __init__(self, config: DCGANConfig, *, rng: np.random.Generator):
        ins = (config.pack * config.colours, *config.d_channels[:-1])
        side = config.size // 2 ** len(config.d_channels)

        def layer(module: Any) -> nn.Module:
            module.weight.data[...] = init.he_normal(module.weight.shape, rng=rng)
            return nn.SpectralNorm(module, rng=rng) if config.d_norm == "spectral" else module

        self.shrink, self.norms = nn.ModuleList(), nn.ModuleList()
        for level, (C, O) in enumerate(zip(ins, config.d_channels)):
            self.shrink.append(layer(nn.Conv2d(C, O, 4, stride=2, padding=1, rng=rng)))
            normed = config.d_norm == "batch" and level > 0
            self.norms.append(nn.BatchNorm2d(O) if normed else nn.Sequential())
        self.vote = layer(nn.Linear(side * side * config.d_channels[-1], 1, rng=rng))

    def forward(self, x: Any) -> Tensor:
        for shrink, norm in zip(self.shrink, self.norms, strict=True):
            x = leaky_relu(norm(shrink(x)), negative_slope=0.2)  # (N, H, W, C) -> (N, H/2, W/2, O)
        return self.vote(x.reshape(len(x), -1)).reshape(len(x))  # (N,)

"""Pix2Pix: from one kind of picture to another, learnt from pairs.

Isola, Zhu, Zhou, Efros, Image-to-Image Translation with Conditional Adversarial Networks, 2016,
arXiv 1611.07004.

The idea: where several colourings of a drawing are right, the one with the smallest error is their
mean, and grey. A discriminator that sees drawing and colouring together knows that grey is wrong,
and asks for any colouring that could be true; the error keeps what is certain. G is a U-Net: both
pictures have the same lines at the same places, so they are handed over beside the bottleneck. D
judges patches, as the error has judged the whole already.

    L_cGAN(G, D) = E log D(x, y) + E log(1 - D(x, G(x)))                                         (1)
    L_L1(G)      = E |y - G(x)|_1                                                                (3)
    G*           = arg min over G, max over D of  L_cGAN(G, D) + weight L_L1(G)                  (4)

    G: x -> [conv 4 x 4 of stride 2 -> norm, leaky relu] at each level
         -> [twice the size, conv 3 x 3 -> norm, relu, dropout; beside it, what came to the level]
         -> conv 3 x 3 -> tanh

G maximises log D(x, G(x)), as in gan.py, and D's loss is halved (section 3.3). The mean of L1 is
over pixels and channels.

Shapes: x (N, H, W, in_channels), y and G(x) (N, H, W, out_channels), all in [-1, 1]; H and W can be
halved at every level; D(x, y) (N, OH, OW, 1) logits, one for each patch.

Differs from the paper in: pictures of 32 pixels with four levels; the first skip is x itself;
G grows by nn.ResizeConv2d, not by transposed convolutions; group norm in the place of batch norm,
none in D; the dropout that is the paper's noise rests in use, so a drawing has one answer.

Recipe: minigen/recipes/openmoji_pix2pix.py. Derivation: docs/derivations/pix2pix.md.
Notebook: notebooks/19_translation.ipynb.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen import nn
from minigen.autograd import Tensor, no_grad
from minigen.backend import Array
from minigen.ops import bce_with_logits, concat, l1_loss, leaky_relu, relu, sigmoid, tanh


@dataclass(frozen=True)
class Pix2PixConfig:
    """Sizes of the two networks, and the weight of eq. 4."""

    in_channels: int = 1  # of x
    out_channels: int = 3  # of y
    channels: tuple[int, ...] = (32, 64, 128, 128)  # of G after each halving
    d_channels: tuple[int, ...] = (32, 64)  # of D: patches of 16 pixels
    dropout: float = 0.5  # in the two lowest levels on the way up
    l1_weight: float = 100.0  # lambda
    num_groups: int = 8  # of every norm

    def __post_init__(self) -> None:
        if not self.channels or not self.d_channels:
            raise ValueError("pix2pix: channels and d_channels need one entry at least")


class Generator(nn.Module):
    """x (N, H, W, in_channels) -> (N, H, W, out_channels) in [-1, 1].

    Raises: ValueError for other channels, or a size that cannot be halved at every level.
    """

    def __init__(self, config: Pix2PixConfig, *, rng: np.random.Generator):
        self.config = config
        seen = (config.in_channels, *config.channels)  # channels at every size, the largest first
        self.shrink, self.down_norms = nn.ModuleList(), nn.ModuleList()
        for level, (C, O) in enumerate(zip(seen, config.channels)):
            self.shrink.append(nn.Conv2d(C, O, 4, stride=2, padding=1, rng=rng))
            norm = nn.GroupNorm(config.num_groups, O) if level else nn.Sequential()
            self.down_norms.append(norm)  # none at first: lines are told by how dark they are
        self.grow, self.up_norms, self.noise = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        below = config.channels[-1]
        for level in reversed(range(len(config.channels))):
            O = config.channels[max(level - 1, 0)]
            self.grow.append(nn.ResizeConv2d(below, O, rng=rng))
            self.up_norms.append(nn.GroupNorm(config.num_groups, O))
            noisy = level >= len(config.channels) - 2
            self.noise.append(nn.Dropout(config.dropout if noisy else 0.0, rng=rng))
            below = O + seen[level]
        self.output = nn.Conv2d(below, config.out_channels, 3, padding=1, rng=rng)

    def forward(self, x: Any) -> Tensor:
        self._check(x)
        h, skips = x, []
        for shrink, norm in zip(self.shrink, self.down_norms, strict=True):
            skips.append(h)
            h = leaky_relu(norm(shrink(h)), negative_slope=0.2)  # -> (N, H/2, W/2, O)
        for grow, norm, noise in zip(self.grow, self.up_norms, self.noise, strict=True):
            h = noise(relu(norm(grow(h))))  # -> (N, 2H, 2W, O)
            h = concat([h, skips.pop()], axis=-1)  # -> (N, 2H, 2W, O + C of the level)
        return tanh(self.output(h))

    def _check(self, x: Any) -> None:
        C, factor = self.config.in_channels, 2 ** len(self.config.channels)
        if x.ndim != 4 or x.shape[-1] != C or x.shape[1] % factor or x.shape[2] % factor:
            raise ValueError(
                f"pix2pix: x is {tuple(x.shape)}, expected (N, H, W, {C}) with H and W multiples "
                f"of {factor}"
            )


class Pix2Pix(nn.Module):
    """Both networks under their names."""

    def __init__(self, config: Pix2PixConfig, *, rng: np.random.Generator):
        self.config = config
        self.G = Generator(config, rng=rng)
        both = config.in_channels + config.out_channels
        self.D = nn.PatchDiscriminator(both, config.d_channels, rng=rng)

    def judge(self, x: Any, y: Any) -> Tensor:
        """D(x, y): logits of patches of y being true beside x, (N, OH, OW, 1)."""
        return self.D(concat([x, y], axis=-1))


def discriminator_loss(
    model: Pix2Pix, batch: tuple[Array, Array], rng: np.random.Generator
) -> tuple[Tensor, dict[str, float]]:
    """-1/2 E log D(x, y) - 1/2 E log(1 - D(x, G(x))), eq. 1 for D, over all patches.

    It is log 2 = 0.69 where D cannot tell. Numbers for the log: the mean probability of being true
    that D gives to true patches, and to made ones.

    Shapes: batch is x (N, H, W, in_channels) and y (N, H, W, out_channels) -> a scalar.
    """
    x, y = (Tensor(part) for part in batch)
    with no_grad():
        fake = model.G(x)
    on_real, on_fake = model.judge(x, y), model.judge(x, fake)
    loss = (bce_with_logits(on_real, 1.0) + bce_with_logits(on_fake, 0.0)) * 0.5
    with no_grad():
        numbers = {"D_real": sigmoid(on_real).mean(), "D_fake": sigmoid(on_fake).mean()}
    return loss, {name: value.item() for name, value in numbers.items()}


def generator_loss(
    model: Pix2Pix, batch: tuple[Array, Array], rng: np.random.Generator
) -> tuple[Tensor, dict[str, float]]:
    """-E log D(x, G(x)) + weight E |y - G(x)|, eq. 4 for G. The log gets both parts.

    Shapes: batch is x (N, H, W, in_channels) and y (N, H, W, out_channels) -> a scalar.
    """
    x, y = (Tensor(part) for part in batch)
    fake = model.G(x)
    deceived, error = bce_with_logits(model.judge(x, fake), 1.0), l1_loss(fake, y)  # eq. 3
    loss = deceived + error * model.config.l1_weight
    return loss, {"G_gan": deceived.item(), "G_l1": error.item()}


def translate(model: Pix2Pix, x: Array) -> Array:
    """G(x), in eval mode without noise.

    Shapes: (N, H, W, in_channels) -> (N, H, W, out_channels), float32.
    """
    with no_grad():
        return model.G(Tensor(x)).data

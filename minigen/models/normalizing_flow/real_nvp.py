"""RealNVP: affine couplings between the two colours of a checkerboard, and between channels.

Laurent Dinh, Jascha Sohl-Dickstein, Samy Bengio, Density estimation using Real NVP, 2016,
arXiv 1605.08803.

The idea: NICE's coupling may scale as well as shift, and still be undone, because the half that
decides passes unchanged. On pictures the halves are the two colours of a checkerboard, then, when
every 2 x 2 square has become a pixel of more channels, half of these. After each scale half of the
channels are done and leave.

    y_a = x_a,   y_b = x_b exp(s(x_a)) + t(x_a)                                   (4), (5)
    log |det dy/dx| = sum(s(x_a))                                                 (6)
    log p(x) = log N(f(x); 0, I) + log |det df/dx|                                (3)

Shapes: x (N, H, W, C) in [0, 1], H and W multiples of 2^scales -> z (N, H W C), log_det (N,).

Differs from the paper in: the checkerboards are laid out by squeezing first, so that no network
works on masked pixels (nn.invertible.checkerboard); 7 being odd, there is none at the last scale.
Group norm stands in the place of batch norm in the networks, and Glow's actnorm between couplings:
a picture's likelihood depends on no other picture. silu stands in the place of relu.

Recipe: minigen/recipes/mnist_normalizing_flow.py.
Derivation: docs/derivations/normalizing_flows.md.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen import nn
from minigen.autograd import Tensor, no_grad
from minigen.backend import Array
from minigen.nn.init import zeroed
from minigen.nn.invertible import (
    ActNorm,
    Chain,
    Coupling,
    Invertible,
    Logit,
    MultiScale,
    Permute,
    Squeeze,
    check_shape,
    checkerboard,
    normal_log_prob,
)


@dataclass(frozen=True)
class RealNVPConfig:
    """Sizes of the flow."""

    shape: tuple[int, int, int] = (28, 28, 1)  # of a picture, H and W multiples of 2^scales
    couplings: tuple[int, ...] = (2, 3)  # of each kind of mask at each scale
    widths: tuple[int, ...] = (32, 64)  # channels inside the networks at each scale
    blocks: int = 1  # residual blocks of a network
    alpha: float = 1e-5  # of the logit


class CouplingNet(nn.Module):
    """A convolution, residual blocks, and a convolution that starts at 0.

    Shapes: (N, H, W, C / 2) -> (N, H, W, C).
    Source: section 3.2 and 4.1, "deep convolutional residual networks".
    """

    def __init__(self, C: int, width: int, blocks: int, *, rng: np.random.Generator):
        self.input = nn.Conv2d(C // 2, width, 3, padding=1, rng=rng)
        self.blocks = nn.ModuleList([nn.ResBlock(width, width, rng=rng) for _ in range(blocks)])
        self.norm = nn.GroupNorm(8, width, silu=True)
        self.output = zeroed(nn.Conv2d(width, C, 3, padding=1, rng=rng))

    def forward(self, a: Tensor) -> Tensor:
        h = self.input(a)  # (N, H, W, width)
        for block in self.blocks:
            h = block(h)
        return self.output(self.norm(h))


class RealNVP(Invertible):
    """At every scale checkerboard couplings, channel couplings, and half of the channels leave."""

    def __init__(self, config: RealNVPConfig, *, rng: np.random.Generator):
        self.config = config
        H, W, C = config.shape
        self.logit = Logit(config.alpha)
        levels, shapes = [], []
        for couplings, width in zip(config.couplings, config.widths, strict=True):
            H, W, C = H // 2, W // 2, 4 * C

            board = checkerboard(C)
            layers: list[Invertible] = [Squeeze(), Permute(board)]
            layers += self._couplings(couplings, C, width, rng)
            layers.append(Permute(np.argsort(board)))
            layers += self._couplings(couplings, C, width, rng)
            levels.append(Chain(layers))
            shapes.append((H, W, C))
            C = C // 2
        self.scales = MultiScale(levels, shapes)

    def _couplings(self, n: int, C: int, width: int, rng: np.random.Generator) -> list[Invertible]:
        """The halves in turns."""
        layers: list[Invertible] = []
        for i in range(n):
            net = CouplingNet(C, width, self.config.blocks, rng=rng)
            layers += [ActNorm(C), Coupling(net, C, flipped=i % 2 == 1)]
        return layers

    def forward(self, x: Any) -> tuple[Tensor, Tensor]:
        check_shape("RealNVP", x, self.config.shape)
        x, opened = self.logit(x)
        z, log_det = self.scales(x)
        return z, opened + log_det

    def inverse(self, z: Any) -> Tensor:
        return self.logit.inverse(self.scales.inverse(z))


def log_prob(model: RealNVP, x: Any) -> Tensor:
    """log p(x) in nats, the density of pictures whose numbers lie in [0, 1].

    Shapes: (N, H, W, C) -> (N,).
    Raises: ValueError for pictures of another shape, or numbers outside [0, 1].
    """
    z, log_det = model(x)
    return normal_log_prob(z) + log_det  # eq. 3


def loss(model: RealNVP, x: Array, rng: np.random.Generator) -> Tensor:
    """-log p(x), mean over the batch, in nats a picture."""
    return -log_prob(model, Tensor(x)).mean()


def sample(model: RealNVP, n: int, rng: np.random.Generator, temperature: float = 1.0) -> Array:
    """Draw `n` pictures in [0, 1]; z has the standard deviation `temperature`."""
    H, W, C = model.config.shape
    z = temperature * rng.standard_normal((n, H * W * C)).astype(np.float32)
    with no_grad():
        return model.inverse(z).data.clip(0, 1)

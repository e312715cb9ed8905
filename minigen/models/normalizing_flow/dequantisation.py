"""Dequantisation: noise that makes densities of whole numbers.

Jonathan Ho, Xi Chen, Aravind Srinivas, Yan Duan, Pieter Abbeel, Flow++: Improving Flow-Based
Generative Models with Variational Dequantization and Architecture Design, 2019, arXiv 1902.00275.
Uniform noise: Theis, van den Oord, Bethge, A note on the evaluation of generative models, 2015,
arXiv 1511.01844.

The idea: a picture has 256 greys, a flow has a density, and a density of points can be made as
large as one likes. So each grey becomes an interval, and the probability of a picture is the
integral of the density over its cube. Noise u drawn from any q(u | picture) bounds it from below;
uniform noise asks the flow to fill cubes with sharp edges, learned noise only asks for what a flow
can do.

    P(g) = integral over the cube of p(x),   x = (g + u) / 256,   u in [0, 1)^D
    log P(g) >= E log p(x) - log q(x | g)                                               (11), (12)

q is a flow as well, conditioned on the picture: u = sigmoid(f(eps; g)), eps ~ N(0, I).

Shapes: pictures uint8 (N, H, W, C) -> x (N, H, W, C) in [0, 1], log_q (N,), the density of x.

Differs from the paper in: f is an affine map of each pixel's noise with mean and scale from a small
convolutional network, then affine couplings; the paper's couplings are mixtures of logistics with
attention. The network is told which pixels are quite black or quite white.

Recipe: minigen/recipes/mnist_normalizing_flow.py.
Derivation: docs/derivations/normalizing_flows.md.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen import nn
from minigen.autograd import Tensor
from minigen.backend import Array
from minigen.nn.init import zeroed
from minigen.nn.invertible import Coupling, log_sigmoid_slope, normal_log_prob, summed
from minigen.ops import concat, exp, pixel_shuffle, sigmoid, silu, space_to_depth, split

GREYS = 256


@dataclass(frozen=True)
class DequantisationConfig:
    """Sizes of the noise's flow."""

    channels: int = 1  # of a picture
    width: int = 32  # channels inside its networks
    couplings: int = 2  # behind the affine map of each pixel


class UniformDequantisation(nn.Module):
    """u is uniform in [0, 1): q(x | g) = 256 for each number of a picture."""

    def forward(self, pictures: Array, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        check_pictures(pictures)
        u = rng.random(pictures.shape, np.float32)
        x = (pictures + u) / np.float32(GREYS)
        log_q = math.log(GREYS) * math.prod(pictures.shape[1:])
        return Tensor(x), Tensor(np.full(len(x), log_q, np.float32))


class NoiseNet(nn.Module):
    """What the kept half of the noise and the picture say about the other half.

    Shapes: a (N, H, W, C / 2), context (N, H, W, width) -> (N, H, W, C).
    """

    def __init__(self, C: int, width: int, *, rng: np.random.Generator):
        self.input = nn.Conv2d(C // 2 + width, width, 3, padding=1, rng=rng)
        self.hidden = nn.Linear(width, width, rng=rng)
        self.output = zeroed(nn.Linear(width, C, rng=rng))

    def forward(self, a: Tensor, context: Tensor) -> Tensor:
        h = silu(self.input(concat([a, context], axis=-1)))
        return self.output(silu(self.hidden(h)))


class VariationalDequantisation(nn.Module):
    """u = sigmoid(f(eps; g)): noise that a flow makes, knowing the picture."""

    def __init__(self, config: DequantisationConfig, *, rng: np.random.Generator):
        C, width = 4 * config.channels, config.width  # behind space_to_depth
        self.input = nn.Conv2d(3 * C, width, 3, padding=1, rng=rng)
        self.hidden = nn.Conv2d(width, width, 3, padding=1, rng=rng)
        self.affine = zeroed(nn.Linear(width, 2 * C, rng=rng))
        self.couplings = nn.ModuleList(
            [
                Coupling(NoiseNet(C, width, rng=rng), C, flipped=i % 2 == 1)
                for i in range(config.couplings)
            ]
        )

    def forward(self, pictures: Array, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        dtype = self.affine.weight.dtype
        eps = rng.standard_normal(pictures.shape).astype(dtype)
        x, log_det = self.transform(Tensor(eps), pictures)
        return x, normal_log_prob(eps) - log_det

    def transform(self, eps: Any, pictures: Array) -> tuple[Tensor, Tensor]:
        """x = (g + sigmoid(f(eps; g))) / 256 and log |det dx/d eps|.

        Shapes: (N, H, W, C) both -> (N, H, W, C), (N,).
        """
        check_pictures(pictures)
        grey = pictures.astype(eps.dtype)
        context = self._context(grey)
        y = self.affine(context)  # (N, H / 2, W / 2, 8 C)
        mean, log_s = split(y, 2)
        n, log_det = space_to_depth(eps, 2) * exp(log_s) + mean, summed(log_s)
        for coupling in self.couplings:
            n, own = coupling(n, context)
            log_det = log_det + own
        n = pixel_shuffle(n, 2)  # (N, H, W, C)
        cube = math.log(GREYS) * math.prod(pictures.shape[1:])
        x = (sigmoid(n) + grey) * (1 / GREYS)
        return x, log_det + summed(log_sigmoid_slope(n)) - cube

    def _context(self, grey: Array) -> Tensor:
        told = (grey / 127.5 - 1, grey == 0, grey == GREYS - 1)
        seen = np.concatenate([x.astype(grey.dtype) for x in told], axis=-1)
        h = silu(self.input(space_to_depth(Tensor(seen), 2)))
        return silu(self.hidden(h))  # (N, H / 2, W / 2, width)


Dequantisation = Callable[[Array, np.random.Generator], tuple[Tensor, Tensor]]


def bound(
    log_prob: Callable[[Tensor], Tensor],
    dequantise: Dequantisation,
    pictures: Array,
    rng: np.random.Generator,
) -> Tensor:
    """log p(x) - log q(x | g), in the mean at most log P(g), in nats.

    log_prob  the density of pictures in [0, 1], (N, H, W, C) -> (N,)

    Shapes: pictures (N, H, W, C) -> (N,).
    """
    x, log_q = dequantise(pictures, rng)
    return log_prob(x) - log_q  # eq. 12


def loss(
    log_prob: Callable[[Tensor], Tensor],
    dequantise: Dequantisation,
    pictures: Array,
    rng: np.random.Generator,
) -> Tensor:
    """-bound, mean over the batch, in nats a picture."""
    return -bound(log_prob, dequantise, pictures, rng).mean()


def check_pictures(pictures: Any) -> None:
    """Raises: ValueError where they are not uint8 (N, H, W, C)."""
    if pictures.dtype != np.uint8 or pictures.ndim != 4:
        raise ValueError(
            f"dequantisation: got {pictures.dtype} of shape {pictures.shape}, "
            "expected uint8 (N, H, W, C)"
        )

"""Variational autoencoder: a picture becomes a small Gaussian cloud, a point of it a picture again.

Diederik P. Kingma, Max Welling, Auto-Encoding Variational Bayes, 2013, arXiv 1312.6114.

The idea: a picture x is thought to come from a hidden vector z, normally distributed, through a
network, the decoder. Which z belong to a given x nobody can compute, so a second network, the
encoder, guesses: a Gaussian for each picture. Both are trained together on a bound of log p(x),
which is tight where the guess is right.

    p(z) = N(0, I);   p(x | z): each pixel white with probability sigmoid(decoder(z))   (appendix C)
    q(z | x) = N(mu, sigma^2),   (mu, log_var) = encoder(x),   sigma = exp(log_var / 2)          (9)
    z = mu + sigma eps,   eps ~ N(0, I)                                               (section 2.4)
    log p(x) >= E_q[log p(x | z)] - KL(q(z | x) || p(z)) = -(recon + kl)                     (3, 10)
    KL = sum over latents of (mu^2 + sigma^2 - 1 - log_var) / 2                         (appendix B)

Shapes: x (N, H, W, C) of 0 and 1; mu, log_var, z (N, latents); logits (N, H, W, C).
Units: nats per picture. recon and kl are sums over pixels and latents, means over the batch.

Differs from the paper in: silu in the place of tanh, and by choice residual convolutional networks
in the place of linear layers.

Recipe: minigen/recipes/mnist_vae.py. Derivation: docs/derivations/vae.md.
Notebook: notebooks/11_vae.ipynb.
"""

import math
from dataclasses import dataclass

import numpy as np

from minigen import nn
from minigen.autograd import Tensor
from minigen.backend import Array
from minigen.nn.autoencoder import Decoder, Encoder
from minigen.ops import bce_with_logits, exp, gaussian_kl, sigmoid
from minigen.schedules import noise_like

MAP_WIDTH = 16  # channels of the smallest map of the convolutional networks


@dataclass(frozen=True)
class VAEConfig:
    """Sizes of the two networks."""

    size: int = 28  # of a picture: rows and columns of pixels
    in_channels: int = 1
    latents: int = 50  # as in arXiv 1509.00519; training switches off those it does not need
    network: str = "mlp"  # or "conv"
    widths: tuple[int, ...] = (500, 500)  # mlp: hidden layers; in the decoder in reverse
    channels: tuple[int, ...] = (16, 32)  # conv: every level halves the picture

    def __post_init__(self) -> None:
        if self.network not in ("mlp", "conv"):
            raise ValueError(f"vae: network is {self.network!r}, expected 'mlp' or 'conv'")
        if self.network == "conv" and self.size % 2 ** len(self.channels):
            raise ValueError(
                f"vae: {len(self.channels)} levels cannot halve a picture of {self.size} pixels"
            )


class ConvEncoder(nn.Module):
    """A small map of the picture, laid out as a vector, then a linear layer: -> (N, outputs)."""

    def __init__(self, config: VAEConfig, outputs: int, *, rng: np.random.Generator):
        self.shrink = Encoder(config.in_channels, config.channels, MAP_WIDTH, rng=rng)
        self.out = nn.Linear(math.prod(_map_shape(config)), outputs, rng=rng)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.shrink(x).reshape(len(x), -1))


class ConvDecoder(nn.Module):
    """`ConvEncoder` the other way round: (N, latents) -> (N, H, W, C)."""

    def __init__(self, config: VAEConfig, *, rng: np.random.Generator):
        self.shape = _map_shape(config)
        self.start = nn.Linear(config.latents, math.prod(self.shape), rng=rng)
        self.grow = Decoder(config.in_channels, config.channels, MAP_WIDTH, rng=rng)

    def forward(self, z: Tensor) -> Tensor:
        return self.grow(self.start(z).reshape(len(z), *self.shape))


def _map_shape(config: VAEConfig) -> tuple[int, int, int]:
    side = config.size // 2 ** len(config.channels)
    return side, side, MAP_WIDTH


class VAE(nn.Module):
    """Encoder and decoder."""

    def __init__(self, config: VAEConfig, *, rng: np.random.Generator):
        self.config = config
        self.shape = (config.size, config.size, config.in_channels)  # of a picture
        pixels = config.size**2 * config.in_channels
        self.encoder: nn.Module
        self.decoder: nn.Module
        if config.network == "mlp":
            self.encoder = nn.MLP((pixels, *config.widths, 2 * config.latents), rng=rng)
            self.decoder = nn.MLP((config.latents, *config.widths[::-1], pixels), rng=rng)
        else:
            self.encoder = ConvEncoder(config, 2 * config.latents, rng=rng)
            self.decoder = ConvDecoder(config, rng=rng)

    def encode(self, x: Array) -> tuple[Tensor, Tensor]:
        """The Gaussian q(z | x): mu and log_var, each (N, latents).

        Raises: ValueError unless x is (N, H, W, C) with values from 0 to 1.
        """
        if x.shape[1:] != self.shape:
            raise ValueError(f"vae: got pictures {x.shape[1:]}, expected {self.shape}")
        if not ((x >= 0) & (x <= 1)).all():
            raise ValueError(f"vae: pixels from {x.min()} to {x.max()}, expected 0 to 1")
        x = 2 * x - 1
        if self.config.network == "mlp":
            x = x.reshape(len(x), -1)
        y = self.encoder(Tensor(x))  # (N, 2 latents)
        return y[:, : self.config.latents], y[:, self.config.latents :]

    def decode(self, z: Tensor) -> Tensor:
        """Logits of white, (N, H, W, C), for z (N, latents)."""
        return self.decoder(z).reshape(len(z), *self.shape)


def draw_latents(mu: Tensor, log_var: Tensor, eps: Array) -> Tensor:
    """z = mu + sigma eps with sigma = exp(log_var / 2): noise with a gradient (section 2.4)."""
    return mu + exp(log_var * 0.5) * eps


def loss(
    model: VAE, x: Array, rng: np.random.Generator, beta: float = 1.0
) -> tuple[Tensor, dict[str, float]]:
    """-ELBO in nats per picture, with one z for each picture, and its two parts for the log.

    beta   factor of the KL; 1 is the bound, less of it early in training keeps latents alive

    Shapes: x (N, H, W, C) of 0 and 1 -> a scalar Tensor.
    """
    mu, log_var = model.encode(x)
    z = draw_latents(mu, log_var, noise_like(mu.data, rng))
    recon = bce_with_logits(model.decode(z), x, reduction="sum") * (1 / len(x))  # -log p(x | z)
    kl = gaussian_kl(mu, log_var)
    return recon + kl * beta, {"recon": recon.item(), "kl": kl.item()}  # eq. 10


def sample(model: VAE, n: int, rng: np.random.Generator) -> Array:
    """`n` pictures: each pixel's probability of white, for z drawn from the prior.

    Shapes: -> (n, H, W, C), float32 from 0 to 1.
    """
    return probabilities(model, rng.standard_normal((n, model.config.latents), np.float32))


def probabilities(model: VAE, z: Array) -> Array:
    """Each pixel's probability of white: (N, latents) -> (N, H, W, C)."""
    return sigmoid(model.decode(Tensor(z))).data

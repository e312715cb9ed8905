"""Conditional variational autoencoder: the class is told, so the latents are left with the style.

Kihyuk Sohn, Xinchen Yan, Honglak Lee, Learning Structured Output Representation using Deep
Conditional Generative Models, NIPS 2015; with classes as conditions: Diederik P. Kingma, Danilo
J. Rezende, Shakir Mohamed, Max Welling, Semi-Supervised Learning with Deep Generative Models, 2014,
arXiv 1406.5298 (model M2).

The idea: encoder and decoder both see the label y beside what they saw before. What the label says
already need not pass through z, on which each nat costs a nat of KL: so z comes to hold what is
common to all classes, slant and stroke, and a z can be drawn again as every class.

    p(z) = N(0, I), whatever y is;   p(x | y, z): a Bernoulli for each pixel, decoder(z, y)
    q(z | x, y) = N(mu, sigma^2),   (mu, log_var) = encoder(x, y),   sigma = exp(log_var / 2)
    log p(x | y) >= E_q[log p(x | y, z)] - KL(q(z | x, y) || p(z))           (Sohn et al., 4)

Shapes: x (N, H, W, C) of 0 and 1; labels (N,) integers; mu, log_var, z (N, latents).
Units: nats per picture, as in vae.py.

Differs from the papers in: the prior does not depend on y, where Sohn et al. give it a network of
its own; every label is known, where Kingma et al. infer the missing ones.

Recipe: minigen/recipes/mnist_conditional_vae.py. Derivation: docs/derivations/vae.md.
"""

from dataclasses import dataclass

import numpy as np

from minigen import nn
from minigen.autograd import Tensor
from minigen.backend import Array, array_module
from minigen.ops import bce_with_logits, concat, exp, gaussian_kl, sigmoid
from minigen.schedules import noise_like


@dataclass(frozen=True)
class ConditionalVAEConfig:
    """Sizes of the two networks."""

    size: int = 28  # of a picture: rows and columns of pixels
    in_channels: int = 1
    classes: int = 10
    latents: int = 50
    widths: tuple[int, ...] = (500, 500)  # hidden layers of the encoder; the decoder's reversed


class ConditionalVAE(nn.Module):
    """Encoder and decoder, both told the label."""

    def __init__(self, config: ConditionalVAEConfig, *, rng: np.random.Generator):
        self.config = config
        self.shape = (config.size, config.size, config.in_channels)  # of a picture
        pixels, classes = config.size**2 * config.in_channels, config.classes
        self.encoder = nn.MLP((pixels + classes, *config.widths, 2 * config.latents), rng=rng)
        self.decoder = nn.MLP((config.latents + classes, *config.widths[::-1], pixels), rng=rng)

    def encode(self, x: Array, labels: Array) -> tuple[Tensor, Tensor]:
        """The Gaussian q(z | x, y): mu and log_var, each (N, latents).

        Raises: ValueError unless x is (N, H, W, C) with values from 0 to 1, and for a label that
        is none of the classes.
        """
        if x.shape[1:] != self.shape:
            raise ValueError(f"conditional_vae: got pictures {x.shape[1:]}, expected {self.shape}")
        if not ((x >= 0) & (x <= 1)).all():
            raise ValueError(
                f"conditional_vae: pixels from {x.min()} to {x.max()}, expected 0 to 1"
            )
        seen = [Tensor((2 * x - 1).reshape(len(x), -1)), self._one_hot(labels, len(x), x.dtype)]
        y = self.encoder(concat(seen))  # (N, H W C + classes) -> (N, 2 latents)
        return y[:, : self.config.latents], y[:, self.config.latents :]

    def decode(self, z: Tensor, labels: Array) -> Tensor:
        """Logits of white, (N, H, W, C), for z (N, latents)."""
        told = concat([z, self._one_hot(labels, len(z), z.dtype)])  # (N, latents + classes)
        return self.decoder(told).reshape(len(z), *self.shape)

    def _one_hot(self, labels: Array, N: int, dtype: np.dtype) -> Tensor:
        """(N,) -> (N, classes); a row of a weight is then what a class adds to the hidden layer."""
        classes = self.config.classes
        if labels.shape != (N,):
            raise ValueError(f"conditional_vae: {N} pictures have labels {labels.shape}")
        if N and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            raise ValueError(
                f"conditional_vae: labels from {labels.min()} to {labels.max()}, expected 0 to "
                f"{classes - 1}"
            )
        xp = array_module(labels)
        return Tensor((labels[:, None] == xp.arange(classes)).astype(dtype))


def loss(
    model: ConditionalVAE, x: Array, labels: Array, rng: np.random.Generator
) -> tuple[Tensor, dict[str, float]]:
    """-ELBO of log p(x | y) in nats per picture, and its two parts for the log.

    Shapes: x (N, H, W, C) of 0 and 1, labels (N,) -> a scalar Tensor.
    """
    mu, log_var = model.encode(x, labels)
    z = mu + exp(log_var * 0.5) * noise_like(mu.data, rng)  # sigma = exp(log_var / 2)
    recon = bce_with_logits(model.decode(z, labels), x, reduction="sum") * (1 / len(x))
    kl = gaussian_kl(mu, log_var)
    return recon + kl, {"recon": recon.item(), "kl": kl.item()}  # eq. 4


def sample(model: ConditionalVAE, labels: Array, rng: np.random.Generator) -> Array:
    """A picture of each label: every pixel's probability of white, for z drawn from the prior.

    Shapes: labels (N,) -> (N, H, W, C), float32 from 0 to 1.
    """
    z = rng.standard_normal((len(labels), model.config.latents), np.float32)
    return probabilities(model, z, labels)


def probabilities(model: ConditionalVAE, z: Array, labels: Array) -> Array:
    """Each pixel's probability of white: (N, latents), (N,) -> (N, H, W, C)."""
    return sigmoid(model.decode(Tensor(z), labels)).data


@dataclass(frozen=True)
class Given:
    """The model with its labels told beforehand: what iwae.py bounds, log p(x | y).

    Shapes: labels (N,) of the pictures x (N, H, W, C); z may be k latents for each of them, one
    after the other, (k N, latents).
    """

    model: ConditionalVAE
    labels: Array

    def encode(self, x: Array) -> tuple[Tensor, Tensor]:
        return self.model.encode(x, self.labels)

    def decode(self, z: Tensor) -> Tensor:
        tiled = array_module(self.labels).tile(self.labels, len(z) // len(self.labels))
        return self.model.decode(z, tiled)

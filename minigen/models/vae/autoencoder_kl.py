"""The autoencoder of latent diffusion: pictures to a small map of numbers of about unit variance.

Robin Rombach, Andreas Blattmann, Dominik Lorenz, Patrick Esser, Bjoern Ommer, High-Resolution Image
Synthesis with Latent Diffusion Models, 2022, arXiv 2112.10752, section 3.1 and appendix G.

The idea: most numbers of a picture are detail that nobody sees. An autoencoder takes care of them,
so that a diffusion model has to know the small map in the middle only. It is a VAE whose KL weighs
next to nothing: just enough to keep the latents from growing without end and to make the decoder
put up with a little noise, which is what a diffusion model leaves behind.

    z = mu + sigma eps,   sigma = exp(log_var / 2),   eps ~ N(0, I)                    appendix G
    L = L_rec(x, D(z)) + kl_weight KL(N(mu, sigma^2) || N(0, I))                             (25)
    z <- z / sigma_hat,   sigma_hat^2 = mean of (z - mean of z)^2 over a batch         appendix G

`encode` and `decode` speak of the scaled latents, of variance 1: what noise schedules are made for.
sigma_hat comes from running means of z and z^2, which are parameters that the loss itself moves, by
minigen/optim/running_mean.py.

Shapes: x (N, H, W, C), latents (N, H / 2^levels, W / 2^levels, width).

Differs from the paper in: neither the adversarial nor the perceptual loss, so fine texture comes
out smooth; no attention in the lowest level; sigma_hat is an average over all of the training
rather than that of its first batch; L_rec is the absolute error, summed over a picture.

Recipe: minigen/recipes/fashion_autoencoder_kl.py. Derivation: docs/derivations/autoencoder_kl.md.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen import nn
from minigen.autograd import Tensor
from minigen.backend import Array, move
from minigen.nn.autoencoder import Decoder, Encoder
from minigen.ops import abs as abs_
from minigen.ops import clip, exp, gaussian_kl, split
from minigen.optim.running_mean import follow
from minigen.schedules import noise_like


@dataclass(frozen=True)
class AutoencoderKLConfig:
    """Sizes of the network, and the weight of the KL."""

    in_channels: int = 1
    channels: tuple[int, ...] = (32, 64)  # every level halves the picture: 28 to 7, 32 to 8
    blocks: int = 1  # residual blocks of a level
    width: int = 4  # numbers of a latent vector
    kl_weight: float = 0.01  # of nats beside the absolute error of a picture


class Moments(nn.Module):
    """Running means of the latents and of their squares, over all of their numbers.

    RunningMean(model.moments.named_parameters()) among the optimisers moves them.
    """

    def __init__(self) -> None:
        self.first = nn.Parameter(np.zeros(1, np.float32))
        self.second = nn.Parameter(np.ones(1, np.float32))

    def std(self) -> float:
        """sigma_hat."""
        variance = float(self.second.data[0]) - float(self.first.data[0]) ** 2
        return max(variance, 1e-12) ** 0.5

    def follow(self, z: Array) -> Tensor:
        """The term of the loss, of value 0, by which the means follow a batch."""
        return follow(self.first, float(z.mean())) + follow(self.second, float((z * z).mean()))


class AutoencoderKL(nn.Module):
    """Pictures (N, H, W, C) in [-1, 1] to latents of unit variance, and back."""

    def __init__(self, config: AutoencoderKLConfig, *, rng: np.random.Generator):
        outside = config.in_channels, config.channels
        self.encoder = Encoder(*outside, 2 * config.width, config.blocks, rng=rng)
        self.decoder = Decoder(*outside, config.width, config.blocks, rng=rng)
        self.moments = Moments()

    def posterior(self, x: Any) -> tuple[Tensor, Tensor]:
        """mu and log_var of the latents before they are scaled.

        Shapes: x (N, H, W, C) -> two of (N, h, w, width).
        Raises: ValueError for pictures of another shape, or outside [-1, 1].
        """
        mu, log_var = split(self.encoder(x), 2)  # (N, h, w, 2 width) -> two of (N, h, w, width)
        return mu, clip(log_var, -20.0, 10.0)

    def encode(self, x: Any, rng: np.random.Generator | None = None) -> Tensor:
        """Latents of unit variance: mu / sigma_hat, or with `rng` a draw z / sigma_hat.

        Shapes: (N, H, W, C) -> (N, h, w, width).
        """
        mu, log_var = self.posterior(x)
        z = mu if rng is None else draw(mu, log_var, rng)
        return z * (1 / self.moments.std())

    def decode(self, z: Any) -> Tensor:
        """Pictures of latents of unit variance: (N, h, w, width) -> (N, H, W, C)."""
        return self.decoder(z * self.moments.std())

    def forward(self, x: Any) -> Tensor:
        return self.decode(self.encode(x))


def draw(mu: Tensor, log_var: Tensor, rng: np.random.Generator) -> Tensor:
    """z = mu + sigma eps."""
    return mu + exp(log_var * 0.5) * noise_like(mu.data, rng)


def loss(
    model: AutoencoderKL,
    x: Array,
    rng: np.random.Generator,
    config: AutoencoderKLConfig = AutoencoderKLConfig(),
) -> tuple[Tensor, dict[str, float]]:
    """Absolute error of a picture and the weighted KL, mean over the batch; and what is logged.

    Moves sigma_hat too, see Moments.

    Shapes: x (N, H, W, C) -> a scalar, {"absolute_error" of a pixel, "kl" in nats of a picture}.
    Raises: ValueError for pictures of another shape, or outside [-1, 1].
    """
    mu, log_var = model.posterior(Tensor(x))
    z = draw(mu, log_var, rng)
    error = abs_(model.decoder(z) - x).sum() * (1 / len(x))  # L_rec of eq. 25
    kl = gaussian_kl(mu, log_var)  # L_reg
    total = error + config.kl_weight * kl + model.moments.follow(z.data)
    return total, {
        "absolute_error": error.item() * len(x) / x.size,
        "kl": kl.item(),
        "latent_std": model.moments.std(),
    }


def sample(model: AutoencoderKL, n: int, rng: np.random.Generator, size: tuple[int, int]) -> Array:
    """Pictures of `n` maps of standard normal latents.

    No samples of the data: the numbers of a picture's map depend on each other, and it takes a
    model of that, as latent diffusion is, to draw them together.

    size  (h, w) of the maps

    Shapes: -> (n, H, W, C).
    """
    weight = model.decoder.input.weight
    z = rng.standard_normal((n, *size, weight.shape[2])).astype(np.float32)
    return model.decode(Tensor(move(z, weight.device))).data

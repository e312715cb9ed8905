"""Latent diffusion: the shape of Stable Diffusion.

Robin Rombach, Andreas Blattmann, Dominik Lorenz, Patrick Esser, Björn Ommer, High-Resolution Image
Synthesis with Latent Diffusion Models, 2021, arXiv 2112.10752.

The idea: most numbers of a picture say what nobody sees. An autoencoder that was trained before
turns pictures into small maps of latents and back, and is left as it is. The diffusion model lives
among the latents only, where everything is smaller, and reads the caption by cross-attention.

    z      = E(x) of unit variance,   x = D(z)                                               3.1
    L_LDM  = E |eps - eps_theta(z_t, t, tau(y))|^2,   z from E, frozen                    (3)
    Q = W_Q phi(z_t),   K = W_K tau(y),   V = W_V tau(y),   softmax(Q K^T / sqrt(d)) V         3.3
    guided = unconditional + scale (conditional - unconditional)                2207.12598, (6)

tau is a Transformer over the words, trained with the U-Net. How the noise is added, what is
predicted and how one draws are the diffusion's: minigen/models/diffusion/ddpm.py and the samplers.

Shapes: pictures (N, H, W, 3), latents (N, h, w, width), times (N,) integers 1 ... T, words (N, L).

Differs from the paper in: a vector of the whole caption joins the time in every residual block
beside the cross-attention. Small maps: attention at the levels where `attention` says so. Any
prediction (eps, v, x0) and any sampler that the library has. An empty caption stands for "no
prompt" in guidance.

Notebook: notebooks/24_latent_diffusion.ipynb. Recipe: minigen/recipes/latent_diffusion.py.
Derivation: docs/derivations/latent_diffusion.md.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen import nn
from minigen.autograd import Tensor, no_grad
from minigen.backend import Array


@dataclass(frozen=True)
class LatentDiffusionConfig:
    """Sizes of the network that takes the noise away; the autoencoder has its own."""

    vocabulary: int  # rows of the word table, the padding included
    caption_length: int = 14  # words; shorter captions are padded
    text_width: int = 128  # D: of a word's vector
    text_layers: int = 2
    text_heads: int = 4
    latent_size: int = 16  # h = w: half or a quarter of the picture's
    latent_width: int = 4  # numbers of a latent vector
    channels: tuple[int, ...] = (64, 96, 128)  # of the U-Net, at h, h / 2 and h / 4
    blocks: int = 1  # residual blocks of a level
    attention: tuple[bool, ...] = (
        False,
        True,
        True,
    )  # where latents look at each other and at words
    heads: int = 4
    embedding_width: int = 256  # time and caption
    time_scale: float = 1.0  # times are integers up to T

    def unet(self) -> nn.UNetConfig:
        return nn.UNetConfig(
            in_channels=self.latent_width,
            out_channels=self.latent_width,
            sample_size=self.latent_size,
            channels=self.channels,
            blocks=self.blocks,
            self_attention=self.attention,
            cross_attention=self.attention,
            heads=self.heads,
            embedding_width=self.embedding_width,
            context_width=self.text_width,
            time_scale=self.time_scale,
        )


class Denoiser(nn.Module):
    """The U-Net among the latents, and the Transformer that reads for it; untrained, it says 0.

    Shapes: zt (N, h, w, width), t (N,), words (N, L), or what `read` made of them -> as zt.
    """

    def __init__(self, config: LatentDiffusionConfig, *, rng: np.random.Generator):
        self.config = config
        self.text = nn.CaptionEncoder(
            config.vocabulary,
            config.caption_length,
            config.text_width,
            config.text_layers,
            config.text_heads,
            config.embedding_width,
            rng=rng,
        )
        self.unet = nn.UNet(config.unet(), rng=rng)

    def read(self, words: np.ndarray) -> dict[str, np.ndarray]:
        """tau(y), for all steps of a painting at once."""
        with no_grad():
            tokens, caption = self.text(words)
        return {"tokens": tokens.data, "caption": caption.data}

    def forward(
        self,
        zt: Any,
        t: Any,
        words: np.ndarray | None = None,
        *,
        tokens: Any = None,
        caption: Any = None,
    ) -> Tensor:
        if words is not None:
            tokens, caption = self.text(words)  # (N, L, D), (N, E)
        return self.unet(zt, t, embedding=caption, context=tokens)


class LatentDiffusion(nn.Module):
    """An autoencoder that is finished, and a denoiser that learns among its latents.

    autoencoder  a Module with encode(x, rng) -> latents of unit variance, and decode(z): that of
                 minigen/models/vae/autoencoder_kl.py
    """

    def __init__(
        self, autoencoder: Any, config: LatentDiffusionConfig, *, rng: np.random.Generator
    ):
        self.config = config
        self.autoencoder = autoencoder
        self.denoiser = Denoiser(config, rng=rng)

    def read(self, words: np.ndarray) -> dict[str, np.ndarray]:
        """What the denoiser makes of the words."""
        return self.denoiser.read(words)

    def encode(self, x: Array, rng: np.random.Generator | None = None) -> Array:
        """Pictures to latents, no gradient kept: (N, H, W, 3) -> (N, h, w, width).

        Raises: ValueError where the autoencoder's latents are not those of the config.
        """
        with no_grad():
            z = self.autoencoder.encode(x, rng)
        h, width = self.config.latent_size, self.config.latent_width
        if z.shape[1:] != (h, h, width):
            raise ValueError(
                f"LatentDiffusion: latents are {z.shape[1:]}, expected {(h, h, width)}"
            )
        return z.data

    def decode(self, z: Array) -> Array:
        """Latents to pictures: (N, h, w, width) -> (N, H, W, 3)."""
        with no_grad():
            return self.autoencoder.decode(Tensor(z)).data


def loss(
    model: LatentDiffusion,
    x: Array,
    rng: np.random.Generator,
    diffusion_loss: Callable[..., Tensor],
    **conditions: Any,
) -> Tensor:
    """The diffusion's loss at the latents of the pictures.

    diffusion_loss  (network, z, rng, **conditions) -> a scalar, as that of ddpm.py
    conditions      words, some of them emptied by the caller

    Shapes: x (N, H, W, 3) -> a scalar Tensor.
    """
    z = model.encode(x, rng)  # z ~ q(z | x): no gradient comes back here
    return diffusion_loss(model.denoiser, z, rng, **conditions)  # eq. 3


def sample(
    model: LatentDiffusion,
    n: int,
    rng: np.random.Generator,
    diffusion_sample: Callable[..., Array],
    *,
    network: Callable[..., Tensor] | None = None,
    conditions: Mapping[str, Array] | None = None,
    **settings: Any,
) -> Array:
    """Draw `n` maps of latents and decode them.

    diffusion_sample  (network, n, rng, shape, conditions=, **settings) -> (n, *shape), as ddpm's
    network           in the denoiser's place: the same in parts, on all cores
    conditions        words, or what `read` made of them

    Shapes: -> (n, H, W, 3).
    """
    h, width = model.config.latent_size, model.config.latent_width
    z = diffusion_sample(
        network or model.denoiser, n, rng, (h, h, width), conditions=conditions, **settings
    )
    return model.decode(z)

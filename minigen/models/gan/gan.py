"""Generative adversarial networks: a forger and a detective, each the other's teacher.

Goodfellow, Pouget-Abadie, Mirza, Xu, Warde-Farley, Ozair, Courville, Bengio, Generative Adversarial
Nets, 2014, arXiv 1406.2661.

The idea: G makes something of noise, D says with which probability it is real, and each learns from
the other. For a given G the best D knows the ratio of both densities, and G goes where D is fooled;
when no D can tell any more, G has the distribution of the data. No likelihood is written down.

    min over G, max over D of  E_x log D(x) + E_z log(1 - D(G(z)))                               (1)
    D*(x) = p_data(x) / (p_data(x) + p_G(x))                                                     (2)
    E_x log D*(x) + E_x~G log(1 - D*(x)) = 2 JSD(p_data, p_G) - log 4                            (4)

As G begins, D is sure that its work is false, log(1 - D(G(z))) is flat there, and G learns nothing:
the loss saturates. Section 3 has G maximise log D(G(z)) instead, which has the same fixed point.

Shapes: z (N, latents), x and G(z) (N, ...), logits D(x) (N,). D returns logits, the probability is
sigmoid(D(x)): losses of logits do not overflow.

Differs from the paper in: rectifiers in D too, no dropout, z is normal, Adam (the recipe's). The
losses take any model with a G that has `latents`, and a D: those of dcgan.py, packed or not.

Recipes: minigen/recipes/toy_gan.py and picture_gan.py.
Derivation: docs/derivations/gan.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from minigen import nn
from minigen.autograd import Tensor, no_grad
from minigen.backend import Array
from minigen.nn import init
from minigen.ops import bce_with_logits, concat, cos, leaky_relu, relu, sigmoid, sin

LOSSES = ("non_saturating", "minimax")  # of G


@dataclass(frozen=True)
class GANConfig:
    """Sizes of the two networks for points."""

    dims: int = 2  # numbers in a point
    latents: int = 2  # numbers in z
    g_widths: tuple[int, ...] = (128, 128, 128)  # hidden layers of G
    d_widths: tuple[int, ...] = (128, 128, 128)  # hidden layers of D
    waves: tuple[float, ...] = ()  # radians a unit of length of the waves that D reads beside x
    pack: int = 1  # points that D is shown at once, see pac_gan.py


class Generator(nn.Module):
    """z (N, latents) -> points (N, dims)."""

    def __init__(self, config: GANConfig, *, rng: np.random.Generator):
        self.latents = config.latents
        self.layers = _layers((config.latents, *config.g_widths, config.dims), rng)

    def forward(self, z: Any) -> Tensor:
        *hidden, last = self.layers
        for layer in hidden:
            z = relu(layer(z))
        return last(z)


class Discriminator(nn.Module):
    """x (N, pack dims) -> logits (N,) of being real.

    With `waves` it reads sin(k x) and cos(k x) of every k too: a plain network is smooth and hardly
    sees where small spots end (Tancik et al., 2020, section 4, arXiv 2006.10739).
    """

    def __init__(self, config: GANConfig, *, rng: np.random.Generator):
        self.waves = config.waves
        inputs = config.pack * config.dims * (1 + 2 * len(config.waves))
        self.layers = _layers((inputs, *config.d_widths, 1), rng)

    def forward(self, x: Any) -> Tensor:
        *hidden, last = self.layers
        if self.waves:
            x = concat([x, *(wave(x * k) for k in self.waves for wave in (sin, cos))])
        for layer in hidden:
            x = leaky_relu(layer(x), negative_slope=0.2)  # a dead unit would teach G nothing
        return last(x).reshape(len(x))  # (N, 1) -> (N,)


def _layers(widths: Sequence[int], rng: np.random.Generator) -> nn.ModuleList:
    layers = [nn.Linear(i, o, rng=rng) for i, o in pairwise(widths)]
    for layer in layers:
        layer.weight.data[...] = init.he_normal(layer.weight.shape, rng=rng)
    return nn.ModuleList(layers)


class GAN(nn.Module):
    """Both networks under their names."""

    def __init__(self, G: nn.Module, D: nn.Module):
        self.G, self.D = G, D


def latents(model: Any, n: int, rng: np.random.Generator) -> Tensor:
    """z ~ N(0, I), (n, latents)."""
    return Tensor(rng.standard_normal((n, model.G.latents), np.float32))


def discriminator_loss(
    model: Any, x: Array, rng: np.random.Generator
) -> tuple[Tensor, dict[str, float]]:
    """-E log D(x) - E log(1 - D(G(z))), eq. 1, as many fakes as there are real ones.

    It is log 4 = 1.39 where D cannot tell and 0 where it is always right. Numbers for the log: the
    mean probability of being real that D gives to real ones, and to fakes.

    Shapes: x (N, ...) -> a scalar Tensor.
    """
    with no_grad():
        fake = model.G(latents(model, len(x), rng))
    on_real, on_fake = model.D(Tensor(x)), model.D(fake)
    loss = bce_with_logits(on_real, 1.0) + bce_with_logits(on_fake, 0.0)
    with no_grad():
        numbers = {"D_real": sigmoid(on_real).mean(), "D_fake": sigmoid(on_fake).mean()}
    return loss, {name: value.item() for name, value in numbers.items()}


def generator_loss(
    model: Any, x: Array, rng: np.random.Generator, loss: str = "non_saturating"
) -> Tensor:
    """-E log D(G(z)), or for "minimax" E log(1 - D(G(z))) as in eq. 1, with len(x) fakes.

    Raises: ValueError for another name.
    """
    if loss not in LOSSES:
        raise ValueError(f"gan: the loss is {loss!r}, expected {' or '.join(LOSSES)}")
    on_fake = model.D(model.G(latents(model, len(x), rng)))
    return bce_with_logits(on_fake, 1.0) if loss == LOSSES[0] else -bce_with_logits(on_fake, 0.0)


def sample(model: Any, n: int, rng: np.random.Generator) -> Array:
    """G(z) for `n` new z: (n, ...), float32."""
    with no_grad():
        return model.G(latents(model, n, rng)).data

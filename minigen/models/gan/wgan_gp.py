"""Wasserstein GAN with gradient penalty: a critic that measures how far apart two sets are.

Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville, Improved Training of Wasserstein GANs, 2017,
arXiv 1704.00028; Arjovsky, Chintala, Bottou, Wasserstein GAN, 2017, arXiv 1701.07875.

The idea: instead of a probability the critic D gives a score, and may rise by at most 1 for each
unit of distance. The largest gap of mean scores under this rule is the earth mover's distance of
both distributions, and its slope tells G where to go even where they do not overlap, where the
probability of gan.py is flat. The rule is kept by a penalty on how far the slope is from 1, at
random places between real and made.

    W(p, q) = max over |D(a) - D(b)| <= |a - b| of  E_x~p D(x) - E_x~q D(x)         1701.07875 (2)
    L = E D(G(z)) - E D(x) + weight E (|d D(x_hat) / d x_hat| - 1)^2                1704.00028 (3)
    x_hat = u x + (1 - u) G(z),  u uniform in [0, 1], one for each example          section 4

The norm is that of the whole gradient of an example, over all its pixels and channels.

Shapes: x and G(z) (N, ...), scores (N,), or (N / m,) of packs.

Follows the paper in its losses. The critic may be any without batch norm, by which the score of one
picture would depend on the others (section 4). Networks: those of gan.py and dcgan.py.

Recipes: minigen/recipes/toy_gan.py and picture_gan.py, option --loss wgan_gp.
Derivation: docs/derivations/gan.md.
"""

from typing import Any

import numpy as np

from minigen.autograd import Tensor, no_grad
from minigen.backend import Array
from minigen.nn.penalty import Network, squared_slopes
from minigen.ops import sqrt

TINY = 1e-12  # under the root, whose slope at 0 is infinite


def critic_loss(
    model: Any, x: Array, rng: np.random.Generator, weight: float = 10.0
) -> tuple[Tensor, dict[str, float]]:
    """Eq. 3 with as many fakes as there are real ones.

    Numbers for the log: the distance E D(x) - E D(G(z)), and the penalty before its weight.

    Shapes: x (N, ...) -> a scalar Tensor.
    """
    with no_grad():
        fake = sample(model, len(x), rng)
    distance = model.D(Tensor(x)).mean() - model.D(Tensor(fake)).mean()
    penalty = gradient_penalty(model.D, x, fake, rng)
    loss = penalty * weight - distance  # eq. 3
    return loss, {"distance": distance.item(), "penalty": penalty.item()}


def gradient_penalty(D: Network, x: Array, fake: Array, rng: np.random.Generator) -> Tensor:
    """E (|d D(x_hat) / d x_hat| - 1)^2 with x_hat on the lines between x and fake.

    Shapes: x and fake (N, ...) -> a scalar.
    Raises: ValueError for sets of other shapes.
    """
    if x.shape != fake.shape:
        raise ValueError(f"gradient_penalty: x is {x.shape}, fake {fake.shape}")
    u = rng.random((len(x), *(1,) * (x.ndim - 1))).astype(x.dtype)  # one for each example
    norms = sqrt(squared_slopes(D, u * x + (1 - u) * fake) + TINY)
    return ((norms - 1.0) * (norms - 1.0)).mean()


def generator_loss(model: Any, x: Array, rng: np.random.Generator) -> Tensor:
    """-E D(G(z)) with len(x) fakes."""
    return -model.D(model.G(_latents(model, len(x), rng))).mean()


def sample(model: Any, n: int, rng: np.random.Generator) -> Array:
    """G(z) for `n` new z ~ N(0, I): (n, ...), float32."""
    with no_grad():
        return model.G(_latents(model, n, rng)).data


def _latents(model: Any, n: int, rng: np.random.Generator) -> Tensor:
    return Tensor(rng.standard_normal((n, model.G.latents), np.float32))

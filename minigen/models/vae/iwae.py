"""Importance-weighted autoencoder: the encoder may guess k times, and good guesses count more.

Yuri Burda, Roger Grosse, Ruslan Salakhutdinov, Importance Weighted Autoencoders, 2015,
arXiv 1509.00519.

The idea: the bound of a VAE punishes every latent vector that does not explain the picture, so the
model keeps to posteriors that its Gaussian encoder can match. The mean of k importance weights is
an unbiased estimate of p(x), its logarithm a bound that rises with k: one good vector among k is
enough, and the model may use more complicated posteriors. Networks and sampling are the VAE's.

    w_i = p(x, z_i) / q(z_i | x),   z_i = mu + sigma eps_i,   i = 1 ... k
    L_k = E log 1/k sum_i w_i;   L_1 = ELBO <= L_k <= L_{k+1} <= log p(x)                    (8, 9)
    grad L_k = E sum_i w~_i grad log w_i,   w~_i = w_i / sum_j w_j                          (13, 14)

Shapes: x (N, H, W, C) of 0 and 1; mu, log_var (N, latents); z (k, N, latents); w (k, N).
Units: nats per picture.

Differs from the paper in: by choice (`resample`) the sum of (14) is replaced by the one term i that
is drawn with probability w~_i. The expectation is the same, and only one of k passes of the decoder
needs a way back.

Recipe: minigen/recipes/mnist_vae.py, with --k. Derivation: docs/derivations/vae.md.
Notebook: notebooks/11_vae.ipynb.
"""

import math
from typing import Any

import numpy as np

from minigen.autograd import Tensor, no_grad
from minigen.backend import Array, array_module
from minigen.metrics.nll import Bound, importance_weighted_bound
from minigen.ops import bce_with_logits, exp, logsumexp

# A model here has encode(x (N, H, W, C)) -> mu, log_var (N, latents) and decode(z (M, latents)) ->
# logits (M, H, W, C): the VAE of vae.py, or one of your own.
Model = Any


def log_weights(model: Model, x: Array, mu: Tensor, log_var: Tensor, eps: Array) -> Tensor:
    """log w = log p(x | z) + log p(z) - log q(z | x) at z = mu + sigma eps.

    Of the two Gaussians the factor (2 pi)^(-latents / 2) cancels, and (z - mu) / sigma is eps:
    log p(z) - log q(z | x) = sum over latents of (eps^2 + log_var - z^2) / 2.

    Shapes: x (N, H, W, C), mu and log_var (N, latents), eps (k, N, latents) -> (k, N).
    """
    k, N, latents = eps.shape
    z = mu + exp(log_var * 0.5) * eps  # (k, N, latents)
    logits = model.decode(z.reshape(k * N, latents)).reshape(k, *x.shape)
    white = array_module(x).broadcast_to(x, logits.shape)
    log_px = -bce_with_logits(logits, white, reduction="none").reshape(k, N, -1).sum(axis=-1)
    return log_px + (eps * eps + log_var - z * z).sum(axis=-1) * 0.5


def loss(
    model: Model, x: Array, rng: np.random.Generator, k: int, resample: bool = False
) -> Tensor:
    """-L_k in nats per picture, mean over the batch.

    resample   the gradient of one term of eq. 14, drawn by its weight, in the place of the sum

    Shapes: x (N, H, W, C) of 0 and 1 -> a scalar Tensor.
    Raises: ValueError for k <= 0.
    """
    if k <= 0:
        raise ValueError(f"iwae: k is {k}, expected at least 1")
    mu, log_var = model.encode(x)
    eps = _noise(k, mu, rng)
    if not resample:
        log_w = log_weights(model, x, mu, log_var, eps)  # (k, N)
        return (math.log(k) - logsumexp(log_w, axis=0)).mean()  # eq. 8; its gradient is eq. 14
    with no_grad():
        log_w = log_weights(model, x, mu, log_var, eps)
        bound = (logsumexp(log_w, axis=0) - math.log(k)).mean().item()
    drawn = (log_w.numpy() + rng.gumbel(size=log_w.shape)).argmax(axis=0)  # i ~ w~, (N,)
    one = log_weights(model, x, mu, log_var, eps[drawn, np.arange(len(x))][None]).mean()
    return -one + (one.item() - bound)  # the value of the bound, the gradient of the drawn term


def bound(model: Model, x: Array, k: int, rng: np.random.Generator, chunk: int = 50) -> Bound:
    """log p(x) from below by k importance samples of each picture, L_k without a gradient.

    Shapes: x (N, H, W, C) of 0 and 1 -> nats (N,).
    Raises: ValueError for k <= 0.
    Cost: k passes of the decoder for each picture; memory for N * chunk of them.
    """
    with no_grad():
        mu, log_var = model.encode(x)

        def draw(count: int) -> np.ndarray:
            return log_weights(model, x, mu, log_var, _noise(count, mu, rng)).numpy()

        return importance_weighted_bound(draw, k, chunk)


def _noise(k: int, mu: Tensor, rng: np.random.Generator) -> Array:
    """k draws for each picture, (k, N, latents), of mu's type and on its device."""
    return array_module(mu.data).asarray(rng.standard_normal((k, *mu.shape), mu.dtype))

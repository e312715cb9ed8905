"""Negative log-likelihood: a bound by importance weights, and nats as bits per dimension.

A model with latent vectors has p(x) = E_q[w], w = p(x, z) / q(z | x), which no sum can exhaust.
The logarithm of a mean of k weights is a lower bound of log p(x) on average, and rises with k.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen.metrics.report import Measured


@dataclass(frozen=True)
class Bound:
    """What `importance_weighted_bound` found; arrays (N,) in float64."""

    log_px: np.ndarray  # nats: log 1/k sum_i w_i, at most log p(x) on average
    elbo: np.ndarray  # nats: 1/k sum_i log w_i, at most log_px
    effective: np.ndarray  # number of weights that count, (sum w)^2 / sum w^2, from 1 to k


def importance_weighted_bound(
    log_weights: Callable[[int], np.ndarray], k: int, chunk: int = 50
) -> Bound:
    """log 1/k sum_i w_i, the weights of each picture drawn `chunk` at a time.

    log_weights   (count) -> log w of `count` new draws for each picture, (count, N)

    The largest weight so far is kept apart, so that nothing overflows whatever the weights are:
    sum w = exp(top) * sum exp(log w - top).

    Shapes: -> (N,).
    Raises: ValueError for k or chunk <= 0, and for weights of another shape.
    Source: Burda, Grosse and Salakhutdinov, 2015, eq. 8, arXiv 1509.00519.
    """
    for name, value in {"k": k, "chunk": chunk}.items():
        if value <= 0:
            raise ValueError(f"importance_weighted_bound: {name} is {value}, expected 1 or more")
    top: Any = None  # the largest log w of each picture so far
    total: Any = 0.0
    squares: Any = 0.0
    elbo: Any = 0.0
    for first in range(0, k, chunk):
        count = min(chunk, k - first)
        new = np.asarray(log_weights(count), np.float64)  # (count, N)
        if new.ndim != 2 or len(new) != count:
            raise ValueError(
                f"importance_weighted_bound: the weights are {new.shape}, expected ({count}, N)"
            )
        higher = new.max(axis=0) if top is None else np.maximum(top, new.max(axis=0))
        shrink, w = 1.0 if top is None else np.exp(top - higher), np.exp(new - higher)
        total, squares = total * shrink + w.sum(0), squares * shrink**2 + (w * w).sum(0)
        elbo, top = elbo + new.sum(0) / k, higher
    return Bound(np.log(total) + top - math.log(k), elbo, total**2 / squares)


def extended(costly: np.ndarray, cheap: np.ndarray, unit: str = "", of: str = "") -> Measured:
    """The mean of a costly measure over all pictures, known of the first n, by a cheap one of all.

    mean(cheap) + mean(costly - cheap[:n])

    Its expectation is that of mean(costly) over all. What makes pictures differ is mostly the same
    in both, so the difference hardly varies, and n may be small.

    Error: of independent pictures, sqrt(var(costly) / N + (1 / n - 1 / N) var(costly - cheap[:n])):
    what the mean of all costly ones would have, and what not knowing the others adds.
    Shapes: costly (n,), cheap (N,) with the same pictures first.
    Raises: ValueError where n is below 2 or above N.
    Source: the difference estimator of survey sampling; Cochran, Sampling Techniques, 1977,
    section 7.2.
    """
    n, N = len(costly), len(cheap)
    if not 2 <= n <= N:
        raise ValueError(f"extended: {n} pictures of {N} are known, expected 2 to {N}")
    difference = costly - cheap[:n]
    variance = costly.var(ddof=1) / N + (1 / n - 1 / N) * difference.var(ddof=1)
    return Measured(float(cheap.mean() + difference.mean()), math.sqrt(variance), unit, of)


def bits_per_dim(nats: Measured | float, dims: int) -> Measured:
    """nats / (dims * ln 2): bits for each of the `dims` numbers of a picture.

    >>> print(bits_per_dim(Measured(543.43, 10.87, "nats"), dims=784))
    1.000 +- 0.020 bits/dim

    Raises: ValueError for dims <= 0.
    """
    if dims <= 0:
        raise ValueError(f"bits_per_dim: dims is {dims}, expected 1 or more")
    scale = 1 / (dims * math.log(2))
    given = nats if isinstance(nats, Measured) else Measured(nats)
    error = None if given.error is None else given.error * scale
    return Measured(given.value * scale, error, "bits/dim", given.of)

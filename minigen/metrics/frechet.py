"""Feature distances: how far the pictures of a model are from true ones, as two sets.

Both compare what a network says of the pictures (see minigen/metrics/agreement.py, `outputs`), not
their pixels, and 0 means the same distribution.

FID, the Frechet distance of two Gaussians with the sets' means m and covariances S:

    FID = |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2)                                   (1)

KID, the maximum mean discrepancy of the kernel k(x, y) = (x y / D + 1)^3, without bias:

    KID = mean over i != j of k(x_i, x_j) + the same of y - 2 mean over i, j of k(x_i, y_j)  (2)

FID is biased: two draws from one distribution are further apart the fewer pictures they have. So n
belongs to the number, and beside it the same distance between two draws of true pictures. KID of
two such draws is 0 on average, at any n.

A standard error is a jackknife's: the distance ten times without a tenth of one set, and of the
other; it tells how other pictures of the same model would have changed it.

Source: (1) Heusel et al., 2017, eq. 6, arXiv 1706.08500; (2) the kernel Binkowski et al., 2018,
section 4, arXiv 1801.01401, the estimate Gretton et al., 2012, eq. 3.
Derivation: docs/derivations/metrics.md.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minigen.metrics.report import Measured
from minigen.parallel import parallel_map

ENOUGH = 2048  # pictures; below, FID is mostly its bias
GROUPS = 10  # of the jackknife


@dataclass(frozen=True)
class Gaussian:
    """A normal distribution by its mean (D,) and a root R (., D) of its covariance R^T R."""

    mean: np.ndarray
    root: np.ndarray


def gaussian_of(features: np.ndarray) -> Gaussian:
    """Mean and covariance of a set, the covariance as the R of a QR decomposition.

        (x - mean) / sqrt(N - 1) = Q R,   covariance = R^T Q^T Q R = R^T R

    Shapes: (N, D) -> mean (D,), root (D, D), float64.
    Raises: ValueError for fewer samples than features, whose covariance has no inverse, and for
    numbers that are not finite.
    """
    x = np.asarray(features, np.float64)
    if x.ndim != 2 or len(x) <= x.shape[1]:
        raise ValueError(
            f"frechet: the features are {x.shape}, expected (N, D) with more samples N than D"
        )
    if not np.isfinite(x).all():
        raise ValueError("frechet: the features are not finite")
    mean = x.mean(axis=0)
    root = np.asarray(np.linalg.qr((x - mean) / (len(x) - 1) ** 0.5, mode="r"))
    return Gaussian(mean, root)


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """|m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2), from the roots of S.

    (S1 S2)^(1/2) has the trace of the singular values of R1 R2^T, as S1 S2 = R1^T (R1 R2^T) R2 has
    the eigenvalues of (R1 R2^T) (R1 R2^T)^T. So no root of a matrix is taken, which is complex when
    rounding makes an eigenvalue negative, and loses half the digits of small ones.

    Error: 1e-12 of tr S, tests/metrics/test_frechet.py.
    Raises: ValueError for Gaussians of different numbers of features.
    """
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"frechet: one set has features {a.mean.shape}, the other {b.mean.shape}")
    common = np.linalg.svd(a.root @ b.root.T, compute_uv=False).sum()
    return float(
        ((a.mean - b.mean) ** 2).sum() + (a.root**2).sum() + (b.root**2).sum() - 2 * common
    )


def fid(x: np.ndarray, y: np.ndarray) -> Measured:
    """The Frechet distance between two sets of features, with its standard error.

    Shapes: x (N, D), y (M, D).
    Raises: ValueError for fewer samples than features. Warns below 2,048 samples.
    """
    n = min(len(x), len(y))
    if n < ENOUGH:
        warnings.warn(
            f"fid: {n} pictures, fewer than {ENOUGH:,}: compare with nothing but another {n}",
            stacklevel=2,
        )
    return _jackknife(lambda x, y: frechet_distance(gaussian_of(x), gaussian_of(y)), x, y)


def kid(x: np.ndarray, y: np.ndarray) -> Measured:
    """The maximum mean discrepancy of the cubic kernel, unbiased, with its standard error.

    It may come out below 0. Shapes: x (N, D), y (M, D).
    Raises: ValueError for fewer than 2 samples in each tenth, or numbers of features that differ.
    """
    return _jackknife(polynomial_mmd, x, y)


def polynomial_mmd(x: np.ndarray, y: np.ndarray) -> float:
    """Eq. 2 in float64. Cost: (N + M)^2 D multiplications, and room for N M numbers."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.shape[1:] != y.shape[1:] or x.ndim != 2 or min(len(x), len(y)) < 2:
        raise ValueError(
            f"kid: the features are {x.shape} and {y.shape}, expected (N, D) and (M, D)"
        )

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        z = x @ y.T / x.shape[1] + 1
        return z * z * z  # of millions of numbers; a power takes ten times as long

    def others(x: np.ndarray) -> float:
        """The mean of k(x_i, x_j) over i != j."""
        own = ((x * x).sum(axis=1) / x.shape[1] + 1) ** 3
        return (kernel(x, x).sum() - own.sum()) / (len(x) * (len(x) - 1))

    return float(others(x) + others(y) - 2 * kernel(x, y).mean())


def _jackknife(
    distance: Callable[[np.ndarray, np.ndarray], float], x: np.ndarray, y: np.ndarray
) -> Measured:
    """The distance, and the root of its variance summed over the two sets.

    variance = (G - 1) / G sum_g (d_g - mean d)^2,   d_g the distance without group g of G
    """
    rng = np.random.default_rng(0)  # at random: sets are often ordered by class
    in_x, in_y = (rng.permutation(len(z)) % GROUPS for z in (x, y))
    without_x = [(x[in_x != g], y) for g in range(GROUPS)]
    without_y = [(x, y[in_y != g]) for g in range(GROUPS)]
    whole, *others = parallel_map(distance, *zip((x, y), *without_x, *without_y))
    variance = (GROUPS - 1) * np.var(np.reshape(others, (2, GROUPS)), axis=1).sum()
    sizes = f"n = {len(x)}" if len(x) == len(y) else f"n = {len(x)} and {len(y)}"
    return Measured(whole, float(variance**0.5), of=sizes)

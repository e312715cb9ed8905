"""Precision, recall, density, coverage: are the pictures true to life, and are all kinds there?

One distance between two sets cannot tell bad pictures from missing ones. Around each picture x_i of
a set lies a ball that reaches to its k-th nearest neighbour in that set, B(x_i); together they are
where the set is. With x true and y painted pictures, N and M of them, as features:

    precision = share of y inside some B(x_i)          do the pictures look real?            (1)
    recall    = share of x inside some B(y_j)          can all that is real be painted?      (1)
    density   = 1/(k M) sum over j of the number of B(x_i) around y_j                        (2)
    coverage  = share of B(x_i) with some y inside                                           (3)

Density counts balls, so one stray true picture with a large ball cannot vouch for all that falls
into it; coverage asks of the balls of true pictures, which outliers among painted ones cannot
widen. Of two sets of one distribution density is 1 on average, and coverage is

    E coverage = 1 - (N - 1) ... (N - k) / ((M + N - 1) ... (M + N - k))                     (4)

Source: (1) Kynkaanniemi et al., 2019, eq. 1 and 2, arXiv 1904.06991, k = 3; (2), (3), (4) Naeem et
al., 2020, section 3, arXiv 2002.09797, k = 5.
Derivation: docs/derivations/metrics.md.
"""

import numpy as np

from minigen.metrics.report import Measured, mean_of

BLOCK = 256  # rows of distances at a time


def squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """|x_i - y_j|^2 = |x_i|^2 + |y_j|^2 - 2 x_i y_j, float64: (N, D), (M, D) -> (N, M)."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 2 or x.shape[1:] != y.shape[1:]:
        raise ValueError(
            f"distances: the features are {x.shape} and {y.shape}, expected (N, D) and (M, D)"
        )
    squares = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1)
    return np.maximum(squares - 2 * x @ y.T, 0)


def nearest(x: np.ndarray, among: np.ndarray, k: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest of a set, nearest first: their places in it, and how far they are.

    Shapes: x (N, D), among (M, D) -> places (N, k) int64, distances (N, k) float64.
    Raises: ValueError unless 1 <= k <= M.
    """
    if not 1 <= k <= len(among):
        raise ValueError(f"nearest: k is {k}, expected 1 to {len(among)}, the size of the set")
    places, distances = [], []
    for first in range(0, len(x), BLOCK):
        squared = squared_distances(x[first : first + BLOCK], among)
        near = np.argpartition(squared, k - 1, axis=1)[:, :k]
        order = np.argsort(np.take_along_axis(squared, near, 1), axis=1, kind="stable")
        near = np.take_along_axis(near, order, 1)
        places.append(near)
        distances.append(np.take_along_axis(squared, near, 1) ** 0.5)
    return np.concatenate(places), np.concatenate(distances)


def radii(x: np.ndarray, k: int) -> np.ndarray:
    """Squared distance from each sample to its k-th nearest neighbour in the set: (N, D) -> (N,).

    Raises: ValueError where there are no k others.
    """
    if not 1 <= k < len(x):
        raise ValueError(f"radii: k is {k}, expected 1 to {len(x) - 1}, one less than the samples")
    squared = squared_distances(x, x)
    np.fill_diagonal(squared, np.inf)  # it is not its own neighbour
    return np.partition(squared, k - 1, axis=1)[:, k - 1]


def precision_recall(real: np.ndarray, painted: np.ndarray, k: int = 3) -> dict[str, Measured]:
    """Eq. 1, both ways. Shapes: real (N, D), painted (M, D)."""
    squared = squared_distances(real, painted)  # (N, M)
    precise = np.any(squared <= radii(real, k)[:, None], axis=0)
    recalled = np.any(squared <= radii(painted, k), axis=1)
    return {"precision": _share(precise, k), "recall": _share(recalled, k)}


def density_coverage(real: np.ndarray, painted: np.ndarray, k: int = 5) -> dict[str, Measured]:
    """Eq. 2 and 3. Shapes: real (N, D), painted (M, D)."""
    inside = squared_distances(real, painted) <= radii(real, k)[:, None]  # (N, M)
    return {
        "density": _share(np.sum(inside, axis=0) / k, k),
        "coverage": _share(np.any(inside, axis=1), k),
    }


def expected_coverage(n: int, m: int, k: int = 5) -> float:
    """Eq. 4: the coverage of n samples by m others of the same distribution, on average.

    >>> round(expected_coverage(2048, 2048), 3)
    0.969
    """
    places = np.arange(1, k + 1)
    return float(1 - np.prod((n - places) / (m + n - places)))


def _share(inside: np.ndarray, k: int) -> Measured:
    """The mean over samples; its error treats them as independent, which shared balls are not."""
    return mean_of(inside, of=f"n = {len(inside)}, k = {k}")

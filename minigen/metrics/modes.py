"""Mode coverage: does a model make all kinds of things, or only some of them?

Where the kinds can be counted, one need not guess from distances:

    a grid of Gaussians    25 spots in the plane; a sample is good within 3 sigma of a spot     (1)
    stacked MNIST          three digits as red, green, blue: 1,000 kinds, told by a classifier  (2)

A kind is found where one (good) sample is of it. How evenly the kinds are met is

    KL = sum over kinds of p log(p / q),   p the samples' shares, q the true ones               (3)

in nats. It is 0 only for p = q, log(K) for one of K equal kinds, and finite for missing kinds. Of n
samples of a perfect model it is not 0 but about (K - 1) / (2 n), because counts scatter.

Source: (1) Srivastava et al., VEEGAN, 2017, section 4.1, arXiv 1705.07761; (2) Metz et al.,
Unrolled GANs, 2016, section 3.3.1, arXiv 1611.02163; both as in Lin et al., PacGAN, 2017, section
4, arXiv 1712.04086: 2,500 points, 26,000 pictures.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minigen.metrics.neighbours import nearest

DIGITS = 10
STACKED = DIGITS**3  # kinds of three digits


@dataclass(frozen=True)
class Modes:
    """Which kinds were met, and how often.

    counts        (K,) samples of each kind, the good ones only
    of            all samples, the bad ones too
    kl            eq. 3 of the good samples, in nats; infinite where there are none
    expected_kl   about what a perfect model has with so many good samples, (K - 1) / (2 n)
    """

    counts: np.ndarray
    of: int
    kl: float
    expected_kl: float

    @property
    def found(self) -> int:
        """Kinds of which there is at least one good sample."""
        return int((self.counts > 0).sum())

    @property
    def high_quality(self) -> float:
        """Share of samples that are good."""
        return float(self.counts.sum() / self.of)

    def __str__(self) -> str:
        return (
            f"{self.found} of {len(self.counts)} modes, {100 * self.high_quality:.1f} % of "
            f"{self.of} samples good, KL {self.kl:.3f} nats (if perfect {self.expected_kl:.3f})"
        )


def count_modes(kinds: np.ndarray, of: int, modes: int, shares: np.ndarray | None = None) -> Modes:
    """Modes from the kind of each good sample.

    kinds   (n,) integers in 0 ... modes - 1, n <= of
    of      all samples, good and bad
    shares  (modes,) true shares of the kinds; None: all the same

    Raises: ValueError for no samples, a kind out of range, or a kind met whose true share is 0.
    """
    kinds = np.asarray(kinds)
    if of < 1 or len(kinds) > of:
        raise ValueError(f"count_modes: {len(kinds)} good samples of {of}")
    if len(kinds) and not 0 <= kinds.min() <= kinds.max() < modes:
        raise ValueError(
            f"count_modes: kinds from {kinds.min()} to {kinds.max()}, expected 0 to {modes - 1}"
        )
    counts = np.bincount(kinds.astype(np.int64), minlength=modes)
    q = np.full(modes, 1 / modes) if shares is None else np.asarray(shares, np.float64)
    return Modes(
        counts,
        of,
        kl_divergence(counts, q) if len(kinds) else float("inf"),
        (modes - 1) / (2 * len(kinds)) if len(kinds) else float("inf"),
    )


def kl_divergence(p: np.ndarray, q: np.ndarray) -> float:
    """sum p log(p / q) in nats (eq. 3); both are scaled to a sum of 1, and 0 log 0 is 0.

    Shapes: (K,), (K,) -> a number.
    Raises: ValueError for other shapes, negative numbers, no sum, or q = 0 where p is not.
    """
    p, q = np.asarray(p, np.float64), np.asarray(q, np.float64)
    if p.shape != q.shape or p.ndim != 1 or min(p.min(), q.min()) < 0 or not p.sum() * q.sum() > 0:
        raise ValueError(
            f"kl_divergence: got {p.shape} and {q.shape}, expected shares of one length"
        )
    p, q = p / p.sum(), q / q.sum()
    if (q[p > 0] == 0).any():
        raise ValueError("kl_divergence: there are samples of a kind that should have none")
    return float((p[p > 0] * np.log(p[p > 0] / q[p > 0])).sum())


def gaussian_modes(
    samples: np.ndarray, centres: np.ndarray, sigma: float, within: float = 3.0
) -> Modes:
    """Modes of a mixture of equal Gaussians: a sample is good within 3 sigma of a centre.

    Shapes: samples (N, D), centres (K, D).
    Raises: ValueError for no samples, or a sigma or `within` that is not above 0.
    """
    if not len(samples) or not sigma > 0 or not within > 0:
        raise ValueError(
            f"gaussian_modes: {len(samples)} samples, sigma {sigma}, within {within}: all are "
            "expected to be above 0"
        )
    places, distances = nearest(samples, centres)
    good = distances[:, 0] <= within * sigma
    return count_modes(places[good, 0], len(samples), len(centres))


def stack_digits(
    images: np.ndarray, labels: np.ndarray, n: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """`n` pictures of stacked MNIST: three digits drawn at random, one for each colour.

    Shapes: images (N, H, W, 1) uint8, labels (N,) -> (n, H, W, 3) uint8 and (n,) in 0 ... 999,
    100 times the red digit, 10 times the green one, and the blue one.
    Raises: ValueError for pictures that are not grey.
    """
    if images.ndim != 4 or images.shape[3] != 1 or len(images) != len(labels):
        raise ValueError(
            f"stack_digits: {images.shape} pictures and {len(labels)} labels, expected (N, H, W, 1)"
        )
    rows = rng.integers(len(images), size=(n, 3))
    stacked = images[rows, ..., 0].transpose(0, 2, 3, 1)  # (n, 3, H, W) -> (n, H, W, 3)
    return stacked, labels[rows] @ np.array([100, 10, 1])


def stacked_modes(images: np.ndarray, classify: Callable[[np.ndarray], np.ndarray]) -> Modes:
    """Modes of stacked MNIST: the classifier reads each colour, and all 1,000 numbers are kinds.

    Every sample counts as good: a smear is read as some digit too.

    classify  grey pictures uint8 (N, H, W, 1) -> digits (N,)

    Shapes: images uint8 (N, H, W, 3).
    Raises: ValueError for no pictures, or other shapes.
    """
    if images.ndim != 4 or images.shape[3] != 3 or not len(images):
        raise ValueError(f"stacked_modes: the pictures are {images.shape}, expected (N, H, W, 3)")
    red, green, blue = (classify(images[..., c : c + 1]) for c in range(3))
    return count_modes(100 * red + 10 * green + blue, len(images), STACKED)

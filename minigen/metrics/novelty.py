"""Diversity and novelty: are the pictures different from each other, and from the training set?

A model that copies its training set has perfect precision, recall and feature distance. What gives
it away is the way to the nearest training picture. How long that way should be is told by pictures
that were held out: they are of the same kind, and nobody can have copied them.

    d(x)        = distance from x to its nearest training picture, as features
    typical     = median of d over the held-out pictures
    memorised   : d(x) < ratio typical                                                          (1)
    nearness    = median of d over the samples / typical                                        (2)

Below 1, the nearness says that samples stay closer to the training set than new pictures do; above,
that they are strange to it. The share of held-out pictures that (1) calls memorised is the floor:
a set has pictures that are nearly the same, and only what exceeds the floor is the model's doing.

Source: Meehan, Chaudhuri, Dasgupta, A Non-Parametric Test to Detect Data-Copying, 2020,
arXiv 2004.05675: held-out pictures as the measure. The threshold is ours.
"""

from dataclasses import dataclass

import numpy as np

from minigen.data.pixels import grid
from minigen.metrics.neighbours import nearest
from minigen.metrics.report import Measured, mean_of

RATIO = 1 / 3  # of the typical distance; nearer than that is a copy


@dataclass(frozen=True)
class Novelty:
    """How near the samples are to the training set.

    memorised  share of samples that are copies by (1); `floor` the same of the held-out pictures
    nearness   eq. 2
    distances  (N,) from each sample to its nearest training picture
    places     (N,) where that one is in the training set
    """

    memorised: Measured
    floor: Measured
    nearness: float
    distances: np.ndarray
    places: np.ndarray

    def numbers(self) -> dict[str, Measured]:
        """For a report."""
        return {
            "memorised": self.memorised,
            "memorised, test pictures": self.floor,
            "way to the training set": Measured(self.nearness, of="1: as far as test pictures"),
        }

    def remarks(self) -> tuple[str, ...]:
        """Words about what looks wrong, for a report."""
        excess = self.memorised.value - self.floor.value
        spread = ((self.memorised.error or 0) ** 2 + (self.floor.error or 0) ** 2) ** 0.5
        if excess <= 0.01 + 2 * spread:
            return ()
        return (
            f"memorising: {100 * self.memorised.value:.1f} % of the samples are copies of training "
            f"pictures, of pictures never trained on {100 * self.floor.value:.1f} % are so near; "
            "train for a shorter time, with a smaller network, or on more pictures",
        )


def novelty(
    samples: np.ndarray, training: np.ndarray, held_out: np.ndarray, ratio: float = RATIO
) -> Novelty:
    """The memorisation rate and the nearness of samples, from features of all pictures.

    Shapes: samples (N, D), training (M, D), held_out (L, D).
    Cost: (N + L) M D multiplications.
    Raises: ValueError where a set is empty, the ratio is not above 0, or all held-out pictures are
    training pictures too, so that nothing is typical.
    """
    if not min(map(len, (samples, training, held_out))):
        sizes = f"{len(samples)}, {len(training)} and {len(held_out)}"
        raise ValueError(f"novelty: got {sizes} pictures, expected some in each set")
    if not ratio > 0:
        raise ValueError(f"novelty: ratio is {ratio}, expected a number above 0")
    places, distances = nearest(samples, training)
    usual = nearest(held_out, training)[1][:, 0]
    typical = float(np.median(usual))
    if not typical > 0:
        raise ValueError("novelty: half of the held-out pictures are in the training set")
    criterion = f"nearer than {ratio:.2g} of the typical way"
    return Novelty(
        mean_of(distances < ratio * typical, of=f"n = {len(samples)}, {criterion}"),
        mean_of(usual < ratio * typical, of=f"n = {len(held_out)}, {criterion}"),
        float(np.median(distances)) / typical,
        distances[:, 0],
        places[:, 0],
    )


def diversity(samples: np.ndarray, real: np.ndarray) -> float:
    """Root mean squared distance between two samples over that between two real pictures.

    1 for samples as unlike each other as real pictures are, 0 for one picture again and again. Of a
    model with classes, ask it of each class: classes alone are far apart.

    Shapes: samples (N, D), real (M, D), features.
    Raises: ValueError for fewer than 2 pictures, other features, or real ones that are all alike.
    """
    if min(len(samples), len(real)) < 2 or samples.shape[1:] != real.shape[1:]:
        raise ValueError(
            f"diversity: the features are {samples.shape} and {real.shape}, expected (N, D) and "
            "(M, D) of 2 pictures or more each"
        )
    spread, true = (
        float(np.asarray(x, np.float64).var(axis=0, ddof=1).sum()) for x in (samples, real)
    )
    if not true > 0:
        raise ValueError("diversity: the real pictures are all alike")
    return (spread / true) ** 0.5  # E |x - x'|^2 = 2 sum of variances


def closest_pairs(
    samples: np.ndarray, training: np.ndarray, found: Novelty, n: int = 12
) -> np.ndarray:
    """The samples nearest to the training set, each above its nearest training picture.

    Shapes: uint8 (N, H, W, C) and (M, H, W, C), C = 1 or 3 -> uint8, (2 H + gap, ..., 3).
    Raises: ValueError where samples and what was found of them differ in number.
    """
    if len(samples) != len(found.distances) or not len(samples):
        raise ValueError(
            f"closest_pairs: {len(samples)} samples, but {len(found.distances)} distances"
        )
    nearest_first = np.argsort(found.distances, kind="stable")[:n]
    rows = [samples[nearest_first], training[found.places[nearest_first]]]
    sheet = grid(np.concatenate(rows), columns=len(nearest_first), gap=2)
    return sheet if sheet.shape[-1] == 3 else sheet.repeat(3, axis=-1)

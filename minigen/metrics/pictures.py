"""What can be said of painted pictures beside true ones: the report of a recipe without labels.

A judge, a network trained on true pictures, gives the features by which sets are compared. The
painted pictures are held against test pictures, which neither painter nor judge has met, and so are
other test pictures: what these have is as good as it gets. Every set has n pictures, each drawn on
its own. Pictures painted by class: minigen/metrics/labelled.py.
"""

import numpy as np

from minigen.data.pixels import grid
from minigen.metrics.agreement import Network, outputs
from minigen.metrics.frechet import ENOUGH, GROUPS, fid, frechet_distance, gaussian_of, kid
from minigen.metrics.neighbours import density_coverage, precision_recall
from minigen.metrics.novelty import closest_pairs, novelty
from minigen.metrics.report import Measured, Report

DRAWS = 10  # of test pictures, for the feature distance
SHOWN = 40  # samples on their sheet


def judge_pictures(
    images: np.ndarray,
    test: np.ndarray,
    train: np.ndarray,
    features: Network,
    rng: np.random.Generator,
) -> Report:
    """FID, KID, precision, recall, density, coverage, copies, and two sheets of pictures.

    images        painted ones, uint8 (n, H, W, 1 or 3)
    test, train   all true pictures there are, the training ones to look for copies of them
    features      of the judge: pictures (N, H, W, C) -> (N, D)

    Raises: ValueError where the test set has less than twice as many pictures.
    Cost: the features of the whole training set, above all.
    """
    check_number(images, test)
    x, y, known = (outputs(features, shown) for shown in (test, images, train))
    return compare(images, train, x, y, known, rng)


def check_number(images: np.ndarray, test: np.ndarray) -> None:
    """Raises: ValueError where the test set has less than twice as many pictures."""
    if 2 * len(images) > len(test):
        raise ValueError(
            f"judge_pictures: {len(images)} pictures to compare with {len(test)} test pictures, "
            f"expected at most {len(test) // 2}"
        )


def compare(
    images: np.ndarray,
    train: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    known: np.ndarray,
    rng: np.random.Generator,
) -> Report:
    """`judge_pictures` by the features x of test, y of painted, `known` of training pictures."""
    n = len(images)
    copies = novelty(y, known, x[:n])
    numbers: dict[str, Measured] = {}
    remarks = []
    if n < ENOUGH:
        remarks.append(f"n = {n}: distances depend on n; published ones have {ENOUGH:,} or more")
    if n - -(-n // GROUPS) > x.shape[1]:  # what the jackknife of FID leaves of n
        numbers = _distances(x, y, rng)
        remarks += _missing(numbers)
    else:
        remarks.append(
            f"{n} pictures have no distance in {x.shape[1]} features: take -n {ENOUGH} or more"
        )
    pictures = {"samples": sheet(images), "nearest": closest_pairs(images, train, copies)}
    return Report(numbers | copies.numbers(), pictures, (*remarks, *copies.remarks()))


def sheet(images: np.ndarray) -> np.ndarray:
    """The first pictures, uint8 (N, H, W, 1 or 3), ten in a row: (H, W, 3)."""
    shown = grid(images[:SHOWN], columns=10, gap=2)
    return shown.repeat(3, axis=-1) if shown.shape[-1] == 1 else shown


def _distances(true: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> dict[str, Measured]:
    """Of all true features, and painted y: against x, that many true ones, and x against z, others.

    How many of each class are drawn moves the floor by tens of per cent, so FID is the mean over
    `DRAWS` pairs x and z. Its error is that of one pair, because y is drawn once. That of the floor
    counts only as many pairs as can be drawn without a picture coming twice.
    """
    n, painted = len(y), gaussian_of(y)
    pairs = [true[rng.permutation(len(true))[: 2 * n]].reshape(2, n, -1) for _ in range(DRAWS)]
    drawn = [(gaussian_of(x), gaussian_of(z)) for x, z in pairs]
    x, z = pairs[0]
    of = f"n = {n}, mean over {DRAWS} draws of test pictures"
    found = Measured(
        float(np.mean([frechet_distance(x, painted) for x, _ in drawn])), fid(x, y).error, of=of
    )
    floors = np.array([frechet_distance(x, z) for x, z in drawn])
    apart = len(true) // (2 * n)  # pairs that share no picture
    floor = Measured(float(floors.mean()), float(floors.std(ddof=1)) / apart**0.5, of=of)
    ratio = found.value / floor.value
    error = ratio * sum(((m.error or 0) / m.value) ** 2 for m in (found, floor)) ** 0.5
    return {
        "FID": found,
        "FID, real against real": floor,
        "FID over that floor": Measured(ratio, error, of=of),
        "KID": kid(x, y),
        "KID, real against real": kid(x, z),
        **precision_recall(x, y),
        **{f"{name}, real against real": m for name, m in precision_recall(x, z).items()},
        **density_coverage(x, y),
        **{f"{name}, real against real": m for name, m in density_coverage(x, z).items()},
    }


def _missing(numbers: dict[str, Measured]) -> list[str]:
    """What looks wrong by the neighbours."""

    def part(name: str) -> float:
        return numbers[name].value / numbers[f"{name}, real against real"].value

    said = []
    if part("coverage") < 0.5:
        said.append("half of the true pictures have none like them: modes are missing (collapse)")
    if part("density") < 0.5:
        said.append("half of the pictures are unlike true ones: train for longer, or guide more")
    return said

"""What can be said of pictures painted by class, all at once: the report of such a recipe.

A judge, a classifier trained on true pictures, says which class it sees and gives the features by
which sets are compared. The painted pictures are held against test pictures, which neither painter
nor judge has met, and so are other test pictures: what these have is as good as it gets. Every set
has n pictures, each drawn on its own: ask for labels at random, as often as they are met.
"""

from collections.abc import Callable

import numpy as np

from minigen.autograd import Tensor, no_grad
from minigen.data.pixels import grid
from minigen.metrics.agreement import Network, outputs
from minigen.metrics.frechet import ENOUGH, GROUPS, fid, frechet_distance, gaussian_of, kid
from minigen.metrics.neighbours import density_coverage, precision_recall
from minigen.metrics.novelty import closest_pairs, novelty
from minigen.metrics.report import Measured, Report, mean_of

DRAWS = 10  # of test pictures, for the feature distance
SHOWN = 40  # samples on their sheet
Labelled = tuple[np.ndarray, np.ndarray]  # uint8 (N, H, W, 1), labels (N,)


def judge_labelled(
    painted: Labelled,
    test: Labelled,
    train: np.ndarray,
    features: Network,
    vote: Callable[[Tensor], Tensor],
    rng: np.random.Generator,
) -> Report:
    """Label agreement, FID, KID, precision, recall, density, coverage, and two sheets of pictures.

    painted          pictures and the labels they were asked for
    test, train      all true pictures there are, the training ones to look for copies of them
    features, vote   the judge in two: pictures (N, H, W, C) -> (N, D) -> logits (N, classes)

    Raises: ValueError where the test set has less than twice as many pictures.
    Cost: the features of the whole training set, above all.
    """
    images, labels = painted
    n = len(images)
    if 2 * n > len(test[0]):
        raise ValueError(
            f"judge_labelled: {n} pictures to compare with {len(test[0])} test pictures, "
            f"expected at most {len(test[0]) // 2}"
        )
    x, y, known = (outputs(features, shown) for shown in (test[0], images, train))
    copies = novelty(y, known, x[:n])

    def right(features: np.ndarray, labels: np.ndarray) -> Measured:
        with no_grad():
            seen = vote(Tensor(features)).data.argmax(-1)
        return mean_of(seen == labels, of=f"n = {len(labels)}")

    agreement = right(y, labels)
    numbers: dict[str, Measured] = {
        "label agreement": agreement,
        "label agreement, test pictures": right(x, test[1]),
    }
    remarks = _remarks(n, agreement.value, len(np.unique(labels)))
    if n - -(-n // GROUPS) > x.shape[1]:  # what the jackknife of FID leaves of n
        numbers |= _distances(x, y, rng)
        remarks += _missing(numbers)
    else:
        remarks.append(
            f"{n} pictures have no distance in {x.shape[1]} features: take -n {ENOUGH} or more"
        )
    numbers |= copies.numbers()
    by_label = np.argsort(labels[:SHOWN], kind="stable")
    sheet = grid(images[by_label], columns=10, gap=2)
    pictures = {
        "samples": sheet.repeat(3, axis=-1) if sheet.shape[-1] == 1 else sheet,
        "nearest": closest_pairs(images, train, copies),
    }
    return Report(numbers, pictures, (*remarks, *copies.remarks()))


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


def _remarks(n: int, agreement: float, classes: int) -> list[str]:
    """What looks wrong by n and the agreement."""
    said = []
    if n < ENOUGH:
        said.append(f"n = {n}: distances depend on n; published ones have {ENOUGH:,} or more")
    if agreement < 2 / classes:
        said.append("the judge hardly sees what was asked for: is the model trained?")
    return said


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

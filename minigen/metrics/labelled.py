"""What can be said of pictures painted by class, all at once: the report of such a recipe.

As minigen/metrics/pictures.py, and the judge, a classifier, says which class it sees. Ask for
labels at random, as often as they are met.
"""

from collections.abc import Callable

import numpy as np

from minigen.autograd import Tensor, no_grad
from minigen.metrics.agreement import Network, outputs
from minigen.metrics.pictures import SHOWN, check_number, compare, sheet
from minigen.metrics.report import Measured, Report, mean_of

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
    check_number(images, test[0])
    x, y, known = (outputs(features, shown) for shown in (test[0], images, train))

    def right(features: np.ndarray, labels: np.ndarray) -> Measured:
        with no_grad():
            seen = vote(Tensor(features)).data.argmax(-1)
        return mean_of(seen == labels, of=f"n = {len(labels)}")

    agreement = right(y, labels)
    numbers: dict[str, float | Measured] = {
        "label agreement": agreement,
        "label agreement, test pictures": right(x, test[1]),
    }
    said: tuple[str, ...] = ()
    if agreement.value < 2 / len(np.unique(labels)):
        said = ("the judge hardly sees what was asked for: is the model trained?",)
    by_label = np.argsort(labels[:SHOWN], kind="stable")
    others = compare(images, train, x, y, known, rng)
    return Report(numbers) | others | Report({}, {"samples": sheet(images[by_label])}, said)

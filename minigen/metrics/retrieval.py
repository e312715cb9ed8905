"""Which caption belongs to a picture, which picture to a caption: what CLIP is asked.

Of N pictures with N captions, all different, row n of a matrix of similarities says how well
picture n fits each caption. A right answer is larger than all others: where two captions fit
equally well, neither has been found, so that a network which says the same to everything scores 0,
not 100. Chance is 1 / N.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from minigen.metrics.report import Measured, mean_of

AMONG = 100  # captions, or pictures, of which one is right
AT_GUESS = 0.97  # share of ln N, above which nothing has been learnt
PATIENCE = 12  # lines of the log


def found(similarity: np.ndarray) -> np.ndarray:
    """Whether each row is largest on the diagonal, by more than nothing: (N, N) -> (N,) bool.

    Raises: ValueError where the matrix is not square.

    >>> found(np.array([[0.9, 0.1, 0.0], [0.5, 0.5, 0.0], [0.0, 0.3, 0.2]]))
    array([ True, False, False])
    """
    if similarity.ndim != 2 or len(similarity) != similarity.shape[1]:
        raise ValueError(f"found: similarity is {similarity.shape}, expected (N, N)")
    others = np.where(np.eye(len(similarity), dtype=bool), -np.inf, similarity)
    return np.diagonal(similarity) > others.max(axis=1)


def retrieval(groups: list[np.ndarray], kind: str = "") -> dict[str, Measured]:
    """Right answers in percent, both ways, of several square matrices of one size, with chance.

    groups  similarities of pictures (rows) and captions (columns), each (N, N)
    kind    put before the names of the numbers
    """
    N = len(groups[0])
    of = f"{len(groups) * N} pictures, {N} at a time"
    ways = {"caption of a picture": groups, "picture of a caption": [g.T for g in groups]}
    start = f"{kind}: " if kind else ""
    scores = {
        f"{start}{way} found": mean_of(100.0 * np.concatenate([found(g) for g in these]), "%", of)
        for way, these in ways.items()
    }
    return scores | {f"{start}chance": Measured(100 / N, unit="%")}


def names_found(
    paint: Callable[[Sequence[str]], np.ndarray],
    score: Callable[[np.ndarray, Sequence[str]], np.ndarray],
    names: Sequence[str],
    among: int = AMONG,
) -> np.ndarray:
    """Whether a judge finds, for each picture that was painted of a name, that name among others.

    paint  names -> a picture for each, uint8 (N, H, W, 3)
    score  (pictures, names) -> how well each picture fits each name, (N, M): a CLIP that was
           trained without any of these pictures
    names  all different; the last ones that fill no group of `among` are left out, unless they
           are all there is

    Shapes: -> (N,) bool.
    """
    among = min(among, len(names))
    groups = [names[k : k + among] for k in range(0, len(names) - among + 1, among)]
    return np.concatenate([found(score(paint(group), group)) for group in groups])


class AtGuess:
    """`diagnose` of a training: the loss stays at ln N, for a while.

    The numbers of a log line are asked for "loss" and "guess", ln N of the batch, or of the
    part of it that one core has.
    """

    def __init__(self) -> None:
        self.lines = 0

    def __call__(self, numbers: Mapping[str, float], pictures: np.ndarray | None) -> list[str]:
        if not {"loss", "guess"} <= numbers.keys():
            return []
        at_guess = math.isfinite(numbers["loss"]) and numbers["loss"] > AT_GUESS * numbers["guess"]
        self.lines = self.lines + 1 if at_guess else 0
        if self.lines < PATIENCE:
            return []
        return [
            "the loss stands at ln(batch), that of a guess: no caption is told from another; look "
            "whether pictures still stand beside their own captions, whether captions are emptied "
            "(--no-prompt should be 0), or take smaller learning rates"
        ]

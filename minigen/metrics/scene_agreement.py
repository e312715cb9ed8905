"""Whether a picture that was translated into another style still shows the same scene.

What a picture showed is known, as it was drawn from it; what its translation shows is read by the
parser in the new style (minigen/data/scene_parser.py). Of every picture it is asked

    count    are there as many objects?
    shape    has every object its shape?
    place    does every object stand within 1.5 pixels of its place, on the right side of the other?
    colour   has every object, and the background, the colour of that name in the new style?

Where nobody shows pairs nobody says which pastel is which red: colour is not asked of a translation
that was learnt without pairs, and is told beside.
"""

from collections.abc import Sequence

import numpy as np

from minigen.data.scene_judge import canonical
from minigen.data.scenes import Scene

WITHIN = 1.5  # pixels; the radius of a small object is 4.2
ASKED = ("count", "shape", "place")


def scene_agreement(
    seen: Sequence[Scene | None], true: Sequence[Scene], within: float = WITHIN
) -> dict[str, np.ndarray]:
    """Picture by picture: `count`, `shape`, `place`, `colour`, and `all`, the first three at once.

    A picture in which no scene was seen, or as many objects as there are not, has all wrong.

    Shapes: N scenes each -> (N,) bool each.
    Raises: ValueError for lists of other lengths.
    """
    if len(seen) != len(true):
        raise ValueError(f"scene_agreement: {len(seen)} scenes were seen in {len(true)} pictures")
    rows = [_compare(a, b, within) for a, b in zip(seen, true)]
    right = {name: np.array([row[name] for row in rows], bool) for name in (*ASKED, "colour")}
    return right | {"all": np.all([right[name] for name in ASKED], axis=0)}


def _compare(seen: Scene | None, true: Scene, within: float) -> dict[str, bool]:
    if seen is None or len(seen.objects) != len(true.objects):
        return dict.fromkeys((*ASKED, "colour"), False)
    seen, true = canonical(seen), canonical(true)
    pairs = list(zip(seen.objects, true.objects))
    near = all(max(abs(a.x - b.x), abs(a.y - b.y)) <= within for a, b in pairs)
    return {
        "count": True,
        "shape": all(a.shape == b.shape for a, b in pairs),
        "place": near and seen.relation == true.relation,
        "colour": seen.background == true.background
        and all(a.colour == b.colour for a, b in pairs),
    }

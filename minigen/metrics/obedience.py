"""Is what was asked for in the picture? Of scenes it can be told exactly, by reading the pixels.

exactly right   the picture is a scene of the caption, outlines and all
named right     the scene that the picture comes nearest to is one; then attribute by attribute
"""

from collections.abc import Callable, Sequence

import numpy as np

from minigen.data.scene_judge import ATTRIBUTES, summary
from minigen.data.scene_parser import judge_many
from minigen.data.scenes import HeldOut, sample_batch

# Captions of an evaluation: the share of two objects, and whether with untrained colours of shapes.
KINDS: dict[str, tuple[float, HeldOut]] = {
    "one object": (0.0, "never"),
    "two objects": (1.0, "never"),
    "untrained, one object": (0.0, "only"),
    "untrained, two objects": (1.0, "only"),
}


def scene_obedience(
    paint: Callable[[Sequence[str]], np.ndarray], n: int, rng: np.random.Generator
) -> dict[str, float]:
    """Shares of `n` captions of each kind whose picture is right, read by the parser.

    paint  captions -> a picture for each, uint8 (N, 32, 32, 3)
    """
    scores: dict[str, float] = {}
    for kind, (pairs, held_out) in KINDS.items():
        captions = sample_batch(
            n, rng, pairs=pairs, held_out=held_out, drop_size=0, drop_background=0
        )[1]
        pictures = paint(captions)
        exactly = summary(judge_many(pictures, captions))
        named = summary(judge_many(pictures, captions, nearest=True))
        scores[f"{kind}: exactly right"] = exactly["all_right"]
        scores[f"{kind}: named right"] = named["all_right"]
        scores |= {f"{kind}: {name}": named[name] for name in ATTRIBUTES if name in named}
    return scores


def scenes_right(pictures: np.ndarray, captions: Sequence[str]) -> dict[str, float]:
    """Shares of pictures, uint8 (N, 32, 32, 3), that show what their captions say."""
    return {
        "exactly right": summary(judge_many(pictures, captions))["all_right"],
        "named right": summary(judge_many(pictures, captions, nearest=True))["all_right"],
    }


def scenes_kept(
    through: Callable[[np.ndarray], np.ndarray], n: int, rng: np.random.Generator
) -> dict[str, float]:
    """Shares of `n` true scenes of each kind that are still right behind an autoencoder: the most
    that a model which paints through it can reach.

    through  true pictures -> what becomes of them, uint8 (N, 32, 32, 3)
    """
    shares: dict[str, float] = {}
    for kind in ("one object", "two objects"):
        pairs = KINDS[kind][0]
        pictures, captions = sample_batch(n, rng, pairs=pairs, drop_size=0, drop_background=0)
        right = scenes_right(through(pictures), captions)
        shares |= {f"{kind}: {name}": share for name, share in right.items()}
    return shares

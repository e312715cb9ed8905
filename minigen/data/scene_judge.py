"""Comparing what a picture shows with what its caption says, attribute by attribute.

The picture has been read by `minigen.data.scene_parser`; the caption is read by a grammar. What it
leaves out is not judged. Which of two objects is meant by which half of the caption is not
known beforehand: the matching with the most agreement counts, and the relation is judged under it,
so `red left of blue` painted the wrong way round has the colours right and the relation wrong.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from minigen.data.scenes import COLOURS, RELATIONS, SHAPES, SIZES, Scene
from minigen.data.words import split_words

ATTRIBUTES = ("count", "background", "colour", "shape", "size", "relation")


@dataclass(frozen=True)
class Judgement:
    """What is right in a picture: True or False, None for what the caption does not say.

    `count` is the number of objects. A picture that shows no clear scene has everything wrong.
    """

    count: bool
    background: bool | None
    colour: bool | None
    shape: bool | None
    size: bool | None
    relation: bool | None
    seen: Scene | None

    @property
    def all_right(self) -> bool:
        """Whether everything the caption says is in the picture."""
        return all(getattr(self, name) is not False for name in ATTRIBUTES)


def _grammar() -> re.Pattern[str]:
    def one_of(names: Sequence[str]) -> str:
        return f"({'|'.join(names)})"

    colour = one_of(list(COLOURS))
    thing = f"a (?:{one_of(SIZES)} )?(?:{colour} )?{one_of(SHAPES)}"
    return re.compile(f"{thing}(?: {one_of(RELATIONS)} {thing})?(?: on a {colour} background)?")


_GRAMMAR = _grammar()


@dataclass(frozen=True)
class Claim:
    """What a caption says; an empty text stands for what it leaves out."""

    background: str
    things: tuple[tuple[str, str, str], ...]  # size, colour, shape
    relation: str


def read_caption(text: str) -> Claim:
    """What a caption says.

    >>> read_caption("A red circle above a small ring.").things
    (('', 'red', 'circle'), ('small', '', 'ring'))

    Raises: ValueError for a text that is not a caption of a scene.
    """
    match = _GRAMMAR.fullmatch(" ".join(split_words(text)))
    if not match:
        raise ValueError(
            f"judge: got {text!r}, expected a caption like "
            "'a large red circle above a small blue square on a white background'"
        )
    words = [word or "" for word in match.groups()]
    first, relation, background = (words[0], words[1], words[2]), words[3], words[7]
    second = (words[4], words[5], words[6])
    return Claim(background, (first, second) if relation else (first,), relation)


def canonical(scene: Scene) -> Scene:
    """The same picture as the parser words it: `A right of B` is `B left of A`."""
    other = {"right of": "left of", "below": "above"}.get(scene.relation or "")
    return Scene(scene.background, scene.objects[::-1], other) if other else scene


def summary(judgements: Sequence[Judgement]) -> dict[str, float]:
    """Share of pictures that are right, per attribute among the captions that name it.

    'all_right' is the score; 'readable' is the share of pictures that show a clear scene.
    """
    if not judgements:
        raise ValueError("summary: got no judgements, expected at least one")
    shares = {
        "all_right": float(np.mean([one.all_right for one in judgements])),
        "readable": float(np.mean([one.seen is not None for one in judgements])),
    }
    for name in ATTRIBUTES:
        judged = [getattr(one, name) for one in judgements if getattr(one, name) is not None]
        if judged:
            shares[name] = float(np.mean(judged))
    return shares


def compare(seen: Scene | None, caption: str) -> Judgement:
    """The judgement on a picture that was read as `seen`."""
    claim = read_caption(caption)
    if seen is None or len(seen.objects) != len(claim.things):
        return _all_wrong(seen, claim)
    seen = canonical(seen)
    orders = permutations(range(len(claim.things)))
    candidates = [_compare_in_order(seen, claim, order) for order in orders]
    return max(candidates, key=lambda one: sum(getattr(one, name) is True for name in ATTRIBUTES))


def _all_wrong(seen: Scene | None, claim: Claim) -> Judgement:
    """No scene, or a wrong number of objects: only the background can be right."""
    size, colour, shape = (
        False if any(words) else None for words in zip(*claim.things, strict=True)
    )
    background = seen is not None and seen.background == claim.background
    return Judgement(
        count=False,
        background=background if claim.background else None,
        colour=colour,
        shape=shape,
        size=size,
        relation=False if claim.relation else None,
        seen=seen,
    )


def _compare_in_order(seen: Scene, claim: Claim, order: Sequence[int]) -> Judgement:
    """The judgement if the k-th object of the caption is the order[k]-th of the picture."""
    pairs = [(words, seen.objects[k]) for words, k in zip(claim.things, order, strict=True)]

    def agree(index: int, attribute: str) -> bool | None:
        said = [(words[index], getattr(thing, attribute)) for words, thing in pairs if words[index]]
        return all(word == value for word, value in said) if said else None

    return Judgement(
        count=True,
        background=seen.background == claim.background if claim.background else None,
        colour=agree(1, "colour"),
        shape=agree(2, "shape"),
        size=agree(0, "size"),
        relation=_relation_holds(claim.relation, order, seen) if claim.relation else None,
        seen=seen,
    )


def _relation_holds(relation: str, order: Sequence[int], seen: Scene) -> bool:
    forward = {"left of": "left of", "right of": "left of", "below": "above", "above": "above"}
    first = 0 if relation in forward.values() else 1
    return seen.relation == forward[relation] and order[0] == first

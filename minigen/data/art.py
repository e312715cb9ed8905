"""OpenMoji with captions: names in English and Chinese, other names, keywords; what is held out.

    pictures, captions = draw(64, rng)              of the training set, captions drawn anew
    pieces = art("combinations", size=64)           a whole set, with `pieces.names`

Two things are kept from training, to be asked for afterwards:

    pieces          a tenth of the families of pieces (openmoji.py): nothing drawn like them is seen
    combinations    of every other family that comes in skin tones, each tone with a chance of a
                    tenth: the rocket of an astronaut, and that tone, are seen, but never together

Both follow from code points by SHA-256, so they stay when the package gets new pieces. A piece of
two tones is held out if one of them is. `combination_names` lists them.

A caption is a name, half of them Chinese where there is a Chinese name; at times an alias ("tiger"
of the tiger face), a name and a keyword, a keyword alone. A family of m pieces is drawn as often as
sqrt(m) single ones: else two in three pictures were people, for the sake of their skin. Half of
the animals, plants, dishes, faces and people are mirrored, those whose name says left, right or a
direction apart.

Everything but the pictures and their names comes without the extra `art`: numbers are made of
captions by the merges in art_merges.txt, learnt from the training set's captions by

    python -m minigen.data.art
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np

from minigen.data.art_keywords import keywords
from minigen.data.byte_pairs import BytePairs
from minigen.data.openmoji import OpenMoji, family, held_out, openmoji, tones

SPLITS = ("train", "pieces", "combinations", "all")
KINDS = {  # of an evaluation
    "trained pieces": "train",
    "held-out combinations": "combinations",
    "held-out pieces": "pieces",
}
CAPTION_LENGTH = 24  # numbers; every caption of the training set has fewer
VOCABULARY = 2048  # numbers: bytes, merges, the end
HELD_OUT = 26  # of the 256 values of a byte: one combination in ten
MERGES = Path(__file__).with_name("art_merges.txt")
SHOWN = (
    "tiger face",
    "red apple",
    "woman firefighter medium skin tone",
    "smiling face with sunglasses",
    "火箭",
    "绿心",
    "thumbs up dark skin tone",
    "法国",
)

# Shares of captions: each is taken where the piece has it, else a name alone.
CHINESE, ALIAS, WITH_KEYWORD, KEYWORD_ALONE = 0.5, 0.15, 0.2, 0.05
_MIRRORED = ("smileys-emotion", "people-body", "animals-nature", "food-drink")
_DIRECTED = ("left", "right", "facing", "clock", "emotion", "zzz", "sleep")  # in name or subgroup


def art(split: str = "train", size: int = 32) -> OpenMoji:
    """The pieces of a split that have a name.

    Raises: ValueError for another split or size, and without the extra `art` where no rendered
    pictures are found.
    """
    if split not in SPLITS:
        raise ValueError(f"art: got split {split!r}, expected {', '.join(SPLITS)}")
    return _art(split, size)


@cache
def _art(split: str, size: int) -> OpenMoji:
    pieces = openmoji(size, "all")
    splits = [split_of(code) for code in pieces.codes]
    wanted = [
        split in (s, "all") and bool(name) for s, name in zip(splits, pieces.names, strict=True)
    ]
    return pieces.rows(np.array(wanted, bool))


def split_of(code: str) -> str:
    """In which split a piece is.

    >>> [split_of(code) for code in ("1F680", "1F30C", "1F9D1-1F3FB-200D-1F680")]
    ['train', 'pieces', 'train']
    """
    if held_out(code):
        return "pieces"
    combinations = [f"{family(code)} {tone}" for tone in tones(code)]
    if any(sha256(text.encode()).digest()[0] < HELD_OUT for text in combinations):
        return "combinations"
    return "train"


def combination_names() -> list[str]:
    """The names of all pieces that are held out for their combination of family and tone."""
    return list(art("combinations").names)


def some_named(
    split: str, n: int, rng: np.random.Generator, *, size: int = 32
) -> tuple[np.ndarray, list[str]]:
    """Up to n pictures of a split, uint8 (n, size, size, 3), and their names, all different."""
    pieces = art(split, size)
    named = {pieces.names[k]: k for k in rng.permutation(len(pieces.names)).tolist()}
    chosen = list(named.values())[:n]
    return pieces.colour[chosen], [pieces.names[k] for k in chosen]


# Captions ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Captions:
    """What may be said of one piece, by language: names, other names, keywords."""

    name: str
    aliases: tuple[str, ...]
    keywords: tuple[str, ...]
    comma: str

    def draw(self, rng: np.random.Generator) -> str:
        kind = rng.random()
        if kind < KEYWORD_ALONE and self.keywords:
            return str(rng.choice(self.keywords))
        if (kind := kind - KEYWORD_ALONE) < WITH_KEYWORD and self.keywords:
            return f"{self.name}{self.comma}{rng.choice(self.keywords)}"
        if (kind := kind - WITH_KEYWORD) < ALIAS and self.aliases:
            return str(rng.choice(self.aliases))
        return self.name

    def all(self) -> list[str]:
        both = [f"{self.name}{self.comma}{word}" for word in self.keywords]
        return [self.name, *self.aliases, *self.keywords, *both]


def captions(pieces: OpenMoji) -> list[tuple[_Captions, ...]]:
    """For each piece what may be said of it: in English and, where it has a name, in Chinese."""
    found: list[tuple[_Captions, ...]] = []
    aliases = pieces.aliases or [""] * len(pieces.codes)
    columns = zip(pieces.names, pieces.names_zh, aliases, pieces.subgroups, strict=True)
    for name, name_zh, alias, subgroup in columns:
        words, words_zh = keywords(subgroup)
        other = (alias,) if len(alias) > 2 and not any(c.isdigit() for c in alias) else ()
        english = _Captions(name, other, words, ", ")
        chinese = _Captions(name_zh, (), words_zh, "，")
        found.append((english, chinese) if name_zh else (english,))
    return found


def draw(
    n: int, rng: np.random.Generator, *, split: str = "train", size: int = 32, mirror: bool = True
) -> tuple[np.ndarray, list[str]]:
    """n pictures (n, size, size, 3) uint8 with captions, drawn as the docstring above says."""
    pieces, spoken, share, may_turn = _drawn_from(split, size)
    index = rng.choice(len(share), size=n, p=share)
    texts = []
    for k in index.tolist():
        in_chinese = len(spoken[k]) > 1 and rng.random() < CHINESE
        texts.append(spoken[k][int(in_chinese)].draw(rng))
    turned = may_turn[index] & (rng.random(n) < 0.5) & mirror
    pictures = pieces.colour[index]
    return np.where(turned[:, None, None, None], pictures[:, :, ::-1], pictures), texts


@cache
def _drawn_from(
    split: str, size: int
) -> tuple[OpenMoji, list[tuple[_Captions, ...]], np.ndarray, np.ndarray]:
    pieces = art(split, size)
    families = [family(code) for code in pieces.codes]
    members = Counter(families)
    share = np.array([members[f] ** -0.5 for f in families])
    columns = zip(pieces.groups, pieces.names, pieces.subgroups, strict=True)
    may_turn = [
        group in _MIRRORED and not any(word in f"{name} {subgroup}".lower() for word in _DIRECTED)
        for group, name, subgroup in columns
    ]
    return pieces, captions(pieces), share / share.sum(), np.array(may_turn)


# The vocabulary ----------------------------------------------------------------------------------


@cache
def art_words() -> BytePairs:
    """Byte pairs of the file that ships."""
    return BytePairs.load(MERGES)


def learn_words() -> BytePairs:
    """Byte pairs of all captions of the training set."""
    spoken = [part for piece in captions(art()) for part in piece]
    return BytePairs.train([text for part in spoken for text in part.all()], VOCABULARY)


if __name__ == "__main__":
    learn_words().save(MERGES, "merges of minigen/data/byte_pairs.py: python -m minigen.data.art")
    print(f"{MERGES}: {len(BytePairs.load(MERGES).merges)} merges")

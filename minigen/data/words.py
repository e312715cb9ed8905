"""Captions as numbers: a fixed list of words, one number per word, 0 for the end and the padding.

The captions of `minigen.data.scenes` need two dozen words, so a word is a token and nothing has to
be learnt about spelling. Case and punctuation do not count, `left of` is two words, and `an` is
read as `a`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

import numpy as np

from minigen.data.scenes import COLOURS, RELATIONS, SHAPES, SIZES

SCENE_CAPTION_LENGTH = 14  # words of the longest caption, with two objects, sizes and background

_WORD = re.compile(r"[^\W_]+")  # letters and digits of any script


def split_words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation.

    >>> split_words("An orange ring, LEFT of a red-ish square!")
    ['a', 'orange', 'ring', 'left', 'of', 'a', 'red', 'ish', 'square']
    """
    return ["a" if word == "an" else word for word in _WORD.findall(text.lower())]


class Words:
    """A vocabulary: word k of the list is number k + 1, 0 is the end of a caption.

    >>> words = Words(["a", "red", "ring"])
    >>> words.encode(["a red ring", "Ring!", ""], length=4)
    array([[1, 2, 3, 0],
           [3, 0, 0, 0],
           [0, 0, 0, 0]])
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.vocabulary = tuple(vocabulary)
        self._number = {word: k for k, word in enumerate(self.vocabulary, start=1)}
        bad = [word for word in self.vocabulary if split_words(word) != [word]]
        if bad:
            raise ValueError(f"Words: got {bad[0]!r}, expected single words in lower case")
        if len(self._number) != len(self.vocabulary):
            raise ValueError("Words: got a word twice, expected every word once")

    def __len__(self) -> int:
        """How many numbers there are, 0 included: the rows of an embedding table."""
        return len(self.vocabulary) + 1

    def encode(self, captions: Sequence[str], length: int = SCENE_CAPTION_LENGTH) -> np.ndarray:
        """Numbers of the words, (N, length) int64, 0 behind the last word.

        Unknown words are left out (`unknown` finds them). An empty caption is all zeros.

        Raises: ValueError for a caption of more than `length` known words.
        """
        if isinstance(captions, str):
            raise ValueError("Words.encode: got one string, expected a list of captions")
        numbers = np.zeros((len(captions), length), np.int64)
        for row, caption in zip(numbers, captions, strict=True):
            known = [k for word in split_words(caption) if (k := self._number.get(word))]
            if len(known) > length:
                raise ValueError(
                    f"Words.encode: got {len(known)} words, expected at most {length}: {caption!r}"
                )
            row[: len(known)] = known
        return numbers

    def decode(self, numbers: np.ndarray) -> list[str]:
        """Captions of the rows of `numbers`, (N, length), each read up to its first 0."""
        captions = []
        for row in np.asarray(numbers).tolist():
            end = row.index(0) if 0 in row else len(row)
            captions.append(" ".join(self.vocabulary[k - 1] for k in row[:end]))
        return captions

    def unknown(self, text: str) -> list[tuple[str, str]]:
        """The unknown words of a text, each once, with the known word that looks most like it.

        >>> Words(["red", "circle", "square"]).unknown("a red cirle")
        [('a', 'square'), ('cirle', 'circle')]
        """
        strange = [word for word in dict.fromkeys(split_words(text)) if word not in self._number]
        return [(word, self._nearest(word)) for word in strange]

    def _nearest(self, word: str) -> str:
        return difflib.get_close_matches(word, self.vocabulary, n=1, cutoff=0.0)[0]


SCENE_WORDS = Words(
    [
        *("a", "on", "background"),
        *dict.fromkeys(word for relation in RELATIONS for word in relation.split()),
        *(*SIZES, *COLOURS, *SHAPES),
    ]
)

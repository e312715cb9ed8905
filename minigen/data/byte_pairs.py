"""Captions as numbers, in any script: byte pairs, a vocabulary that is learnt from captions.

Sennrich, Haddow and Birch, Neural Machine Translation of Rare Words with Subword Units, 2015, arXiv
1508.07909, section 3.2; on bytes as in Radford et al., Language Models are Unsupervised Multitask
Learners (GPT-2), 2019, section 2.2.

The idea: at first every byte of the UTF-8 text is a token, so that there is a number for whatever
is written. Then the two tokens that stand side by side most often become one, again and again,
until the vocabulary is as large as wanted: frequent words end as one token, rare ones as a few.
New text is put together by the same merges, those that were learnt first before the others.

    numbers     0                       the end of a caption, and its padding
                1 + byte                256 bytes
                257 + k                 merge k: its two tokens, each of a smaller number
    learn       merge k = the pair seen most often, of several the smallest
    encode      join the pair of the smallest k, wherever it is; until no pair can be joined

Merges stay within a chunk: a word with the space before it, a run of Chinese characters, a number,
a run of signs. A space is put before the text, and taken away by `decode`, so that a word is the
same token at the beginning and later on. Upper case does not count.

Differs from the papers in: the end of a word has no mark of its own, the space before it has; the
chunks of GPT-2 keep upper case.

Derivation: docs/derivations/clip.md.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from unicodedata import normalize

import numpy as np

BYTES = 256
CACHED = 100_000  # chunks whose tokens are remembered

Pair = tuple[int, int]

_HAN = "\u3400-\u9fff"
_CHUNK = re.compile(rf" ?[^\W\d_{_HAN}]+|[{_HAN}]+| ?\d+|\s|(?:[^\w\s]|_)+")


def fold(text: str) -> str:
    """What is encoded: lower case, in Unicode's composed form (NFC).

    >>> fold("E\u0301clair") == "éclair"
    True
    """
    lower = normalize("NFC", normalize("NFC", text).lower())
    return lower.encode("utf-8", "replace").decode()  # half of a surrogate pair is no text: "?"


def chunks(text: str) -> list[str]:
    """The parts of a text that no merge goes across; joined they are the text.

    >>> chunks(" a tiger's face 虎脸2")
    [' a', ' tiger', "'", 's', ' face', ' ', '虎脸', '2']
    """
    return _CHUNK.findall(text)


def join(tokens: Sequence[int], pair: Pair, number: int) -> list[int]:
    """The tokens with `number` in the place of each `pair`, from the left.

    >>> join([5, 5, 5, 6], (5, 5), 9)
    [9, 5, 6]
    """
    joined, k = [], 0
    while k < len(tokens):
        is_pair = tuple(tokens[k : k + 2]) == pair
        joined.append(number if is_pair else tokens[k])
        k += 1 + is_pair
    return joined


class BytePairs:
    """A vocabulary of bytes and of merges, the pairs that became one token.

    >>> words = BytePairs([(33, 98), (257, 99)])            # " a", " ab"
    >>> words.encode(["AB a", ""], length=4)
    array([[258, 257,   0,   0],
           [  0,   0,   0,   0]])
    >>> words.decode([[258, 257, 0, 0]])
    ['ab a']
    """

    def __init__(self, merges: Iterable[Pair] = ()) -> None:
        self.merges = tuple((int(a), int(b)) for a, b in merges)
        self.pieces = [b"", *(bytes([k]) for k in range(BYTES))]  # what each number stands for
        for a, b in self.merges:
            if not (0 < a < len(self.pieces) and 0 < b < len(self.pieces)):
                raise ValueError(
                    f"BytePairs: merge {len(self.pieces)} is of {a} and {b}, expected two numbers "
                    f"from 1 to {len(self.pieces) - 1}"
                )
            self.pieces.append(self.pieces[a] + self.pieces[b])
        self._number = {pair: k for k, pair in enumerate(self.merges, start=1 + BYTES)}
        if len(self._number) != len(self.merges):
            raise ValueError("BytePairs: got a merge twice, expected every merge once")
        self._cache: dict[str, list[int]] = {}

    @classmethod
    def train(cls, texts: Iterable[str], vocabulary: int) -> BytePairs:
        """Learn merges from texts until there are `vocabulary` numbers, or no pair comes twice.

        Only the chunks that hold the merged pair are counted anew.

        Raises: ValueError for a vocabulary that cannot hold all bytes.
        """
        if vocabulary <= BYTES:
            raise ValueError(f"BytePairs.train: vocabulary is {vocabulary}, expected 257 or more")
        counts = Counter(chunk for text in texts for chunk in chunks(_spaced(fold(text))))
        words = [(_bytes(chunk), n) for chunk, n in counts.items()]
        seen: Counter[Pair] = Counter()  # how often each pair stands side by side
        where: defaultdict[Pair, set[int]] = defaultdict(set)  # in which words it does or did
        for k, (tokens, n) in enumerate(words):
            for pair in pairwise(tokens):
                seen[pair] += n
                where[pair].add(k)
        merges: list[Pair] = []
        while len(merges) < vocabulary - BYTES - 1 and seen:
            pair = min(seen, key=lambda p: (-seen[p], p))
            if seen[pair] < 2:
                break
            merges.append(pair)
            for k in where.pop(pair):
                before, n = words[k]
                after = join(before, pair, BYTES + len(merges))
                words[k] = after, n
                for old in pairwise(before):
                    seen[old] -= n
                    if not seen[old]:
                        del seen[old]
                for new in pairwise(after):
                    seen[new] += n
                    where[new].add(k)
        return cls(merges)

    def __len__(self) -> int:
        """How many numbers there are, 0 included: the rows of an embedding table."""
        return len(self.pieces)

    def encode(self, captions: Sequence[str], length: int) -> np.ndarray:
        """Numbers of the captions, (N, length) int64, 0 behind the last; none for an empty one.

        Of a caption of more than `length` tokens the first are taken that are whole characters;
        `cut` tells what is left out.
        """
        if isinstance(captions, str):
            raise ValueError("BytePairs.encode: got one string, expected a list of captions")
        numbers = np.zeros((len(captions), length), np.int64)
        for row, caption in zip(numbers, captions, strict=True):
            kept = self._kept(self.tokens(caption), length)
            row[: len(kept)] = kept
        return numbers

    def decode(self, numbers: Sequence[Sequence[int]] | np.ndarray) -> list[str]:
        """Captions of the rows of `numbers`, (N, length), each read up to its first 0.

        Bytes that are no UTF-8, as a model may draw them, become the sign U+FFFD.
        """
        captions = []
        for row in np.asarray(numbers).tolist():
            end = row.index(0) if 0 in row else len(row)
            text = self._text(row[:end]).decode("utf-8", "replace")
            captions.append(text.removeprefix(" "))
        return captions

    def cut(self, caption: str, length: int) -> tuple[str, str]:
        """What `encode` takes of a caption and what it leaves out, which is "" where all fits.

        >>> BytePairs().cut("a red circle", 6)
        ('a red', ' circle')
        """
        kept = self.decode([self._kept(self.tokens(caption), length)])[0]
        return kept, fold(caption)[len(kept) :]

    def unknown(self, text: str) -> list[tuple[str, str]]:
        """Nothing: there is a number for every byte. (`Words.unknown` has more to say.)"""
        return []

    def tokens(self, caption: str) -> list[int]:
        """All numbers of one caption."""
        return [k for chunk in chunks(_spaced(fold(caption))) for k in self._of_chunk(chunk)]

    def _of_chunk(self, chunk: str) -> list[int]:
        """Join the pair that was learnt first, wherever it is, until none can be joined."""
        if chunk in self._cache:
            return self._cache[chunk]
        tokens = _bytes(chunk)
        while known := [k for pair in pairwise(tokens) if (k := self._number.get(pair))]:
            number = min(known)
            tokens = join(tokens, self.merges[number - BYTES - 1], number)
        if len(self._cache) < CACHED:
            self._cache[chunk] = tokens
        return tokens

    def _kept(self, tokens: list[int], length: int) -> list[int]:
        """The first `length` tokens, without those that end in half of a character."""
        kept = tokens[:length]
        while len(kept) < len(tokens) and not _is_text(self._text(kept)):
            kept = kept[:-1]
        return kept

    def _text(self, tokens: Sequence[int]) -> bytes:
        bad = [k for k in tokens if not 0 < k < len(self)]
        if bad:
            raise ValueError(f"BytePairs: got number {bad[0]}, expected 0 to {len(self) - 1}")
        return b"".join(self.pieces[k] for k in tokens)

    # ------------------------------------------------------------------------------------- the file

    def save(self, path: str | Path, made_by: str = "") -> None:
        """Write the merges, two numbers a line, below a line that says how they were made."""
        lines = [f"# {made_by}".rstrip(), *(f"{a} {b}" for a, b in self.merges)]
        Path(path).write_text("\n".join(lines) + "\n", "utf-8")

    @classmethod
    def load(cls, path: str | Path) -> BytePairs:
        """Read what `save` has written.

        Raises: ValueError for another file.
        """
        lines = Path(path).read_text("utf-8").splitlines()
        try:
            pairs = [line.split() for line in lines if not line.startswith("#")]
            return cls([(int(a), int(b)) for a, b in pairs])
        except ValueError as error:
            raise ValueError(f"BytePairs.load: {path} is no file of merges: {error}") from error


def _spaced(text: str) -> str:
    """The text with a space before it; nothing, where there is nothing."""
    return text and " " + text


def _bytes(chunk: str) -> list[int]:
    return [1 + byte for byte in chunk.encode()]


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True

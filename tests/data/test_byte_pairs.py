"""Byte pairs: text comes back from its numbers, merges are learnt and applied in order."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from minigen.data.byte_pairs import BytePairs, chunks, fold
from minigen.data.captioned import captioned

TEXTS = [
    *["red apple", "green apple", "red heart", "tiger face", "a tiger's face"],
    *["红苹果", "青苹果", "红心", "虎脸", "戴眼镜的女人", "3 o'clock", "éclair"],
]
PIECES = "aAeE rd\t\n.,'_-!09½Ωσς\u0301éß中文红苹果が한\U0001f34e\U00020000İǅ\x00\x85\u3000"


def any_texts(rng, n):
    """Texts of letters that are hard, and of code points drawn at random."""
    ranges = [(0, 0x250), (0x300, 0x370), (0x3400, 0xA000), (0, 0xD800), (0xE000, 0x110000)]
    for _ in range(n):
        low, high = ranges[rng.integers(len(ranges))]
        drawn = [chr(c) for c in rng.integers(low, high, 6)]
        yield "".join(rng.permutation([*drawn, *rng.choice(list(PIECES), 8)]))


def learnt_by_the_definition(texts, vocabulary):
    """Count all pairs of all words anew for each merge."""
    words = [list(c.encode()) for t in texts for c in chunks(" " + fold(t))]
    words = [[1 + byte for byte in word] for word in words]
    merges = []
    while len(merges) < vocabulary - 257:
        seen = Counter(pair for word in words for pair in pairwise(word))
        best = max(seen.values(), default=0)
        if best < 2:
            break
        pair = min(p for p in seen if seen[p] == best)
        merges.append(pair)
        for word in words:
            for k in range(len(word)):
                if tuple(word[k : k + 2]) == pair:
                    word[k : k + 2] = [256 + len(merges)]
    return tuple(merges)


def joined_by_the_definition(text, merges):
    """Each merge in its turn, over the whole of each chunk."""
    numbers = []
    for chunk in chunks(" " + fold(text)):
        word = [1 + byte for byte in chunk.encode()]
        for number, pair in enumerate(merges, start=257):
            for k in range(len(word)):
                if tuple(word[k : k + 2]) == pair:
                    word[k : k + 2] = [number]
        numbers += word
    return numbers


def test_any_text_comes_back_from_its_numbers(rng):
    words = BytePairs.train(TEXTS, 300)
    for text in [*any_texts(rng, 400), *TEXTS, "", " ", "  a ", "\n"]:
        assert "".join(chunks(text)) == text
        numbers = words.encode([text], 120)
        assert words.decode(numbers) == [fold(text)]
        assert fold(fold(text)) == fold(text)


def test_folding_is_lower_case_in_nfc_and_changes_it_no_more():
    assert fold("E\u0301CLAIR Σ \ud800") == "\u00e9clair σ ?"
    points = [chr(c) for c in range(0x11000) if not 0xD800 <= c < 0xE000]
    assert all(fold(fold(c)) == fold(c) for c in points)


@pytest.mark.parametrize("vocabulary", [257, 258, 290, 1000])
def test_merges_are_those_of_the_definition(vocabulary):
    merges = BytePairs.train(TEXTS, vocabulary).merges
    assert merges == learnt_by_the_definition(TEXTS, vocabulary)


def test_merges_of_random_texts_are_those_of_the_definition(rng):
    for _ in range(20):
        texts = ["".join(rng.choice(list("aab 红苹"), 9)) for _ in range(8)]
        assert BytePairs.train(texts, 300).merges == learnt_by_the_definition(texts, 300)


def test_what_was_learnt_first_is_joined_first(rng):
    words = BytePairs.train(TEXTS, 330)
    for text in [*any_texts(rng, 50), *TEXTS, "appapple redred tigergreen"]:
        assert words.tokens(text) == joined_by_the_definition(text, words.merges)
    # "ab" and "bc": the merge that was learnt first gets the b
    assert BytePairs([(98, 99), (99, 100)]).tokens("xabc")[-2:] == [257, 100]
    assert BytePairs([(99, 100), (98, 99)]).tokens("xabc")[-2:] == [98, 257]


def test_frequent_words_are_one_token_wherever_they_stand():
    words = BytePairs.train(["red apple", "apple red", "green apple"] * 3, 400)
    alone, later = words.encode(["Apple", "red APPLE"], 3)
    assert alone[0] == later[1]
    assert (alone > 0).sum() == 1


def test_the_same_texts_give_the_same_merges():
    assert BytePairs.train(TEXTS, 300).merges == BytePairs.train(iter(TEXTS), 300).merges
    assert len(BytePairs.train(TEXTS, 270)) == 270


def test_rows_are_as_a_model_wants_them():
    words = BytePairs.train(TEXTS, 300)
    numbers = words.encode(["red apple", "", "红苹果"], 20)
    assert (numbers.shape, numbers.dtype) == ((3, 20), np.int64)
    assert not numbers[1].any()
    assert numbers.max() < len(words)
    assert words.unknown("nothing is unknown 没有") == []


@pytest.mark.parametrize("length", range(12))
def test_a_long_caption_is_cut_between_characters_and_the_rest_is_told(length):
    words = BytePairs.train(TEXTS, 275)
    for text in ["a tiger's face", "戴眼镜的女人", "éé 🍎🍎"]:
        kept, left_out = words.cut(text, length)
        assert kept + left_out == fold(text)
        assert words.decode(words.encode([text], length)) == [kept]
    assert words.cut("戴眼镜", 5) == ("戴", "眼镜")


def test_merges_come_back_from_their_file(tmp_path):
    words = BytePairs.train(TEXTS, 300)
    words.save(tmp_path / "merges.txt", "made by a test")
    assert BytePairs.load(tmp_path / "merges.txt").merges == words.merges
    (tmp_path / "merges.txt").write_text("33 98 7\n")
    with pytest.raises(ValueError, match=r"merges\.txt is no file of merges"):
        BytePairs.load(tmp_path / "merges.txt")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: BytePairs([(0, 5)]), "merge 257 is of 0 and 5, expected two numbers from 1 to"),
        (lambda: BytePairs([(5, 257)]), "expected two numbers from 1 to 256"),
        (lambda: BytePairs([(5, 6), (5, 6)]), "got a merge twice"),
        (lambda: BytePairs.train(["a"], 256), "vocabulary is 256, expected 257 or more"),
        (lambda: BytePairs().encode("a red ring", 9), "expected a list of captions"),
        (lambda: BytePairs().decode([[300]]), "got number 300, expected 0 to 256"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(wrong, message):
    with pytest.raises(ValueError, match=message) as error:
        wrong()
    assert "\n" not in str(error.value)


def test_captions_of_scenes_are_read_by_it_too(rng):
    captions = captioned("scenes").draw(100, rng)[1]
    words = BytePairs.train(captions, 400)
    assert words.decode(words.encode(captions, 20)) == captions

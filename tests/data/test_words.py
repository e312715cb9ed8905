"""Words: captions as numbers and back."""

import numpy as np
import pytest

from minigen.data.scenes import sample_batch
from minigen.data.words import SCENE_CAPTION_LENGTH, SCENE_WORDS, Words


def test_captions_come_back_from_their_numbers(rng):
    _, captions = sample_batch(500, rng, held_out="any")
    numbers = SCENE_WORDS.encode(captions)
    assert numbers.dtype == np.int64
    assert numbers.shape == (500, SCENE_CAPTION_LENGTH)
    assert SCENE_WORDS.decode(numbers) == captions


def test_the_longest_caption_just_fits(rng):
    _, captions = sample_batch(200, rng, pairs=1, drop_size=0, drop_background=0)
    assert max(len(text.split()) for text in captions) == SCENE_CAPTION_LENGTH


def test_every_word_is_used_by_some_caption(rng):
    _, captions = sample_batch(2000, rng)
    used = SCENE_WORDS.encode(captions)
    assert set(np.unique(used)) == set(range(len(SCENE_WORDS)))


@pytest.mark.parametrize(
    "text", ["A RED ring", "  a red,\tring!", "a red-ring", "An red «ring»", "a red ring on"]
)
def test_case_and_punctuation_do_not_count(text):
    (numbers,) = SCENE_WORDS.encode([text])
    (plain,) = SCENE_WORDS.encode(["a red ring"])
    assert np.array_equal(numbers[:3], plain[:3])


def test_an_empty_caption_is_all_zeros():
    assert not SCENE_WORDS.encode(["", " ?! "]).any()


def test_unknown_words_are_left_out_and_named_with_the_nearest():
    assert SCENE_WORDS.decode(SCENE_WORDS.encode(["a rad shiny ring"])) == ["a ring"]
    assert dict(SCENE_WORDS.unknown("a crcle, a purpel SQUARES; a crcle")) == {
        "crcle": "circle",
        "purpel": "purple",
        "squares": "square",
    }
    assert SCENE_WORDS.unknown("a large red circle") == []


def test_unknown_words_of_any_script_have_a_nearest_word():
    ((word, nearest),) = SCENE_WORDS.unknown("圆")
    assert word == "圆"
    assert nearest in SCENE_WORDS.vocabulary


def test_a_caption_that_is_too_long_is_refused():
    with pytest.raises(ValueError, match="got 15 words, expected at most 14"):
        SCENE_WORDS.encode(["red " * 15])


def test_one_string_is_not_taken_for_a_list_of_letters():
    with pytest.raises(ValueError, match="expected a list of captions"):
        SCENE_WORDS.encode("a red ring")


@pytest.mark.parametrize("vocabulary", [["red", "red"], ["left of"], ["Red"], [""]])
def test_a_vocabulary_has_single_lower_case_words_once(vocabulary):
    with pytest.raises(ValueError, match="Words: got"):
        Words(vocabulary)

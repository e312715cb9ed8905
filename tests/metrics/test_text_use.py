"""Whether the text is used: told of networks that read it and of those that do not."""

import numpy as np
import pytest

from minigen.metrics.text_use import same_colours, text_use

WORDS = np.arange(1, 25).reshape(12, 2)
OWN, MORE = "loss with its own caption", "more with another's caption"


def reader(part, words, rng):
    """Wrong where the words are not those of the pictures; the noise alone costs up to 0.1."""
    return float((words != WORDS[part]).mean()) + 0.1 * rng.random()


def test_a_network_that_reads_is_misled_by_other_captions():
    numbers, remarks = text_use(reader, WORDS, size=4)
    assert 0 < float(numbers[OWN]) < 0.1
    assert float(numbers[MORE]) == pytest.approx(1)
    assert remarks == []


def test_a_network_that_does_not_read_is_told():
    numbers, remarks = text_use(lambda part, words, rng: 0.3 + 0.1 * rng.random(), WORDS)
    assert float(numbers[MORE]) == 0
    assert remarks == ["the text is ignored: another's caption suits the pictures as well"]


def test_too_few_captions_are_told():
    with pytest.raises(ValueError, match="3 captions came, expected at least 4"):
        text_use(reader, WORDS[:3])


def test_pictures_of_one_colour_are_told_and_others_are_not(rng):
    grey = np.full((8, 4, 4, 3), 128, np.uint8)
    (remark,) = same_colours({}, grey)
    assert remark.startswith("pictures of different captions have the same colours (spread 0.0")
    colours = rng.integers(0, 256, (8, 1, 1, 3)).astype(np.uint8)
    assert same_colours({}, np.broadcast_to(colours, grey.shape)) == []
    assert same_colours({"loss": 1.0}, None) == []
    assert same_colours({}, grey[0]) == []

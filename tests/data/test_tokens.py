"""Tokens are the picture in other words, and are drawn with their probabilities."""

import itertools

import numpy as np
import pytest

from minigen.data.tokens import draw_tokens, from_tokens, to_tokens


@pytest.mark.parametrize(("patch", "levels"), [(1, 2), (2, 2), ((2, 4), 2), ((1, 2), 5), (1, 256)])
def test_there_and_back(patch, levels, rng):
    x = rng.integers(0, levels, (3, 4, 8, 1)).astype(np.float32)
    np.testing.assert_array_equal(from_tokens(to_tokens(x, patch, levels), patch, levels), x)


def test_every_picture_has_a_row_of_tokens_of_its_own():
    x = np.array(list(itertools.product([0, 1], repeat=8))).reshape(-1, 2, 4, 1)
    assert len(np.unique(to_tokens(x, 2).reshape(len(x), -1), axis=0)) == 256
    np.testing.assert_array_equal(np.sort(to_tokens(x, (2, 4)).ravel()), np.arange(256))


def test_the_first_pixel_counts_least():
    x = np.zeros((1, 2, 4, 1))
    x[0, 1, 2] = 1  # in the block to the right, its third pixel
    np.testing.assert_array_equal(to_tokens(x, 2), [[[0, 4]]])


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.full((1, 2, 2, 1), 0.3), "whole ones from 0 to 1"),
        (np.full((1, 2, 2, 1), 2), "from 2 to 2"),
        (np.full((1, 2, 2, 1), -1), "from -1 to -1"),
        (np.zeros((1, 3, 2, 1)), "H and W multiples of 2"),
        (np.zeros((1, 2, 2, 3)), r"got shape \(1, 2, 2, 3\)"),
    ],
)
def test_what_is_no_black_and_white_picture_is_told(x, message):
    with pytest.raises(ValueError, match=message):
        to_tokens(x, 2)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_are_drawn_with_their_probabilities(temperature, rng):
    logits, n = np.array([0.3, -1.0, 2.0, -np.inf]), 40_000
    p = np.exp(logits / temperature) / np.exp(logits / temperature).sum()
    drawn = draw_tokens(np.tile(logits, (n, 1)), rng, temperature)
    shares = np.bincount(drawn, minlength=4) / n
    assert (np.abs(shares - p) <= 4 * np.sqrt(p * (1 - p) / n)).all()


def test_a_temperature_of_nothing_is_told(rng):
    with pytest.raises(ValueError, match="temperature is 0, expected a number above 0"):
        draw_tokens(np.zeros((1, 2)), rng, 0)

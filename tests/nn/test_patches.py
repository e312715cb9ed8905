"""Pictures as tokens: each square of pixels is one of them, and knows where it stood."""

import numpy as np
import pytest

from minigen import nn
from minigen.autograd import Tensor
from minigen.nn.patches import grid_positions


def changed(a, b):
    """Numbers of the rows that differ."""
    return set(np.flatnonzero(np.abs(a - b).max(axis=-1) > 1e-6).tolist())


def test_a_pixel_is_in_the_token_of_its_square_alone(rng):
    patches = nn.Patches(8, 3, 2, 12, rng=rng)
    x = rng.standard_normal((1, 8, 8, 3)).astype(np.float32)
    other = x.copy()
    other[0, 3, 6] += 1  # the square in row 1, column 3 of 4 x 4
    assert changed(patches(Tensor(x)).data[0], patches(Tensor(other)).data[0]) == {1 * 4 + 3}


def test_a_token_becomes_the_pixels_of_its_square_alone(rng):
    unpatch = nn.Unpatch(8, 3, 2, 12, 5, rng=rng)
    unpatch.output.weight.data[:] = rng.standard_normal((12, 12))
    tokens = rng.standard_normal((1, 16, 12)).astype(np.float32)
    other = tokens.copy()
    other[0, 7] = rng.standard_normal(12)
    e = Tensor(np.zeros((1, 5), np.float32))
    moved = np.abs(unpatch(tokens, e).data - unpatch(other, e).data).max(axis=(0, 3)) > 1e-6
    assert moved[2:4, 6:8].all()
    assert moved.sum() == 4


def test_a_new_last_layer_says_nothing(rng):
    unpatch = nn.Unpatch(8, 3, 4, 12, 5, rng=rng)
    y = unpatch(np.ones((2, 4, 12), np.float32), np.ones((2, 5), np.float32))
    assert y.shape == (2, 8, 8, 3)
    assert not y.data.any()


def test_every_place_has_a_vector_of_its_own_and_rows_share_a_half():
    places = grid_positions(8, 32)
    distances = np.linalg.norm(places[:, None] - places[None], axis=-1)
    assert distances[~np.eye(64, dtype=bool)].min() > 0.5
    np.testing.assert_array_equal(places[8:16, :16], np.tile(places[8, :16], (8, 1)))
    np.testing.assert_array_equal(places[1::8, 16:], np.tile(places[1, 16:], (8, 1)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda rng: nn.Patches(10, 3, 4, 8, rng=rng), "10 pixels do not split into patches of 4"),
        (lambda rng: grid_positions(4, 6), "width is 6, expected a multiple of 4"),
        (
            lambda rng: nn.Patches(8, 3, 4, 8, rng=rng)(np.zeros((1, 8, 4, 3))),
            r"x is \(1, 8, 4, 3\), expected \(N, 8, 8, 3\)",
        ),
    ],
    ids=["patch", "width", "picture"],
)
def test_what_does_not_fit_is_told(make, message, rng):
    with pytest.raises(ValueError, match=message):
        make(rng)

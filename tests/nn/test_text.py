"""The Transformer over words: masks, lengths, gradients."""

import numpy as np
import pytest

from minigen import nn


def transformer(rng, dtype=np.float64):
    network = nn.TextTransformer(11, 5, 8, 2, 2, rng=rng).astype(dtype)
    for p in network.parameters():
        p.data += 0.1 * rng.standard_normal(p.shape).astype(dtype)
    return network


def test_each_word_knows_of_all_others(rng):
    network, words = transformer(rng), np.array([[1, 2, 3, 4, 5]])
    before, after = network(words).data, network(np.array([[1, 2, 3, 4, 6]])).data
    assert (np.abs(after - before).max(axis=-1) > 1e-6).all()


def test_a_causal_one_sees_what_stands_before(rng):
    network, words = transformer(rng), np.array([[1, 2, 3, 4, 5]])
    before, after = (network(w, is_causal=True).data for w in (words, np.array([[1, 2, 3, 4, 6]])))
    np.testing.assert_array_equal(before[:, :4], after[:, :4])
    assert np.abs(before[:, 4] - after[:, 4]).max() > 1e-6


def test_the_order_of_words_counts(rng):
    network = transformer(rng)
    one, other = network(np.array([[1, 2, 0]])).data, network(np.array([[2, 1, 0]])).data
    assert np.abs(one[:, ::-1] - other).max() > 1e-3


def test_a_shorter_row_is_read_and_a_longer_one_refused(rng):
    network = transformer(rng)
    assert network(np.zeros((2, 3), int)).shape == (2, 3, 8)
    with pytest.raises(ValueError, match=r"words are \(2, 6\), expected \(N, up to 5\)"):
        network(np.zeros((2, 6), int))

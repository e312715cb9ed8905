"""adaLN-Zero and its vector: the formula, the start as the identity, time and caption in one."""

import numpy as np
import pytest
from close import assert_close

from minigen import nn
from minigen.autograd import Tensor
from minigen.gradcheck import gradcheck


def around(rng, dtype=np.float64):
    """An AdaLNZero of 6 channels and 4 of the embedding, in which nothing is 0."""
    module = nn.AdaLNZero(6, 4, rng=rng).astype(dtype)
    for p in module.parameters():
        p.data[...] = rng.standard_normal(p.shape)
    return module


def test_it_is_norm_scale_shift_branch_gate_and_the_way_around(rng):
    m, x, e = around(rng), rng.standard_normal((2, 3, 6)), rng.standard_normal((2, 4))
    scale, shift, gate = (
        e @ layer.weight.data + layer.bias.data for layer in (m.norm.scale, m.norm.shift, m.gate)
    )
    norm = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    inside = norm * (1 + scale[:, None]) + shift[:, None]
    assert_close(m.before(Tensor(x), e).data, inside, terms=50)
    assert_close(m.after(x, Tensor(np.tanh(inside)), e).data, x + gate[:, None] * np.tanh(inside))


def test_a_new_one_is_the_identity_whatever_the_branch(rng):
    m, x = nn.AdaLNZero(6, 4, rng=rng), rng.standard_normal((2, 3, 6)).astype(np.float32)
    e = rng.standard_normal((2, 4)).astype(np.float32)
    np.testing.assert_array_equal(m.after(x, Tensor(100 * x[::-1]), e).data, x)


def test_its_gradients_are_right(rng):
    m = around(rng)
    x, e = rng.standard_normal((2, 3, 6)), rng.standard_normal((2, 4))
    assert gradcheck(lambda x, e: m.after(x, m.before(x, e), e), x, e, rng=rng, order=2) < 1e-6


def test_the_vector_tells_times_and_captions_apart(rng):
    time = nn.TimeEmbedding(32, rng=rng)
    t = np.array([0.1, 0.5, 0.51, 0.9], np.float32)
    e = time(t, np.zeros((4, 32), np.float32)).data
    distances = np.linalg.norm(e[:, None] - e[None], axis=-1)
    assert distances[~np.eye(4, dtype=bool)].min() > 0.01
    assert np.abs(time(t, np.ones((4, 32), np.float32)).data - e).min(axis=0).max() > 0.1


def test_one_vector_for_a_caption_knows_the_order_of_the_words(rng):
    text = nn.CaptionEncoder(9, 5, 8, 1, 2, 16, rng=rng)
    words = np.array([[1, 2, 3, 4, 0], [3, 2, 1, 4, 0]])
    tokens, caption = text(words)
    assert tokens.shape == (2, 5, 8)
    assert caption.shape == (2, 16)
    assert np.abs(caption.data[0] - caption.data[1]).max() > 0.05


def test_a_caption_of_another_length_is_told(rng):
    text = nn.CaptionEncoder(9, 5, 8, 1, 2, 16, rng=rng)
    with pytest.raises(ValueError, match=r"words are \(1, 4\), expected \(N, 5\)"):
        text(np.zeros((1, 4), int))

"""Attention against its loops over queries and keys, masks, and the law of rotary embeddings."""

import numpy as np
import pytest
from close import assert_close

from minigen import ops
from minigen.autograd import Tensor

attention = ops.scaled_dot_product_attention


def loops(q, k, v, allowed):
    """One query after the other; q (L, DH), k (S, DH), v (S, DV), allowed (L, S)."""
    y = np.zeros((len(q), v.shape[1]))
    for i in range(len(q)):
        weights = [np.exp(q[i] @ k[j] / np.sqrt(q.shape[1])) * allowed[i, j] for j in range(len(k))]
        y[i] = sum(p * v[j] for j, p in enumerate(weights)) / sum(weights)
    return y


@pytest.fixture
def qkv(rng):
    return rng.standard_normal((5, 4)), rng.standard_normal((7, 4)), rng.standard_normal((7, 3))


def test_attention_is_its_loops(qkv):
    assert_close(attention(*qkv).data, loops(*qkv, np.ones((5, 7))), 2)


def test_a_mask_leaves_keys_out(qkv, rng):
    mask = rng.random((5, 7)) < 0.6
    assert_close(attention(*qkv, mask=mask).data, loops(*qkv, mask), 2)


def test_causal_queries_look_back_only(qkv):
    back = np.tri(5, 7)
    assert_close(attention(*qkv, is_causal=True).data, loops(*qkv, back), 2)
    mask = np.arange(7) != 2
    both = attention(*qkv, mask=mask[None], is_causal=True).data
    assert_close(both, loops(*qkv, back * mask), 2)


def test_a_query_that_may_look_at_nothing_gets_zeros_and_sends_none_back(qkv, rng):
    mask = np.ones((5, 7), bool)
    mask[3] = False
    q, k, v = (Tensor(x, requires_grad=True) for x in qkv)
    y = attention(q, k, v, mask)
    y.backward(rng.standard_normal(y.shape))
    assert np.array_equal(y.data[3], np.zeros(3))
    assert np.array_equal(q.grad.data[3], np.zeros(4))
    assert np.isfinite(k.grad.data).all()


def test_what_the_mask_hides_has_no_influence(qkv, rng):
    q, k, v = qkv
    mask = np.array([[True] * 5 + [False] * 2])
    other = [np.concatenate([x[:5], rng.standard_normal((2, x.shape[1]))]) for x in (k, v)]
    assert np.array_equal(attention(q, k, v, mask).data, attention(q, *other, mask).data)


def test_leading_axes_are_separate_and_broadcast(rng):
    q, k, v = (rng.standard_normal(s) for s in ((2, 3, 5, 4), (3, 7, 4), (2, 1, 7, 4)))
    y = attention(q, k, v).data
    for n in range(2):
        for a in range(3):
            assert_close(y[n, a], loops(q[n, a], k[a], v[n, 0], np.ones((5, 7))), 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_scores_pick_one_key_and_do_not_overflow(dtype):
    q = k = np.eye(3, dtype=dtype) * 1e4
    v = np.arange(6, dtype=dtype).reshape(3, 2)
    assert_close(attention(q, k, v).data, v)


Q, K = np.zeros((2, 5, 4)), np.zeros((2, 7, 4))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((Q, K[..., :3], K), "q has DH = 4 channels, k has 3"),
        ((Q, K, K[:, :6]), "k has S = 7 tokens, v has 6"),
        ((Q, K, K[0, 0]), r"expected q \(..., L, DH\), k and v \(..., S, DH\), got"),
        ((Q, K, K, np.ones((7, 5), bool)), r"mask is \(7, 5\), expected .* = \(..., 5, 7\)"),
        ((Q, K, K, np.ones(7, bool)), r"mask is \(7,\), expected"),
    ],
)
def test_errors_say_what_came_and_what_was_expected(arguments, text):
    with pytest.raises(ValueError, match=f"scaled_dot_product_attention: {text}"):
        attention(*arguments)


def test_a_mask_of_numbers_is_refused():
    with pytest.raises(TypeError, match="mask is float64, expected bool"):
        attention(Q, K, K, np.zeros((5, 7)))


def test_rotary_turns_each_pair_of_channels_by_its_angle(rng):
    x, D = rng.standard_normal((2, 3, 6)), 6
    y = ops.rotary_embedding(x, np.array([0, 4, 9])).data
    for token, position in enumerate((0, 4, 9)):
        for i in range(D // 2):
            c, s = np.cos(position * 1e4 ** (-2 * i / D)), np.sin(position * 1e4 ** (-2 * i / D))
            turned = x[:, token, 2 * i : 2 * i + 2] @ np.array([[c, s], [-s, c]])
            assert_close(y[:, token, 2 * i : 2 * i + 2], turned)


def test_rotated_products_depend_on_the_difference_of_positions(rng):
    q, k = rng.standard_normal((2, 1, 8))

    def product(i, j):
        return (ops.rotary_embedding(q, [i]).data * ops.rotary_embedding(k, [j]).data).sum()

    np.testing.assert_allclose([product(7, 3), product(104, 100)], product(4, 0), rtol=1e-10)
    assert abs(product(5, 3) - product(4, 0)) > 1e-3


def test_rotary_keeps_lengths_and_needs_pairs(rng):
    x = rng.standard_normal((3, 4, 8))
    y = ops.rotary_embedding(x, rng.uniform(0, 100, (3, 4))).data
    assert_close(np.linalg.norm(y, axis=-1), np.linalg.norm(x, axis=-1))
    with pytest.raises(ValueError, match="rotary_embedding: x has D = 7 channels, expected an ev"):
        ops.rotary_embedding(x[..., :7], np.arange(4))

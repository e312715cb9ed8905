"""Laws of multi-head attention and the Transformer block."""

import numpy as np
import pytest

from minigen import Tensor, nn
from minigen.gradcheck import gradcheck

N, L, S, D, C = 2, 5, 4, 6, 8


def make(layer):
    return layer.astype(np.float64)


def inputs():
    rng = np.random.default_rng(1)
    return rng, rng.standard_normal((N, L, D)), rng.standard_normal((N, S, C))


def plain(layer, x, context, mask):
    """The formula of the docstring, one head and one picture at a time."""
    weights = {n: w.data for n, w in layer.named_parameters()}
    q, k, v = (
        a @ weights[f"{n}.weight"] + weights[f"{n}.bias"]
        for n, a in (("query", x), ("key", context), ("value", context))
    )
    width, y = D // layer.heads, np.zeros_like(x)
    for n in range(len(x)):
        for a in range(layer.heads):
            part = slice(a * width, (a + 1) * width)
            scores = q[n, :, part] @ k[n, :, part].T / np.sqrt(width)
            p = np.exp(scores) * mask[n]
            y[n, :, part] = p / p.sum(axis=1, keepdims=True) @ v[n, :, part]
    return y @ weights["out.weight"] + weights["out.bias"]


@pytest.mark.parametrize("heads", [1, 2, 3])
def test_cross_attention_is_the_plain_formula(heads):
    rng, x, context = inputs()
    layer = make(nn.MultiHeadAttention(D, heads, C, rng=rng))
    mask = np.array([[True, False, True, True], [False, True, False, False]])
    y = layer(Tensor(x), Tensor(context), mask)
    np.testing.assert_allclose(y.data, plain(layer, x, context, mask), rtol=1e-10)


def test_self_attention_is_attention_to_oneself():
    rng, x, _ = inputs()
    layer = make(nn.MultiHeadAttention(D, 2, rng=rng))
    x = Tensor(x)
    assert np.array_equal(layer(x).data, layer(x, x).data)


def test_what_is_masked_does_not_matter():
    rng, x, context = inputs()
    layer = make(nn.MultiHeadAttention(D, 2, C, rng=rng))
    mask = np.array([[True, True, True, False], [True, True, False, False]])
    y = layer(Tensor(x), Tensor(context), mask).data
    context[~mask] = 1e6
    assert np.array_equal(layer(Tensor(x), Tensor(context), mask).data, y)


def test_no_gradient_reaches_what_is_masked():
    rng, x, context = inputs()
    layer, context = make(nn.MultiHeadAttention(D, 2, C, rng=rng)), Tensor(context, True)
    mask = np.array([[True, True, True, False], [True, True, False, False]])
    layer(Tensor(x), context, mask).sum().backward()
    assert not context.grad.data[~mask].any()
    assert context.grad.data[mask].any(axis=-1).all()


def test_a_mask_with_four_axes_says_the_same():
    rng, x, context = inputs()
    layer = make(nn.MultiHeadAttention(D, 2, C, rng=rng))
    mask = np.array([[True, True, True, False], [True, True, False, False]])
    whole = np.broadcast_to(mask[:, None, None, :], (N, 2, L, S))
    y = layer(Tensor(x), Tensor(context), mask).data
    np.testing.assert_allclose(layer(Tensor(x), Tensor(context), whole).data, y, rtol=1e-12)


def test_the_order_of_the_context_does_not_matter():
    rng, x, context = inputs()
    layer = make(nn.MultiHeadAttention(D, 2, C, rng=rng))
    y = layer(Tensor(x), Tensor(context)).data
    other = layer(Tensor(x), Tensor(context[:, [2, 0, 3, 1]])).data
    np.testing.assert_allclose(other, y, rtol=1e-10)


def test_causal_attention_does_not_see_the_future():
    rng, x, _ = inputs()
    layer = make(nn.TransformerBlock(D, 2, rng=rng))
    layer.attention.out.weight.data[:] = np.eye(D)
    y = layer(Tensor(x), is_causal=True).data
    x[:, 3:] += 1
    other = layer(Tensor(x), is_causal=True).data
    assert np.array_equal(other[:, :3], y[:, :3])
    assert (other[:, 3:] != y[:, 3:]).all()


@pytest.mark.parametrize("context_width", [None, C])
def test_a_transformer_block_starts_as_the_identity(context_width):
    rng, x, context = inputs()
    block = make(nn.TransformerBlock(D, 2, context_width=context_width, rng=rng))
    y = block(Tensor(x), Tensor(context) if context_width else None)
    assert np.array_equal(y.data, x)


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({}, {"attention", "feed_forward"}),
        ({"context_width": C}, {"attention", "cross", "feed_forward"}),
        ({"context_width": C, "self_attention": False}, {"cross", "feed_forward"}),
        ({"mlp_ratio": 0}, {"attention"}),
    ],
    ids=["default", "context", "context only", "no feed-forward"],
)
def test_a_transformer_block_has_the_parts_that_were_asked_for(settings, parts):
    block = nn.TransformerBlock(D, 2, rng=np.random.default_rng(0), **settings)
    names = {name for name, _ in block.named_children()}
    assert names - {"dropout"} == parts | {f"{part}_norm" for part in parts}


def test_the_gradient_of_a_transformer_block_is_right():
    rng, x, context = inputs()
    block = make(nn.TransformerBlock(D, 2, 2, C, rng=rng))
    for p in block.parameters():
        p.data += 0.3 * rng.standard_normal(p.shape)
    mask = np.array([[True, True, True, False], [True, True, False, False]])
    gradcheck(lambda x, c: block(x, c, context_mask=mask), x, context, rng=rng, order=2)


def test_wrong_heads_masks_and_contexts_are_refused():
    rng, x, context = inputs()
    with pytest.raises(ValueError, match="width 6 does not split into 4 heads"):
        nn.MultiHeadAttention(D, 4, rng=rng)
    layer = make(nn.MultiHeadAttention(D, 2, rng=rng))
    with pytest.raises(ValueError, match=r"\(N, S\) or has 4 axes, got the shape \(2, 5, 5\)"):
        layer(Tensor(x), mask=np.ones((N, L, L), bool))
    with pytest.raises(ValueError, match="got a context, reads none"):
        make(nn.TransformerBlock(D, 2, rng=rng))(Tensor(x), Tensor(context))
    with pytest.raises(ValueError, match="got no context but reads one"):
        make(nn.TransformerBlock(D, 2, context_width=C, rng=rng))(Tensor(x))

"""Attention and the rotation that tells it where a token stands."""

import math

from minigen.autograd import primitive
from minigen.backend import Array, array_module


def _weights(q: Array, k: Array, mask: Array | None, is_causal: bool) -> Array:
    """softmax(q k^T / sqrt(DH)) over the keys that the mask allows; zeros where it allows none."""
    xp = array_module(q)
    p = (q * (1 / math.sqrt(q.shape[-1]))) @ k.swapaxes(-1, -2)  # (..., L, S)
    if is_causal:
        causal = xp.tri(*p.shape[-2:], dtype=bool)
        mask = causal if mask is None else mask & causal
    if mask is not None:
        p = xp.where(mask, p, p.dtype.type(-xp.inf))
        p -= xp.maximum(p.max(axis=-1, keepdims=True), xp.finfo(p.dtype).min)
    else:
        p -= p.max(axis=-1, keepdims=True)
    xp.exp(p, out=p)
    p /= xp.maximum(p.sum(axis=-1, keepdims=True), xp.finfo(p.dtype).tiny)
    return p


@primitive
def attention_weights(q: Array, k: Array, *, mask: Array | None, is_causal: bool) -> Array:
    return _weights(q, k, mask, is_causal)


@attention_weights.backward
def attention_weights_backward(g, p, q, k, *, mask, is_causal):
    gs = p * (g - (g * p).sum(axis=-1, keepdims=True)) * (1 / math.sqrt(q.shape[-1]))
    return gs @ k, gs.mT @ q


@primitive
def scaled_dot_product_attention(
    q: Array, k: Array, v: Array, *, mask: Array | None = None, is_causal: bool = False
) -> Array:
    """softmax(q k^T / sqrt(DH)) v.

    Shapes: q (..., L, DH), k and v (..., S, DH) -> (..., L, DH); mask bool, broadcastable to (..., L, S), True = may look.
    """
    return _weights(q, k, mask, is_causal) @ v


@scaled_dot_product_attention.backward
def scaled_dot_product_attention_backward(g, y, q, k, v, *, mask=None, is_causal=False):
    scale = 1 / math.sqrt(q.shape[-1])
    p = attention_weights(q, k, mask=mask, is_causal=is_causal)  # recomputed, not stored
    gs = p * (g @ v.mT - (g * y).sum(axis=-1, keepdims=True)) * scale
    return gs @ k, gs.mT @ q, p.mT @ g


@primitive
def rotary_embedding(x: Array, *, positions: Array, base: float = 10000.0) -> Array:
    """Turn each pair of channels (2i, 2i+1) by the angle position * base ** (-2i / D).

    Shapes: x (..., L, D), positions (L,) or (..., L) -> (..., L, D).
    """
    xp = array_module(x)
    D = x.shape[-1]
    rates = float(base) ** (xp.arange(0, D, 2) * (-1.0 / D))  # (D / 2,)
    angles = xp.asarray(positions)[..., None] * rates  # (..., L, D / 2)
    c, s = xp.cos(angles).astype(x.dtype), xp.sin(angles).astype(x.dtype)
    a, b = x[..., 0::2], x[..., 1::2]
    return xp.stack([a * c - b * s, a * s + b * c], axis=-1).reshape(x.shape)


@rotary_embedding.backward
def rotary_embedding_backward(g, y, x, *, positions, base=10000.0):
    return rotary_embedding(g, positions=-positions, base=base)

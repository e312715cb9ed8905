"""Attention, and the rotation that tells it where a token stands.

Inside, the scores are (..., S, L), keys before queries: NumPy folds the axis before the last three
times as fast as the last one, and a matrix product takes either order.
"""

import math
from typing import Any

from minigen.autograd import Tensor, primitive, sum_to
from minigen.backend import Array, array_module
from minigen.ops.elementwise import as_tensor, plain
from minigen.ops.reduce import sum_product


@primitive
def scaled_dot_product_attention(
    q: Array, k: Array, v: Array, *, mask: Array | None = None, is_causal: bool = False
) -> Array:
    """softmax(q k^T / sqrt(DH)) v: each query reads a mean of the values, weighted by likeness.

    mask       bool, True where a query may look at a key; one that may look at none gets zeros
    is_causal  query i may look at the keys 0 .. i

    Shapes: q (..., L, DH), k (..., S, DH), v (..., S, DV), mask (..., L, S) -> (..., L, DV).
    Raises: ValueError where these do not fit, TypeError for a mask that is not bool.
    Cost: 2 L S (DH + DV) FLOPs, and L S numbers in memory.
    Source: Vaswani et al., 2017, arXiv 1706.03762, eq. 1.
    """
    _check(q, k, v, mask)
    p = attention_weights.forward(q, k, mask=mask, is_causal=is_causal)  # (..., S, L)
    return p.swapaxes(-1, -2) @ v


@scaled_dot_product_attention.backward
def scaled_dot_product_attention_backward(g, y, q, k, v, *, mask=None, is_causal=False):
    scale = 1 / math.sqrt(q.shape[-1])
    p = attention_weights(
        q, k, mask=mask, is_causal=is_causal
    )  # (..., S, L), not stored but redone
    gv = sum_to(p @ g, v.shape) if v.requires_grad else None
    # softmax: p * (gp - sum over keys of p * gp), and that sum is g . y
    gs = p * (v @ g.mT - sum_product(g, y, axis=-1).mT)
    gq = sum_to(gs.mT @ k, q.shape) * scale if q.requires_grad else None
    gk = sum_to(gs @ q, k.shape) * scale if k.requires_grad else None
    return gq, gk, gv


@primitive
def attention_weights(q: Array, k: Array, *, mask: Array | None, is_causal: bool) -> Array:
    """softmax(q k^T / sqrt(DH)) over the keys, transposed.

    Shapes: q (..., L, DH), k (..., S, DH), mask (..., L, S) -> (..., S, L).
    """
    xp = array_module(q)
    p = k @ (q * (1 / math.sqrt(q.shape[-1]))).swapaxes(-1, -2)  # (..., S, L)
    if is_causal:
        causal = xp.tri(q.shape[-2], k.shape[-2], dtype=bool)
        mask = causal if mask is None else mask & causal
    if mask is not None:
        p = p + xp.where(mask, 0, -xp.inf).astype(p.dtype).swapaxes(-1, -2)
    # a query that may look at nothing has -inf only: the limits turn exp(-inf + inf) / 0 into 0
    p -= xp.maximum(p.max(axis=-2, keepdims=True), xp.finfo(p.dtype).min)
    xp.exp(p, out=p)
    p /= xp.maximum(sum_product.forward(p, axis=-2), xp.finfo(p.dtype).tiny)
    return p


@attention_weights.backward
def attention_weights_backward(g, p, q, k, *, mask, is_causal):
    scale = 1 / math.sqrt(q.shape[-1])
    gs = p * (g - sum_product(g, p, axis=-2))
    return sum_to(gs.mT @ k, q.shape) * scale, sum_to(gs @ q, k.shape) * scale


def _check(q: Array, k: Array, v: Array, mask: Array | None) -> None:
    name = "scaled_dot_product_attention"
    if min(q.ndim, k.ndim, v.ndim) < 2:
        raise ValueError(
            f"{name}: expected q (..., L, DH), k and v (..., S, DH), "
            f"got {q.shape}, {k.shape} and {v.shape}"
        )
    if q.shape[-1] != k.shape[-1]:
        raise ValueError(f"{name}: q has DH = {q.shape[-1]} channels, k has {k.shape[-1]}")
    if k.shape[-2] != v.shape[-2]:
        raise ValueError(f"{name}: k has S = {k.shape[-2]} tokens, v has {v.shape[-2]}")
    if mask is None:
        return
    if mask.dtype != bool:
        raise TypeError(f"{name}: mask is {mask.dtype}, expected bool, True where a query may look")
    L, S = q.shape[-2], k.shape[-2]
    if mask.ndim < 2 or mask.shape[-2] not in (1, L) or mask.shape[-1] not in (1, S):
        raise ValueError(f"{name}: mask is {mask.shape}, expected (..., L, S) = (..., {L}, {S})")


def rotary_embedding(x: Any, positions: Any, base: float = 10000.0) -> Tensor:
    """Turn each pair of channels (2i, 2i + 1) by the angle positions * base^(-2i / D).

    The product of a turned query and a turned key depends on the difference of their positions.

    Shapes: x (..., L, D), positions (L,) or (..., L) -> (..., L, D).
    Raises: ValueError for an odd D.
    Source: Su et al., 2021, arXiv 2104.09864, eq. 34.
    """
    x = as_tensor(x)
    xp, D = array_module(x.data), x.shape[-1]
    if D % 2:
        raise ValueError(f"rotary_embedding: x has D = {D} channels, expected an even number")
    rates = float(base) ** (xp.arange(0, D, 2) * (-1.0 / D))  # (D / 2,)
    angles = xp.asarray(plain(positions))[..., None] * rates  # (..., L, D / 2)
    cos, sin = xp.cos(angles).astype(x.dtype), xp.sin(angles).astype(x.dtype)
    return rotary_embedding_(x, cos=cos, sin=sin)


@primitive
def rotary_embedding_(x: Array, *, cos: Array, sin: Array) -> Array:
    """Turn each pair of channels (2i, 2i + 1) by the angles whose cosines and sines are given."""
    even, odd = x[..., 0::2], x[..., 1::2]
    y = array_module(x).empty_like(x)
    y[..., 0::2] = even * cos - odd * sin
    y[..., 1::2] = odd * cos + even * sin
    return y


@rotary_embedding_.backward
def rotary_embedding_backward(g, y, x, *, cos, sin):
    return rotary_embedding_(g, cos=cos, sin=-sin)  # the transpose of a rotation turns back

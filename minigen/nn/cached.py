"""A causal Transformer read one place at a time: what a place has to look back at is kept.

    cache = Cache(blocks, n, places)
    h = read(blocks, [x_0, x_1], cache)[-1]     the places 0 and 1, (N, D) each
    h = read(blocks, [x_2], cache)[-1]          place 2, which sees them, not computed again

Without a cache, a row of L tokens is drawn at the cost of L rows; with it, of one.

The result is that of an empty cache, to the last bit: each product has the shape of one place of
the batch, (N, D) by (D, ..), and each query meets room for all keys, the later ones hidden,
whatever is in the cache. A block's own `forward` multiplies all places at once, and rounds
otherwise.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minigen.autograd import Tensor
from minigen.backend import Array, array_module
from minigen.nn.attention import MultiHeadAttention
from minigen.ops import scaled_dot_product_attention


class Kept(NamedTuple):
    """Of one block: keys and values of its places, room for all; and of the context, if any."""

    keys: Array  # (N, A, L, DH)
    values: Array
    context: tuple[Array, Array] | None  # (N, A, S, DH) each


class Cache:
    """What `blocks`, nn.TransformerBlocks, have read so far of `n` rows of up to `places` places.

    context  what their cross-attention reads, (N, S, C): its keys and values are computed here

    Raises: ValueError where the context is not of n rows.
    """

    def __init__(self, blocks: Any, n: int, places: int, context: Tensor | None = None):
        if context is not None and len(context.data) != n:
            raise ValueError(f"Cache: the context is of {len(context.data)} rows, expected {n}")
        self.kept = [_empty(block, n, places, context) for block in blocks]
        self.length, self.places = 0, places


def _empty(block: Any, n: int, places: int, context: Tensor | None) -> Kept:
    A, weight = block.attention.heads, block.attention.key.weight.data
    zeros, shape = array_module(weight).zeros, (n, A, places, weight.shape[1] // A)
    read = None
    if context is not None:
        cross = block.cross
        read = (_heads(cross, cross.key(context)), _heads(cross, cross.value(context)))
    return Kept(zeros(shape, weight.dtype), zeros(shape, weight.dtype), read)


def read(blocks: Any, hs: Sequence[Tensor], cache: Cache) -> list[Tensor]:
    """The blocks at the next places, of which `hs` are the inputs: (N, D) each -> as many.

    Raises: ValueError for more places than the cache has room for.
    """
    places = range(cache.length, cache.length + len(hs))
    if places.stop > cache.places:
        raise ValueError(f"read: place {places.stop} came, the cache has room for {cache.places}")
    for block, kept in zip(blocks, cache.kept, strict=True):
        hs = [_one_place(block, h, kept, i) for h, i in zip(hs, places, strict=True)]
    cache.length = places.stop
    return list(hs)


def _one_place(block: Any, x: Tensor, kept: Kept, i: int) -> Tensor:
    """A block at place i, (N, D) -> (N, D); its key and value join those of the places before."""
    attention, (N, A, L, DH) = block.attention, kept.keys.shape
    h = block.attention_norm(x)
    kept.keys[:, :, i] = attention.key(h).data.reshape(N, A, DH)
    kept.values[:, :, i] = attention.value(h).data.reshape(N, A, DH)
    seen = (array_module(kept.keys).arange(L) <= i)[None]  # (1, L)
    x = x + _look(attention, h, kept.keys, kept.values, seen)
    if block.cross is not None:
        assert kept.context is not None
        x = x + _look(block.cross, block.cross_norm(x), *kept.context, None)
    return x + block.feed_forward(block.feed_forward_norm(x))


def _look(attention: MultiHeadAttention, h: Tensor, keys: Array, values: Array, mask: Any) -> Any:
    """One query a row: (N, D) -> (N, D)."""
    N, A, _, DH = keys.shape
    q = attention.query(h).reshape(N, A, 1, DH)
    y = scaled_dot_product_attention(q, keys, values, mask=mask)  # (N, A, 1, DH)
    return attention.out(y.reshape(N, A * DH))


def _heads(attention: MultiHeadAttention, x: Tensor) -> np.ndarray:
    """(N, S, D) -> (N, A, S, DH)."""
    N, S, D = x.shape
    return x.data.reshape(N, S, attention.heads, D // attention.heads).transpose(0, 2, 1, 3)

"""What the CUDA rungs of attention ask of their arrays, and how they lay them out."""

import math

import numpy as np

from minigen.kernels.launch import contiguous, empty, module_of, only_cuda


def supports(q, k, v, *, mask=None, is_causal=False):
    if reason := only_cuda(q, k, v):
        return reason
    if mask is not None and (reason := only_cuda(mask, dtype="bool")):
        return f"of the mask {reason}"
    return None if _fit(q, k, v, mask) else "the shapes do not fit"


def _fit(q, k, v, mask):
    arrays = [a for a in (q, k, v, mask) if a is not None]
    if min(a.ndim for a in arrays) < 2 or 0 in (q.size, k.size, v.size):
        return False
    if q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        return False
    look = (q.shape[-2], k.shape[-2])
    if mask is not None and any(m not in (1, n) for m, n in zip(mask.shape[-2:], look)):
        return False
    try:
        heads = np.broadcast_shapes(*(a.shape[:-2] for a in arrays))
    except ValueError:
        return False
    return heads == np.broadcast_shapes(*(a.shape[:-2] for a in (q, k, v)))


class Work:
    """Attention as B heads: q (B, L, DH), k (B, S, DH), v (B, S, DV), arrays without gaps.

    look    what tells a kernel which query may look at which key: the mask or None, its step from
            head to head and from query to query (0 where it is the same for all), is_causal
    """

    def __init__(self, q, k, v, mask, is_causal):
        self.shapes = [a.shape for a in (q, k, v)]
        self.heads = np.broadcast_shapes(*(shape[:-2] for shape in self.shapes))
        self.B = math.prod(self.heads)
        self.q, self.k, self.v = (self.as_heads(a) for a in (q, k, v))
        self.L, self.DH = self.q.shape[1:]
        self.S, self.DV = self.v.shape[1:]
        self.scale = 1 / math.sqrt(self.DH)
        self.look = (*self._mask(mask), int(is_causal))

    def as_heads(self, a):
        """(..., tokens, width) -> (B, tokens, width)."""
        if a.shape[:-2] != self.heads:
            a = module_of(a).broadcast_to(a, (*self.heads, *a.shape[-2:]))
        return contiguous(a).reshape(self.B, *a.shape[-2:])

    def _mask(self, mask):
        if mask is None:
            return None, 0, 0
        lead, queries = mask.shape[:-2], mask.shape[-2]
        mask = module_of(mask).broadcast_to(mask, (*lead, queries, self.S))
        by_query = self.S if queries > 1 else 0
        if math.prod(lead) == 1:
            return contiguous(mask), 0, by_query
        return self.as_heads(mask), queries * self.S, by_query

    def empty(self, *shape):
        """An array (B, *shape)."""
        return empty((self.B, *shape), self.q)

    def result(self, y):
        return y.reshape(*self.heads, *y.shape[1:])

    def gradients(self, *arrays):
        """Those of q, k and v as the caller has them: summed where heads shared an array."""
        return [_sum_to(self.result(a), shape) for a, shape in zip(arrays, self.shapes)]


def _sum_to(a, shape):
    first = a.ndim - len(shape)
    axes = [i for i in range(a.ndim) if i < first or shape[i - first] < a.shape[i]]
    return a.sum(tuple(axes)).reshape(shape) if axes else a

"""Attention over so few heads or queries at a time that their scores stay in the cache.

New since the reference: the L x S scores never reach memory. A piece of the work, some pictures or
some queries of one, is two products by BLAS and a compiled softmax between them, and each thread
has its own buffer for the scores. The way back computes them again from q and k; it keeps two
numbers for each query, the largest of its scores and 1 / the sum of its exponentials.

The scores of a head are (S, L), keys first: the softmax goes over the first axis, so its loops are
over lanes of queries and have no sums across a vector. Few queries of many heads lie side by side.

Shapes: q (..., L, DH), k (..., S, DH), v (..., S, DV), mask (..., L, S) -> (..., L, DV), laid out
in memory as (..., L, A, DV), so that the heads of a token are neighbours.
Every size. Error: that of exp and of sums in another order (test_kernels_attention.py).
Source: Dao et al., 2022, arXiv 2205.14135, algorithm 1 (scores in pieces) and appendix B.2 (the
gradient from the scores computed again); Rabe and Staats, 2021, arXiv 2112.05682.
"""

import math

import numpy as np

from minigen.kernels import pool
from minigen.kernels.arrays import only_floats, share
from minigen.kernels.exponential import exp
from minigen.kernels.jit import jit
from minigen.kernels.threads import one_blas_thread

BYTES = 1 << 19  # of scores in a buffer: a part of a core's cache
LANES = 32  # queries that fill a few vectors
COST = 4  # of a score, that of an elementwise op is 1


def supports(q, k, v, *, mask=None, is_causal=False):
    if reason := only_floats(q, k, v):
        return reason
    if min(q.ndim, k.ndim, v.ndim) < 2 or 0 in (q.size, k.size, v.size):
        return "the shapes do not fit"
    if q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        return "the shapes do not fit"
    heads = [q.shape[:-2], k.shape[:-2], v.shape[:-2]]
    if mask is not None:
        if type(mask) is not np.ndarray or mask.dtype != bool or mask.ndim < 2:
            return "the mask is no array of bool"
        if any(m not in (1, n) for m, n in zip(mask.shape[-2:], (q.shape[-2], k.shape[-2]))):
            return "the shapes do not fit"
        heads.append(mask.shape[:-2])
    try:
        fits = joint(heads) == joint(heads[:3])
    except ValueError:
        fits = False
    return None if fits else "the shapes do not fit"


def launch(q, k, v, *, mask=None, is_causal=False):
    work = Work(q, k, v, mask, is_causal)

    def backward(g, needs):
        return [sum_to(a, x.shape) for a, x in zip(work.backward(g), (q, k, v))]

    return work.forward(), backward


def joint(shapes):
    """numpy.broadcast_shapes, which takes long where they are all the same."""
    return shapes[0] if len(set(shapes)) == 1 else np.broadcast_shapes(*shapes)


def sum_to(a, shape):
    """The sum over the axes along which `shape` was broadcast to that of a."""
    if a.shape == shape:
        return a
    first = a.ndim - len(shape)
    axes = [i for i in range(a.ndim) if i < first or shape[i - first] < a.shape[i]]
    return a.sum(tuple(axes)).reshape(shape)


class Work:
    """Attention with all arrays as (B, A, tokens, width); a piece is a run of B, or of queries."""

    def __init__(self, q, k, v, mask, is_causal):
        self.heads = joint([q.shape[:-2], k.shape[:-2], v.shape[:-2]])
        self.N, self.A = math.prod(self.heads[:-1]), self.heads[-1] if self.heads else 1
        self.dtype, self.is_causal = q.dtype, is_causal
        self.q, self.k, self.v = (for_blas(self.as_heads(a)) for a in (q, k, v))
        self.B, _, self.L, _ = self.q.shape
        self.S, self.mask = k.shape[-2], None
        if mask is not None:
            self.mask = self.as_heads(np.broadcast_to(mask, (*mask.shape[:-1], self.S)))
        self.scale = q.dtype.type(1 / math.sqrt(q.shape[-1]))
        self.top, self.shares = np.empty((2, *self.q.shape[:2], self.L), q.dtype)

    def as_heads(self, a):
        """(..., tokens, width) -> (B, A, tokens, width); one picture's heads are work to share."""
        if a.shape[:-2] != self.heads:
            a = np.broadcast_to(a, (*self.heads, *a.shape[-2:]))
        if a.ndim != 4:
            a = a.reshape(self.N, self.A, *a.shape[-2:])
        return a.swapaxes(0, 1) if self.N == 1 else a

    def empty(self, tokens, width):
        """(B, A, tokens, width), in memory (.., tokens, A, width), and the same array as heads."""
        a = pool.empty((self.N, tokens, self.A, width), self.dtype).swapaxes(1, 2)
        return a.swapaxes(0, 1) if self.N == 1 else a, a.reshape(*self.heads, tokens, width)

    def pieces(self, first, last):
        """Slices of B, A and the queries."""
        A, L = self.q.shape[1:3]
        query = self.S * self.dtype.itemsize
        heads, queries, everything = BYTES // (query * L), max(8, BYTES // query), slice(None)
        if heads >= A:
            return [(b, everything, everything) for b in runs(first, last, heads // A)]
        each = [slice(b, b + 1) for b in range(first, last)]
        if heads:
            return [(b, a, everything) for b in each for a in runs(0, A, heads)]
        return [(b, a, i) for b in each for a in runs(0, A, 1) for i in runs(0, L, queries)]

    def buffer(self, first, last):
        """Memory for the scores of the largest piece."""
        shape = zip(self.q.shape, self.pieces(first, last)[0])
        return pool.empty(
            (self.S * math.prod(len(range(n)[part]) for n, part in shape),), self.dtype
        )

    def as_scores(self, buffer, q):
        """A buffer as (blocks, S, lanes), a lane for each query, and (B, A, S, queries) of it."""
        B, A, L, _ = q.shape
        s = buffer[: self.S * B * A * L]
        if L < LANES:  # the heads side by side, that the loops over lanes be long
            return s.reshape(1, self.S, -1), s.reshape(self.S, B, A, L).transpose(1, 2, 0, 3)
        return s.reshape(-1, self.S, L), s.reshape(B, A, self.S, L)

    def scores(self, buffer, piece):
        """q k^T of a piece, without the scale; -inf where the mask or the order forbids a look."""
        s, heads = self.as_scores(buffer, self.q[piece])
        np.matmul(self.k[piece[:2]], self.q[piece].mT, out=heads)
        if self.mask is not None:
            _hide(heads, self.mask[piece if self.mask.shape[2] > 1 else piece[:2]])
        if self.is_causal:
            _hide_later(heads, piece[2].start or 0)
        return s, heads

    def forward(self):
        y, result = self.empty(self.L, self.v.shape[3])

        def work(first, last):
            buffer = self.buffer(first, last)
            for piece in self.pieces(first, last):
                s, p = self.scores(buffer, piece)
                top, shares = self.top[piece], self.shares[piece]
                kept = _softmax(s, self.scale)
                top[:], shares[:] = (a.reshape(top.shape) for a in kept)
                np.matmul(p.mT, self.v[piece[:2]], out=y[piece])

        self.share(work)
        return result

    def backward(self, g):
        g = for_blas(self.as_heads(g))
        (gq, of_q), (gk, of_k) = (self.empty(n, self.q.shape[3]) for n in (self.L, self.S))
        gv, of_v = self.empty(self.S, self.v.shape[3])

        def work(first, last):
            buffer, other = self.buffer(first, last), self.buffer(first, last)
            for piece in self.pieces(first, last):
                heads, start = piece[:2], piece[2].start
                s, p = self.scores(buffer, piece)
                kept = (a[piece].reshape(len(s), -1) for a in (self.top, self.shares))
                _weights(s, self.scale, *kept)
                add_product(p, g[piece], gv[heads], start)
                gs, gp = self.as_scores(other, self.q[piece])
                np.matmul(self.v[heads], g[piece].mT, out=gp)
                _through_softmax(s, gs, self.scale)
                np.matmul(gp.mT, self.k[heads], out=gq[piece])
                add_product(gp, self.q[piece], gk[heads], start)

        self.share(work)
        return of_q, of_k, of_v

    def share(self, work):
        with one_blas_thread():
            share(work, self.B, COST * self.q.shape[1] * self.L * self.S)


def runs(first, last, step):
    """Slices of `step` numbers of range(first, last); the last one may be shorter."""
    return [slice(i, min(i + step, last)) for i in range(first, last, step)]


def add_product(a, b, y, start):
    """y = a @ b, or y += a @ b where it is not the first piece."""
    if start:
        y += a @ b
    else:
        np.matmul(a, b, out=y)


def for_blas(a):
    """a, or a copy of it where its rows are not runs of memory."""
    row, one = a.strides[-2:]
    fits = one == a.itemsize and row >= a.shape[-1] * one
    return a if fits else np.ascontiguousarray(a)


@jit
def _softmax(s, scale):
    """s = softmax(scale * s) over the keys, (blocks, S, lanes); a lane of -inf becomes 0.

    Returns the largest score of each lane and 1 / its sum, or 0 where the sum is 0.
    """
    blocks, S, lanes = s.shape
    tops, shares = np.empty((blocks, lanes), s.dtype), np.empty((blocks, lanes), s.dtype)
    zero, one = s.dtype.type(0), s.dtype.type(1)
    for n in range(blocks):
        p, top, share = s[n], tops[n], shares[n]
        top[:] = np.finfo(s.dtype).min
        share[:] = 0
        for j in range(S):
            for i in range(lanes):
                top[i] = p[j, i] if p[j, i] > top[i] else top[i]
        for j in range(S):
            for i in range(lanes):
                e = exp(scale * (p[j, i] - top[i]))
                p[j, i] = e
                share[i] += e
        for i in range(lanes):
            share[i] = zero if share[i] == zero else one / share[i]
        for j in range(S):
            for i in range(lanes):
                p[j, i] *= share[i]
    return tops, shares


@jit
def _weights(s, scale, tops, shares):
    """s = the weights again, from the numbers that _softmax returned."""
    blocks, S, lanes = s.shape
    for n in range(blocks):
        p, top, share = s[n], tops[n], shares[n]
        for j in range(S):
            for i in range(lanes):
                p[j, i] = exp(scale * (p[j, i] - top[i])) * share[i]


@jit
def _through_softmax(s, gs, scale):
    """gs = scale * s * (gs - sum over keys of s * gs)."""
    blocks, S, lanes = s.shape
    total = np.empty(lanes, s.dtype)
    for n in range(blocks):
        p, g = s[n], gs[n]
        total[:] = 0
        for j in range(S):
            for i in range(lanes):
                total[i] += p[j, i] * g[j, i]
        for j in range(S):
            for i in range(lanes):
                g[j, i] = scale * (p[j, i] * (g[j, i] - total[i]))


@jit
def _hide(s, mask):
    """s (B, A, S, L) = -inf where mask (B, A, L or 1, S) is False."""
    B, A, S, L = s.shape
    for b in range(B):
        for a in range(A):
            for j in range(S):
                if mask.shape[2] > 1:
                    for i in range(L):
                        if not mask[b, a, i, j]:
                            s[b, a, j, i] = -np.inf
                elif not mask[b, a, 0, j]:
                    for i in range(L):
                        s[b, a, j, i] = -np.inf


@jit
def _hide_later(s, start):
    """s (B, A, S, L) = -inf where the key is later than the query; `start` is the first query."""
    B, A, S, L = s.shape
    for b in range(B):
        for a in range(A):
            for j in range(start + 1, S):
                for i in range(min(j - start, L)):
                    s[b, a, j, i] = -np.inf


def warmup():
    for dtype in (np.float32, np.float64):
        x, mask = np.zeros((2, 1, 1, 1), dtype), np.ones((1, 1), bool)
        y, backward = launch(x, x, x, mask=mask, is_causal=True)
        backward(y, (True, True, True))

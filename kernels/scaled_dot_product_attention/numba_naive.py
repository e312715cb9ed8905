"""Attention in Numba CUDA, a thread for each query, by an online softmax.

New: no matrix of scores. A thread walks over the keys once; when a larger score turns up, what was
summed so far is scaled down. Its sum of values stands in y itself, in memory.

Prediction: slow, slower than three plain kernels: neighbours in a warp read q and y rows apart, and
every key is fetched by every thread. It is here to be read.
Measured: not yet on a GPU.

Shapes: q (..., L, DH), k (..., S, DH), v (..., S, DV) -> (..., L, DV), float32, every size.
Launch: blocks of 64 queries; y counts the heads.
Source: Milakov and Gimelshein, 2018, arXiv 1805.02867, algorithm 3; Rabe and Staats, 2021.
Teaches: the online softmax.
"""

import math

from numba import cuda, float32

from minigen.kernels.launch import blocks, contiguous, empty
from minigen.kernels.simulator import start, supports_arrays


def supports(q, k, v, *, mask=None, is_causal=False):
    if reason := supports_arrays(q, k, v):
        return reason
    if mask is not None:
        return "it takes no mask"
    if not q.shape[:-2] == k.shape[:-2] == v.shape[:-2]:
        return "the leading axes differ"
    if q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        return "the shapes do not fit"
    if 0 in (*q.shape, *k.shape, *v.shape):
        return "an axis is empty"
    too_many = math.prod(q.shape[:-2]) > 65535
    return "there are more heads than a grid has blocks for" if too_many else None


def launch(q, k, v, *, mask=None, is_causal=False):
    y = empty((*q.shape[:-1], v.shape[-1]), q)
    heads = [contiguous(a).reshape(-1, *a.shape[-2:]) for a in (q, k, v)]
    out = y.reshape(-1, *y.shape[-2:])
    grid = (blocks(out.shape[1], 64), len(out))
    start(attention, grid, (64,), *heads, out, float32(1 / math.sqrt(q.shape[-1])), is_causal)
    return y, None


@cuda.jit
def attention(q, k, v, y, scale, is_causal):
    row, head = cuda.grid(2)
    if row >= q.shape[1]:
        return
    most, total = float32(-math.inf), float32(0)
    for d in range(v.shape[2]):
        y[head, row, d] = 0
    keys = min(row + 1, k.shape[1]) if is_causal else k.shape[1]
    for s in range(keys):
        score = float32(0)
        for d in range(q.shape[2]):
            score += q[head, row, d] * k[head, s, d]
        score *= scale
        new_most = max(most, score)
        shrink, weight = math.exp(most - new_most), math.exp(score - new_most)
        total = total * shrink + weight
        for d in range(v.shape[2]):
            y[head, row, d] = y[head, row, d] * shrink + weight * v[head, s, d]
        most = new_most
    for d in range(v.shape[2]):
        y[head, row, d] /= total

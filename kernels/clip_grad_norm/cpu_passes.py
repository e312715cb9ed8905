"""The joint length of all gradients, and gradients shortened to it, on all cores.

New since the reference: what is shortened goes into one piece of pooled memory, filled by all
threads. The sums of squares stay in one thread, which reads as fast as two.

Arrays: a list; the result is (length, list), the same arrays where they are short enough.
Error: that of a sum in another order (tests/kernels/test_kernels_optimiser.py).
Source: Pascanu, Mikolov and Bengio, 2013, algorithm 1, arXiv 1211.5063.
"""

import math

import numpy as np

from minigen.kernels import pool
from minigen.kernels.adamw.cpu_passes import over_all
from minigen.kernels.arrays import only_floats
from minigen.kernels.threads import one_blas_thread


def supports(gs, *, max_norm):
    if len({a.dtype for a in gs}) > 1:
        return "the gradients are of different types"
    return only_floats(*gs)


def launch(gs, *, max_norm):
    with one_blas_thread():
        norm = math.sqrt(sum(float(np.vdot(g, g)) for g in gs))
    if not (math.isfinite(norm) and norm > max_norm):
        return (norm, gs), None
    memory, short, start = pool.empty((sum(g.size for g in gs),), gs[0].dtype), [], 0
    for g in gs:
        short.append(memory[start : start + g.size].reshape(g.shape))
        start += g.size
    over_all(_multiply, (short, gs), max_norm / norm)
    return (norm, short), None


def _multiply(y, x, factor):
    np.multiply(x, factor, out=y)

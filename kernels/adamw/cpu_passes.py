"""AdamW in one pass over memory, on all cores, over all parameters at once.

New since the reference: NumPy goes over memory once for each operation of the formula, thirteen
times; a compiled loop reads p, g, m, v once and writes p, m, v once. All parameters are taken for
one long array, of which each thread has an equal piece, wherever a parameter ends. Arrays stay
where they are: to lay them out as one would save a microsecond for each, and cost a rule about who
may replace them.

Arrays: four lists of the same length, arrays of one shape at each place in them; p, m, v are
changed in place, the exception to the rule that a kernel writes to nothing.
Error: that of other roundings of the same formula, some 1e-7 of a step in float32; the same bits
with any number of threads (tests/kernels/test_kernels_optimiser.py).
Source: Loshchilov and Hutter, 2019, algorithm 2, arXiv 1711.05101.
"""

import math

import numpy as np

from minigen.kernels.arrays import only_floats
from minigen.kernels.jit import jit
from minigen.kernels.threads import spread

GRAIN = 1 << 15  # elements that are worth a thread of their own


def supports(ps, gs, ms, vs, *, lr, betas, eps, weight_decay, steps):
    return refusal([*ps, *ms, *vs], gs)


def refusal(written, read):
    """None, or why these lists of arrays cannot be gone over."""
    if reason := only_floats(*written, *read):
        return reason
    if all(a.flags.c_contiguous for a in written):
        return None
    return "an array that is written to does not lie in order"


def launch(ps, gs, ms, vs, *, lr, betas, eps, weight_decay, steps):
    beta1, beta2 = betas
    decay, step = 1 - lr * weight_decay, lr / (1 - beta1**steps)
    root = 1 / math.sqrt(1 - beta2**steps)  # of the correction of v
    over_all(_adamw, (ps, gs, ms, vs), decay, 1 - beta1, beta2, 1 - beta2, root, eps, step)
    return None, None


def over_all(function, lists, *numbers):
    """function(*pieces, *numbers) for flat pieces that cover all arrays, each thread some."""
    rows, starts, total = [], [], 0
    for arrays in zip(*lists):
        rows.append([np.ascontiguousarray(a).reshape(-1) for a in arrays])  # views where in order
        starts.append(total)
        total += arrays[0].size

    def work(first, last):
        for row, start in zip(rows, starts):
            i, end = max(first - start, 0), min(last - start, len(row[0]))
            if i < end:
                function(*[a[i:end] for a in row], *numbers)

    spread(work, total, GRAIN)


@jit
def _adamw(p, g, m, v, decay, rise1, beta2, rise2, root, eps, step):
    t = p.dtype.type
    decay, rise1, beta2, rise2 = t(decay), t(rise1), t(beta2), t(rise2)
    root, eps, step = t(root), t(eps), t(step)
    for i in range(len(p)):
        m_i = m[i] + (g[i] - m[i]) * rise1
        v_i = v[i] * beta2 + g[i] * g[i] * rise2
        m[i] = m_i
        v[i] = v_i
        p[i] = p[i] * decay - step * (m_i / (np.sqrt(v_i) * root + eps))


def warmup():
    for dtype in (np.float32, np.float64):
        arrays = [[np.ones(1, dtype)] for _ in range(4)]
        launch(*arrays, lr=0.1, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.1, steps=1)

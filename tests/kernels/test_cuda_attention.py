"""Every CUDA rung of attention, forward and backward, in several orders of blocks and threads."""

import numpy as np
import pytest
from close import assert_close
from cuda_rungs import WHERE, launch, rungs_of

OP = "scaled_dot_product_attention"
RUNGS = rungs_of(OP)
CASES = [  # heads of q, k, v; L, S, DH, DV; mask; is_causal
    (((), (), ()), (1, 1, 1, 1), None, False),
    (((2,), (2,), (2,)), (33, 31, 7, 5), None, True),
    (((1, 2), (1, 2), (1, 2)), (17, 70, 32, 3), (17, 70), False),
    (((2, 2), (2, 2), (2, 2)), (5, 37, 4, 33), (2, 1, 1, 37), True),
    (((2, 3), (3,), (1, 1)), (32, 13, 6, 32), (2, 3, 32, 1), True),
]


def exact(q, k, v, g, mask=None, is_causal=False):
    """The output and the three gradients, in float64 by the formulas."""
    q, k, v, g = (a.astype(float) for a in (q, k, v, g))
    s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    look = np.ones(s.shape[-2:], bool) if mask is None else mask
    look = np.broadcast_to(look & np.tri(*s.shape[-2:], dtype=bool) if is_causal else look, s.shape)
    p = np.exp(s - s.max(-1, keepdims=True)) * look
    p /= np.maximum(p.sum(-1, keepdims=True), 1e-300)
    gp = g @ v.swapaxes(-1, -2)
    gs = p * (gp - (p * gp).sum(-1, keepdims=True)) / np.sqrt(q.shape[-1])
    gradients = gs @ k, gs.swapaxes(-1, -2) @ q, p.swapaxes(-1, -2) @ g
    return p @ v, [sum_to(a, x.shape) for a, x in zip(gradients, (q, k, v))]


def sum_to(a, shape):
    a = a.sum(tuple(range(a.ndim - len(shape))))
    return a.sum(tuple(i for i, n in enumerate(shape) if n < a.shape[i]), keepdims=True)


def example(heads, sizes, mask, rng):
    """q, k, v, an upstream gradient and a mask in which a query sees nothing."""
    L, S, DH, DV = sizes
    shapes = [(*h, n, d) for h, n, d in zip(heads, (L, S, S), (DH, DH, DV))]
    xs = [rng.standard_normal(shape, np.float32) for shape in shapes]
    g = rng.standard_normal((*np.broadcast_shapes(*heads), L, DV), np.float32)
    if mask is not None:
        mask = rng.random(mask) < 0.6
        mask[..., -1, :1] = False
        mask[..., :1, :] &= mask.shape[-2] == 1
    return xs, g, mask


def check(actual, expected, terms):
    (y, gradients), (exact_y, exact_gradients) = actual, expected
    for a, e in zip((y, *gradients), (exact_y, *exact_gradients)):
        assert_close(a, e.astype(np.float32), terms)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("rung", [r for r in RUNGS if "mma" not in r])
def test_rung_attends_and_its_gradients(rung, case, where, rng):
    *shapes, mask, is_causal = case
    xs, g, mask = example(*shapes, mask, rng)
    settings = {"mask": mask, "is_causal": is_causal}
    check(launch(where, f"{OP}/{rung}", xs, g, **settings), exact(*xs, g, **settings), 16)

"""Every CUDA rung of attention, forward and backward, in several orders of blocks and threads."""

import numpy as np
import pytest
from close import assert_close
from cuda_rungs import WHERE, launch, rungs_of

from minigen.kernels.cpu import run
from minigen.kernels.precision import use_precision

OP = "scaled_dot_product_attention"
EXACT = [rung for rung in rungs_of(OP) if "mma" not in rung]
CASES = [  # heads of q, k, v; L, S, DH, DV; mask; is_causal
    (((1, 2), (1, 2), (1, 2)), (17, 70, 32, 3), (17, 70), False),
    (((), (), ()), (1, 1, 1, 1), None, False),
    (((2,), (2,), (2,)), (33, 31, 7, 5), None, True),
    (((2, 2), (2, 2), (2, 2)), (5, 37, 4, 33), (2, 1, 1, 37), True),
    (((2, 3), (3,), (1, 1)), (32, 13, 6, 32), (2, 3, 32, 1), True),
]
MMA_CASES = [  # around 64 queries of a block and 64 keys of a tile; three tiles
    (((), (), ()), (25, 131, 32, 29), (25, 131), False),
    (((), (), ()), (1, 1, 1, 1), None, False),
    (((2,), (2,), (2,)), (64, 65, 17, 31), (2, 1, 65), False),
    (((1,), (1,), (1,)), (65, 64, 7, 32), None, True),
    (((), (), ()), (129, 9, 3, 8), (129, 1), True),
    (((2,), (2,), (2,)), (5, 67, 8, 16), None, True),
]
BITS = {"fp16": 10, "bf16": 7}  # of the mantissa


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
@pytest.mark.parametrize("rung", EXACT)
def test_rung_attends_and_its_gradients(rung, case, where, rng):
    *shapes, mask, is_causal = case
    xs, g, mask = example(*shapes, mask, rng)
    settings = {"mask": mask, "is_causal": is_causal}
    check(launch(where, f"{OP}/{rung}", xs, g, **settings), exact(*xs, g, **settings), 16)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("case", MMA_CASES, ids=str)
@pytest.mark.parametrize("kind", BITS)
def test_flash_attention_on_tensor_cores(kind, case, where, rng):
    *shapes, mask, is_causal = case
    xs, g, mask = example(*shapes, mask, rng)
    *xs, g = (rounded(a, BITS[kind]) for a in (*xs, g))  # so that only the weights are rounded
    settings = {"mask": mask, "is_causal": is_causal}
    with use_precision(kind):
        actual = launch(where, f"{OP}/k4_flash_mma", xs, g, **settings)
    check(actual, exact(*xs, g, **settings), 2 ** (21 - BITS[kind]))


def rounded(a, bits):
    """To so many bits of mantissa after the first one."""
    fraction, exponent = np.frexp(a)
    return np.ldexp(np.round(np.ldexp(fraction, bits + 1)), exponent - bits - 1)


RUNGS = rungs_of(OP)


@pytest.fixture
def any_precision():
    with use_precision("fp16"):
        yield


@pytest.mark.usefixtures("any_precision")
@pytest.mark.parametrize("rung", RUNGS)
def test_the_same_bits_in_every_order(rung, rng):
    xs, g, mask = example(((2,), (2,), (2,)), (37, 70, 6, 9), (37, 70), rng)
    runs = [launch(seed, f"{OP}/{rung}", xs, g, mask=mask) for seed in (0, 3)]
    first, second = ([y.tobytes(), *(a.tobytes() for a in grads)] for y, grads in runs)
    assert first == second


@pytest.mark.usefixtures("any_precision")
@pytest.mark.parametrize("rung", RUNGS)
def test_large_scores_do_not_overflow(rung, rng):
    xs, g, _ = example(((), (), ()), (3, 70, 8, 4), None, rng)
    xs[:2] = [100 * np.sign(a) for a in xs[:2]]  # scores of up to 28,000, all exact
    xs[2], g = rounded(xs[2], 10), rounded(g, 10)
    check(launch(0, f"{OP}/{rung}", xs, g), exact(*xs, g), 2**11)


@pytest.mark.usefixtures("any_precision")
@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_number_that_is_none_shows(which, rung, rng):
    xs, g, _ = example(((2,), (2,), (2,)), (3, 5, 4, 4), None, rng)
    xs[which][1, 2, 1] = np.nan
    y = launch(0, f"{OP}/{rung}", xs)
    np.testing.assert_array_equal(np.isfinite(y), np.isfinite(exact(*xs, g)[0]))


@pytest.mark.usefixtures("any_precision")
@pytest.mark.parametrize("rung", RUNGS)
def test_views_are_read_as_they_are(rung, rng):
    q, k, v = (rng.standard_normal((5, 2, 4), np.float32).swapaxes(0, 1) for _ in range(3))
    g, mask = np.broadcast_to(np.float32(1), v.shape), np.tri(5, dtype=bool)[::-1]
    actual = launch(0, f"{OP}/{rung}", [q, k, v], g, mask=mask)
    check(actual, exact(q, k, v, g, mask=mask), 2**12)


@pytest.mark.parametrize("rung", RUNGS)
def test_what_is_for_another_rung_or_the_reference(rung, rng):
    q, k, v = (rng.standard_normal((2, 3, 4), np.float32) for _ in range(3))
    wide = np.zeros((2, 3, 257), np.float32)
    for xs, mask, reason in (
        ((q, k, v[:, :2]), None, "shapes do not fit"),
        ((q, k[..., :3], v), None, "shapes do not fit"),
        ((q[:0], k[:0], v[:0]), None, "shapes do not fit"),
        ((q, k, v), np.ones((3, 3, 3), bool), "shapes do not fit"),
        ((q, k, v), np.ones((3, 3)), "of the mask it takes bool"),
        ((q.astype(float), k, v), None, "it takes float32"),
        ((wide, wide, v), None, None if rung.startswith("k1") else "257|261"),
        ((q, k, v), None, "the precision is fp32" if "mma" in rung else None),
    ):
        if reason is None:
            run(f"{OP}/{rung}", *xs, mask=mask)
            continue
        with pytest.raises(ValueError, match=reason):
            run(f"{OP}/{rung}", *xs, mask=mask)

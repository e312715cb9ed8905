"""Every CUDA rung of the norms, at sizes around its tiles, in several orders of blocks and threads."""

import numpy as np
import pytest
from close import assert_close
from cuda_rungs import WHERE, launch, rungs_of

OPS = ("group_norm", "group_norm_silu")
EACH_RUNG = pytest.mark.parametrize("rung", [f"{op}/{r}" for op in OPS for r in rungs_of(op)])
SHAPES = [  # x, groups
    ((1, 1, 1, 1), 1),
    ((2, 3, 4), 4),
    ((3, 7, 5, 6), 2),
    ((2, 37, 8), 1),
    ((1, 300, 12), 3),
]


def example(shape, rng, rows=""):
    """x, weight and bias; "w" and "b" in `rows` have a row for each image."""
    N, C = shape[0], shape[-1]
    sizes = [shape, *((N, C) if name in rows else (C,) for name in "wb")]
    return [rng.standard_normal(size).astype(np.float32) for size in sizes]


def exact(x, weight, bias, g, num_groups, silu, eps=1e-5):
    """y and the gradients of the formula, in float64."""
    N, C = x.shape[0], x.shape[-1]
    grouped = (N, -1, num_groups, C // num_groups)
    x64, g64 = (a.astype(float).reshape(grouped) for a in (x, g))
    w, b = (a.astype(float).reshape(-1, 1, *grouped[2:]) for a in (weight, bias))
    d = x64 - x64.mean((1, 3), keepdims=True)
    rstd = 1 / np.sqrt((d * d).mean((1, 3), keepdims=True) + eps)
    z = d * rstd
    u = z * w + b
    s = 1 / (1 + np.exp(-u)) if silu else np.ones_like(u)
    gu = g64 * (s * (1 + u * (1 - s)) if silu else 1)
    mean_h, mean_hz = ((gu * w * a).mean((1, 3), keepdims=True) for a in (1, z))
    gx = rstd * (gu * w - mean_h - z * mean_hz)
    sums = [a.sum(1).reshape(N, C) for a in (gu * z, gu)]
    gw, gb = (a if like.ndim == 2 else a.sum(0) for a, like in zip(sums, (weight, bias)))
    return [a.astype(np.float32) for a in ((u * s).reshape(x.shape), gx.reshape(x.shape), gw, gb)]


def both(where, rung, arrays, g, num_groups, needs=None):
    settings = {"num_groups": num_groups, "eps": 1e-5}
    y, gradients = launch(where, rung, arrays, g, needs, **settings)
    return [y, *gradients]


@EACH_RUNG
@pytest.mark.parametrize(("shape", "num_groups"), SHAPES, ids=str)
@pytest.mark.parametrize("where", WHERE)
def test_group_norm_and_its_gradients(rung, shape, num_groups, where, rng):
    arrays, g = example(shape, rng), rng.standard_normal(shape).astype(np.float32)
    expected = exact(*arrays, g, num_groups, "silu" in rung)
    for a, e in zip(both(where, rung, arrays, g, num_groups), expected):
        assert_close(a, e, 16)


@EACH_RUNG
@pytest.mark.parametrize("rows", ["w", "b", "wb"])
@pytest.mark.parametrize("where", WHERE[1:])
def test_group_norm_with_rows_of_weight_and_bias_for_the_images(rung, rows, where, rng):
    shape = (3, 4, 5, 8)
    arrays, g = example(shape, rng, rows), rng.standard_normal(shape).astype(np.float32)
    expected = exact(*arrays, g, 2, "silu" in rung)
    for a, e in zip(both(where, rung, arrays, g, 2), expected):
        assert_close(a, e, 16)

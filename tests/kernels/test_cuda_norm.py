"""Every CUDA rung of the norms, at sizes around its tiles, in several orders of its threads."""

import numpy as np
import pytest
from close import assert_close
from cuda_rungs import WHERE, launch, rungs_of

from minigen.kernels.cpu import run
from minigen.kernels.group_norm_silu import k4_one_read
from minigen.kernels.layer_norm import k2_one_read

OPS = ("group_norm", "group_norm_silu")
EACH_RUNG = pytest.mark.parametrize("rung", [f"{op}/{r}" for op in OPS for r in rungs_of(op)])
SHAPES = [  # x, groups
    ((1, 1, 1, 1), 1),
    ((2, 3, 4), 4),
    ((3, 7, 5, 6), 2),
    ((1, 300, 12), 4),  # four channels that are read at once, of two groups
    ((2, 67, 33), 3),  # two tiles of channels, two chunks of pixels, a part of a tile and a chunk
    ((1, 67, 132), 2),  # the same, four channels at once
    ((1, 2, 1036), 1),  # more fours of channels than a block has threads
    ((1, 3, 259), 1),  # more channels than that
    ((1, 1030, 31), 31),  # more chunks than a warp has lanes
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


@EACH_RUNG
def test_far_from_zero_group_norm_keeps_its_digits(rung, rng):
    x, w, b = example((2, 67, 12), rng)
    x += 1000
    y, *_ = exact(x, w, b, x, 3, "silu" in rung)
    np.testing.assert_allclose(launch(1, rung, [x, w, b], num_groups=3, eps=1e-5), y, atol=2e-3)


@EACH_RUNG
def test_group_norm_has_the_same_bits_whatever_the_order(rung, rng):
    arrays, g = example((2, 67, 36), rng), rng.standard_normal((2, 67, 36)).astype(np.float32)
    runs = [both(where, rung, arrays, g, 3) for where in range(4)]
    assert len({b"".join(a.tobytes() for a in run) for run in runs}) == 1


@EACH_RUNG
def test_a_nan_stays_in_its_group(rung, rng):
    arrays, g = example((2, 67, 12), rng), rng.standard_normal((2, 67, 12)).astype(np.float32)
    arrays[0][1, 3, 4] = np.nan
    y, gx, *_ = both(2, rung, arrays, g, 3)
    for a in (y, gx):
        assert np.isnan(a[1, :, 4:8]).all()
        assert np.isnan(a).sum() == 67 * 4


@EACH_RUNG
def test_group_norm_of_views_gives_what_is_needed(rung, rng):
    x, w, b = example((4, 6, 10, 8), rng, "w")
    views = [x.transpose(0, 2, 1, 3)[::-1, ::2], np.repeat(w, 2, axis=1)[:, ::2], b[::-1]]
    g = np.broadcast_to(rng.standard_normal((4, 1, 1, 8)).astype(np.float32), views[0].shape)
    expected = exact(*(v.copy() for v in views), g, 2, "silu" in rung)
    for needs in [(True, False, True), (False, True, False), (True, True, True)]:
        for a, e, need in zip(both(2, rung, views, g, 2, needs), expected, (True, *needs)):
            if need:
                assert_close(a, e, 16)
            else:
                assert a is None


@pytest.mark.parametrize("op", OPS)
def test_groups_that_shared_memory_has_no_room_for(op, rng, monkeypatch):
    arrays, g = example((2, 67, 8), rng), rng.standard_normal((2, 67, 8)).astype(np.float32)
    monkeypatch.setattr(k4_one_read, "room", lambda x: 4 * 67 * 4)  # there, but not back
    for a, e in zip(both(2, f"{op}/k4_one_read", arrays, g, 2), exact(*arrays, g, 2, "silu" in op)):
        assert_close(a, e, 16)
    with pytest.raises(ValueError, match="a group has 2144 bytes, shared memory room for 1072"):
        run(f"{op}/k4_one_read", *arrays, num_groups=1, eps=1e-5)


@pytest.mark.parametrize("op", OPS)
def test_what_does_not_fit_is_refused(op, rng):
    arrays = example((2, 5, 6), rng)
    for rung in rungs_of(op):
        with pytest.raises(ValueError, match="shapes do not fit"):
            run(f"{op}/{rung}", *arrays, num_groups=4, eps=1e-5)
        with pytest.raises(ValueError, match="shapes do not fit"):
            run(f"{op}/{rung}", arrays[0], arrays[1][:5], arrays[2], num_groups=2, eps=1e-5)


EACH_LAYER_RUNG = pytest.mark.parametrize(
    "rung", [f"layer_norm/{r}" for r in rungs_of("layer_norm")]
)


def exact_layer_norm(x, weight, bias, g, eps=1e-5):
    x64, w, b, g64 = (a.astype(float) for a in (x, weight, bias, g))
    d = x64 - x64.mean(-1, keepdims=True)
    rstd = 1 / np.sqrt((d * d).mean(-1, keepdims=True) + eps)
    z, h = d * rstd, g64 * w
    gx = rstd * (h - h.mean(-1, keepdims=True) - z * (h * z).mean(-1, keepdims=True))
    rows = tuple(range(x.ndim - 1))
    results = (z * w + b, gx, (g64 * z).sum(rows), g64.sum(rows))
    return [a.astype(np.float32) for a in results]


@EACH_LAYER_RUNG
@pytest.mark.parametrize(
    "shape", [(1,), (3, 1), (2, 5, 31), (9, 32), (7, 33), (2, 128), (30, 132), (1, 1024)], ids=str
)
@pytest.mark.parametrize("where", WHERE)
def test_layer_norm_and_its_gradients(rung, shape, where, rng, monkeypatch):
    monkeypatch.setattr(k2_one_read, "BLOCKS", 2)
    x, w, b = (rng.standard_normal(s).astype(np.float32) for s in (shape, shape[-1:], shape[-1:]))
    g = rng.standard_normal(shape).astype(np.float32)
    y, gradients = launch(where, rung, [x, w, b], g, eps=1e-5)
    for a, e in zip([y, *gradients], exact_layer_norm(x, w, b, g)):
        assert_close(a, e, 16)


@EACH_LAYER_RUNG
def test_layer_norm_of_views_gives_what_is_needed(rung, rng):
    x, w, b = (rng.standard_normal(s).astype(np.float32) for s in ((6, 4, 24), 16, 16))
    views = [x[::-1, ::2, 1::3], w[::2], b[::2]]
    g = np.broadcast_to(rng.standard_normal((6, 1, 8)).astype(np.float32), (6, 2, 8))
    expected = exact_layer_norm(*views, g)
    for needs in [(True, False, True), (False, True, False)]:
        y, gradients = launch(2, rung, views, g, needs, eps=1e-5)
        for a, e, need in zip([y, *gradients], expected, (True, *needs)):
            if need:
                assert_close(a, e, 16)
            else:
                assert a is None


@EACH_LAYER_RUNG
def test_layer_norm_far_from_zero_and_with_a_nan(rung, rng):
    x, w, b = (rng.standard_normal(s).astype(np.float32) for s in ((5, 40), 40, 40))
    x += 1000
    y = launch(1, rung, [x, w, b], eps=1e-5)
    np.testing.assert_allclose(y, exact_layer_norm(x, w, b, x)[0], atol=2e-3)
    x[2, 3] = np.nan
    spoilt = launch(1, rung, [x, w, b], eps=1e-5)
    assert np.isnan(spoilt).all(1).tolist() == [False, False, True, False, False]
    np.testing.assert_array_equal(spoilt[[0, 1, 3, 4]], y[[0, 1, 3, 4]])


@EACH_LAYER_RUNG
def test_layer_norm_has_the_same_bits_whatever_the_order(rung, rng):
    x, w, b = (rng.standard_normal(s).astype(np.float32) for s in ((19, 40), 40, 40))
    runs = [launch(where, rung, [x, w, b], x, eps=1e-5) for where in range(4)]
    assert len({b"".join(a.tobytes() for a in [y, *gs]) for y, gs in runs}) == 1


def test_rows_that_no_register_holds_are_refused(rng):
    x = np.zeros((2, 1025), np.float32)
    with pytest.raises(ValueError, match="rows of 1024 numbers, x has 1025"):
        run("layer_norm/k2_one_read", x, x[0], x[1], eps=1e-5)
    with pytest.raises(ValueError, match="shapes do not fit"):
        run("layer_norm/k1_two_pass", x, x[0], x[1, 1:], eps=1e-5)

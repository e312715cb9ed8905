"""The CUDA rungs of pooling, upsampling and pixel shuffling against the reference in float64."""

import numpy as np
import pytest
from close import assert_close
from cuda_rungs import SEEDS, WHERE, launch

from minigen import Tensor, ops, use_kernels
from minigen.backend import KernelError
from minigen.kernels.avg_pool2d import k1_elementwise
from minigen.kernels.cpu import emulated
from minigen.ops import resample

WINDOWS = [  # kernel_size, stride, padding
    ((1, 1), (1, 1), (0, 0)),
    ((2, 2), (2, 2), (0, 0)),
    ((3, 3), (1, 1), (1, 1)),
    ((3, 2), (1, 3), (1, 0)),
    ((2, 5), (3, 1), (1, 2)),
]
SHAPES = [(1, 5, 5, 1), (3, 7, 6, 2), (2, 5, 8, 16), (1, 6, 5, 29)]  # rows below, at, above a block
each_window = pytest.mark.parametrize("window", WINDOWS, ids=str)
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
everywhere = pytest.mark.parametrize("where", WHERE)


def as_settings(window):
    return dict(zip(("kernel_size", "stride", "padding"), window))


def check(where, op, x, reference, terms=8, **settings):
    """The rung and its gradient, with a random one from above, against the reference in float64."""
    leaf = Tensor(x.astype(float), requires_grad=True)
    exact = reference(leaf)
    g = np.random.default_rng(1).standard_normal(exact.shape).astype(np.float32)
    exact.backward(g.astype(float))
    y, (gx,) = launch(where, f"{op}/k1_elementwise", [x], g, **settings)
    assert_close(y, np.float32(exact.data), terms)
    assert_close(gx, np.float32(leaf.grad.data), terms)


def numbers(shape):
    """Of which many are equal, so that it matters which of them wins."""
    return np.random.default_rng(0).integers(-4, 5, shape).astype(np.float32)


@everywhere
@each_shape
@each_window
@pytest.mark.parametrize("op", ["avg_pool2d", "max_pool2d"])
def test_windows(op, window, shape, where):
    reference = lambda x: getattr(ops, op)(x, *window)  # noqa: E731
    check(where, op, numbers(shape), reference, **as_settings(window))


@everywhere
@each_shape
@each_window
def test_the_gradient_of_the_mean_is_an_op_with_a_gradient_too(window, shape, where):
    settings = as_settings(window)
    g = numbers(ops.avg_pool2d(np.zeros(shape, np.float32), *window).shape)
    settings["size"] = shape[1:3]
    reference = lambda g: resample.avg_pool2d_grad(g, **settings)  # noqa: E731
    check(where, "avg_pool2d_grad", g, reference, **settings)


@everywhere
@each_shape
@pytest.mark.parametrize("r", [1, 2, 3])
def test_upsampling(r, shape, where):
    reference = lambda x: ops.upsample(x, r)  # noqa: E731
    check(where, "upsample_nearest", numbers(shape), reference, scale_factor=r)


SHUFFLES = [((1, 1, 1, 4), 2), ((3, 2, 5, 12), 2), ((2, 3, 1, 9), 3), ((1, 3, 8, 64), 2)]


@everywhere
@pytest.mark.parametrize(("shape", "r"), [*SHUFFLES, ((2, 3, 43, 3), 1)], ids=str)
def test_shuffles_undo_each_other(shape, r, where):
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    check(where, "pixel_shuffle", x, lambda x: ops.pixel_shuffle(x, r), 1, r=r)
    wide = ops.pixel_shuffle(x, r).data
    check(where, "space_to_depth", wide, lambda x: ops.space_to_depth(x, r), 1, r=r)
    assert np.array_equal(launch(where, "space_to_depth/k1_elementwise", [wide], r=r), x)


def largest_of(x):
    """max_pool2d of 2 x 2 pixels and its gradient for ones from above."""
    leaf = Tensor(np.float32(x), requires_grad=True)
    with emulated(), use_kernels(max_pool2d="k1_elementwise"):
        y = ops.max_pool2d(leaf, 2)
        y.backward(np.ones(y.shape, np.float32))
    return y.data.ravel(), leaf.grad.data.ravel()


def test_the_first_of_equals_gets_the_gradient_and_a_nan_gives_none():
    x = np.zeros((1, 2, 2, 5))
    x[0, :, :, 1] = -np.inf
    x[0, 1, 0, 2] = x[0, 1, 1, 2] = np.nan
    x[0, 0, 1, 3] = x[0, 1, 0, 3] = 7
    x[0, 0, 0, 4] = np.nan
    y, gx = largest_of(x)
    assert np.array_equal(y, [0, -np.inf, np.nan, 7, np.nan], equal_nan=True)
    expected = np.zeros((4, 5))
    expected[0, 0] = expected[0, 1] = expected[1, 3] = 1
    assert np.array_equal(gx.reshape(4, 5), expected)


def test_views_are_read_as_they_are(rng):
    wide = rng.standard_normal((3, 7, 12, 8)).astype(np.float32)
    view = wide[:, :, ::2, 1::2]
    for op, settings in (
        ("avg_pool2d", as_settings(WINDOWS[2])),
        ("max_pool2d", as_settings(WINDOWS[2])),
        ("upsample_nearest", {"scale_factor": 2}),
        ("pixel_shuffle", {"r": 2}),
    ):
        y = launch(0, f"{op}/k1_elementwise", [view], **settings)
        assert np.array_equal(y, launch(0, f"{op}/k1_elementwise", [view.copy()], **settings))


def test_overlapping_windows_add_up_to_the_same_bits_in_any_order(rng):
    x, g = (rng.standard_normal((2, 6, 7, 5)).astype(np.float32) for _ in range(2))
    settings = as_settings(WINDOWS[2])
    found = [
        launch(where, f"{op}/k1_elementwise", [x], g, **settings)
        for op in ("avg_pool2d", "max_pool2d")
        for where in SEEDS
    ]
    bits = [(y.tobytes(), gx.tobytes()) for y, (gx,) in found]
    assert len(set(bits)) == 2


def test_what_does_not_fit_is_refused():
    x, whole = np.ones((1, 4, 4, 3), np.float32), as_settings(WINDOWS[0])
    with emulated():
        with use_kernels("auto", pixel_shuffle="k1_elementwise", space_to_depth="k1_elementwise"):
            for op, r in ((ops.pixel_shuffle, 2), (ops.space_to_depth, 3)):
                with pytest.raises(KernelError, match="do not fit"):
                    op(x, r)
        supports = k1_elementwise.supports
        assert supports(x, **whole) is None
        assert "float32" in supports(x.astype(float), **whole)
        assert "do not fit" in supports(x[0], **whole)
        assert "empty" in supports(x[:0], **whole)
        assert "do not fit" in supports(x, kernel_size=5, stride=1, padding=0)
        assert "do not fit" in supports(x, kernel_size=2, stride=1, padding=2)
        long = np.broadcast_to(np.float32(0), (1, 1, 65536, 128))
        assert "too long" in supports(long, **whole)

"""Pooling, upsampling and pixel shuffling against their loops."""

import itertools

import numpy as np
import pytest
from close import assert_close

from minigen import ops
from minigen.autograd import Tensor
from minigen.ops.conv import pair

WINDOWS = [(2, 2, 0), (3, 2, 1), (3, 1, 1), ((2, 3), (3, 1), (1, 0)), (1, 2, 0)]


def loops(x, fold, value, kernel, stride, padding):
    """`fold` of each window of the padded image."""
    (KH, KW), (SH, SW), (PH, PW) = (pair(setting) for setting in (kernel, stride, padding))
    x = np.pad(x, ((0, 0), (PH, PH), (PW, PW), (0, 0)), constant_values=value)
    OH, OW = (x.shape[1] - KH) // SH + 1, (x.shape[2] - KW) // SW + 1
    y = np.zeros((len(x), OH, OW, x.shape[3]))
    for p, q in itertools.product(range(OH), range(OW)):
        y[:, p, q] = fold(x[:, p * SH : p * SH + KH, q * SW : q * SW + KW], axis=(1, 2))
    return y


@pytest.mark.parametrize("window", WINDOWS)
def test_avg_pool2d_is_the_mean_of_each_window_with_zeros_around(window, rng):
    x = rng.standard_normal((2, 7, 6, 3))
    assert_close(ops.avg_pool2d(x, *window).data, loops(x, np.mean, 0.0, *window))


@pytest.mark.parametrize("window", WINDOWS)
def test_max_pool2d_is_the_largest_of_each_window(window, rng):
    x = rng.standard_normal((2, 7, 6, 3))
    assert_close(ops.max_pool2d(x, *window).data, loops(x, np.max, -np.inf, *window))


def test_stride_is_the_window_unless_given(rng):
    x = rng.standard_normal((1, 6, 6, 2))
    for pool in (ops.avg_pool2d, ops.max_pool2d):
        assert_close(pool(x, 3).data, pool(x, 3, 3).data)


def test_the_first_of_equal_maxima_gets_the_gradient():
    x = Tensor(np.zeros((1, 4, 4, 1)), requires_grad=True)
    ops.max_pool2d(x, 2).backward(np.ones((1, 2, 2, 1)))
    expected = np.zeros((4, 4))
    expected[::2, ::2] = 1
    assert np.array_equal(x.grad.data[0, ..., 0], expected)


@pytest.mark.parametrize("r", [1, 2, 3])
def test_nearest_repeats_pixels_and_pooling_undoes_it(r, rng):
    x = rng.standard_normal((2, 3, 2, 4))
    y = ops.upsample(x, r)
    assert np.array_equal(y.data, x.repeat(r, 1).repeat(r, 2))
    assert_close(ops.avg_pool2d(y, r).data, x)


@pytest.mark.parametrize("r", [1, 2, 3, 4])
def test_bilinear_draws_lines_between_pixel_centres(r, rng):
    x = rng.standard_normal((1, 4, 3, 2))
    y = ops.upsample(x, r, mode="bilinear").data
    for p, q in itertools.product(range(4 * r), range(3 * r)):
        h, v = np.clip((p + 0.5) / r - 0.5, 0, 3), np.clip((q + 0.5) / r - 0.5, 0, 2)
        i, j = min(int(h), 2), min(int(v), 1)
        top, low = ((1 - v + j) * row[j] + (v - j) * row[j + 1] for row in x[0, i : i + 2])
        assert_close(y[0, p, q], (1 - h + i) * top + (h - i) * low)


def test_bilinear_keeps_a_plane_inside_the_border():
    ramp = np.arange(5.0)[None, :, None, None] + 2 * np.arange(4.0)[None, None, :, None]
    y = ops.upsample(ramp, 2, mode="bilinear").data[0, 1:-1, 1:-1, 0]
    assert_close(np.diff(y, axis=0), np.full((7, 6), 0.5))
    assert_close(np.diff(y, axis=1), np.full((8, 5), 1.0))


@pytest.mark.parametrize("r", [1, 2, 3])
def test_pixel_shuffle_is_its_formula_and_space_to_depth_undoes_it(r, rng):
    x = rng.standard_normal((2, 3, 4, 2 * r * r))
    y = ops.pixel_shuffle(x, r).data
    for h, w, i, j, c in itertools.product(range(3), range(4), range(r), range(r), range(2)):
        channel = c * r * r + i * r + j
        assert np.array_equal(y[:, h * r + i, w * r + j, c], x[:, h, w, channel])
    assert np.array_equal(ops.space_to_depth(y, r).data, x)


X = np.zeros((1, 5, 3, 6))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: ops.avg_pool2d(X, 2, padding=2), "avg_pool2d: padding 2 is more than half of"),
        (lambda: ops.max_pool2d(X, 4), "max_pool2d: W = 3 with padding 0 is smaller than the win"),
        (lambda: ops.max_pool2d(X[0], 2), r"max_pool2d: expected x \(N, H, W, C\), got \(5, 3, 6"),
        (lambda: ops.upsample(X, 0), "upsample: expected x .* got .* and 0"),
        (lambda: ops.upsample(X, 1.5), "upsample: expected .* whole scale_factor"),
        (lambda: ops.upsample(X, 2, "cubic"), "upsample: mode is 'cubic', expected"),
        (lambda: ops.pixel_shuffle(X, 2), "pixel_shuffle: x has C = 6 channels, expected a multi"),
        (lambda: ops.space_to_depth(X, 2), "space_to_depth: x is 5 x 3 pixels, expected multiples"),
    ],
)
def test_errors_say_what_came_and_what_was_expected(call, text):
    with pytest.raises(ValueError, match=text):
        call()

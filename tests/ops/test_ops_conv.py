"""Convolution against its nested loops, and the laws that tie its three faces together."""

import itertools

import numpy as np
import pytest
from close import assert_close

from minigen import ops
from minigen.autograd import Tensor
from minigen.ops.conv import conv2d_input_grad, conv2d_weight_grad, output_size

SETTINGS = [
    # kernel, stride, padding
    ((3, 3), (1, 1), (1, 1)),
    ((1, 1), (1, 1), (0, 0)),
    ((2, 3), (2, 1), (0, 2)),
    ((4, 4), (2, 2), (1, 1)),
    ((3, 2), (3, 3), (2, 0)),
    ((2, 2), (1, 1), (3, 2)),
    ((1, 1), (2, 3), (0, 0)),
]
EACH_SETTING = pytest.mark.parametrize(("kernel", "stride", "padding"), SETTINGS)


def loops(x, w, stride, padding):
    """The formula in conv2d's docstring, one product at a time."""
    (N, H, W, C), (KH, KW, _, O) = x.shape, w.shape
    OH, OW = (output_size(*z) for z in zip((H, W), (KH, KW), stride, padding))
    y = np.zeros((N, OH, OW, O))
    for n, p, q, i, j, c in itertools.product(*map(range, (N, OH, OW, KH, KW, C))):
        h, v = p * stride[0] + i - padding[0], q * stride[1] + j - padding[1]
        if 0 <= h < H and 0 <= v < W:
            y[n, p, q] += x[n, h, v, c] * w[i, j, c]
    return y


@EACH_SETTING
def test_conv2d_is_its_nested_loops(kernel, stride, padding, rng):
    x, w = rng.standard_normal((2, 6, 5, 2)), rng.standard_normal((*kernel, 2, 3))
    assert_close(ops.conv2d(x, w, stride, padding).data, loops(x, w, stride, padding), 2)


@EACH_SETTING
def test_one_trilinear_form_in_three_ways(kernel, stride, padding, rng):
    x, w = rng.standard_normal((2, 6, 5, 2)), rng.standard_normal((*kernel, 2, 3))
    steps = {"stride": stride, "padding": padding}
    y = ops.conv2d.forward(x, w, **steps)
    g = rng.standard_normal(y.shape)
    gx = conv2d_input_grad.forward(g, w, size=(6, 5), **steps)
    gw = conv2d_weight_grad.forward(g, x, kernel_size=kernel, **steps)
    total = (g * y).sum()
    np.testing.assert_allclose([(gx * x).sum(), (gw * w).sum()], [total, total], rtol=1e-12)


@EACH_SETTING
def test_conv_transpose2d_is_the_transpose_of_conv2d(kernel, stride, padding, rng):
    x = rng.standard_normal((2, 7, 8, 2))
    w = rng.standard_normal((*kernel, 2, 3))
    y = ops.conv2d(x, w, stride, padding).data
    g = rng.standard_normal(y.shape)
    lost = tuple((7 + i + 2 * p - k) % s for i, p, k, s in zip((0, 1), padding, kernel, stride))
    back = ops.conv_transpose2d(g, w.swapaxes(2, 3), stride, padding, lost).data
    assert back.shape == x.shape
    np.testing.assert_allclose((back * x).sum(), (g * y).sum(), rtol=1e-12)


def test_a_1x1_convolution_is_a_matrix_product_at_each_pixel(rng):
    x, w = rng.standard_normal((2, 3, 4, 5)), rng.standard_normal((1, 1, 5, 6))
    assert_close(ops.conv2d(x, w).data, x @ w[0, 0])


def test_convolution_commutes_with_shifting_the_image(rng):
    x, w = np.zeros((1, 12, 12, 2)), rng.standard_normal((3, 3, 2, 2))
    x[:, 3:7, 3:7] = rng.standard_normal((1, 4, 4, 2))
    y = ops.conv2d(x, w, padding=1).data
    moved = ops.conv2d(np.roll(x, (2, 1), (1, 2)), w, padding=1).data
    assert_close(moved, np.roll(y, (2, 1), (1, 2)))


@pytest.mark.parametrize("stride", [1, 2])
def test_blocks_do_not_show(stride, rng, monkeypatch):
    x, w = rng.standard_normal((5, 6, 5, 2)), rng.standard_normal((3, 3, 2, 3))
    at_once = _output_and_gradients(x, w, stride)
    monkeypatch.setattr("minigen.ops.conv.CACHE", 1)
    for one_by_one, expected in zip(_output_and_gradients(x, w, stride), at_once):
        assert_close(one_by_one, expected, 2)


def _output_and_gradients(x, w, stride):
    x, w = Tensor(x, requires_grad=True), Tensor(w, requires_grad=True)
    y = ops.conv2d(x, w, stride, 1)
    y.backward(np.cos(np.arange(y.size)).reshape(y.shape))
    return y.data, x.grad.data, w.grad.data


@pytest.mark.parametrize("op", [ops.conv2d, ops.conv_transpose2d])
def test_channels_that_differ_are_named(op):
    x, w = np.zeros((1, 5, 5, 3)), np.zeros((3, 3, 4, 2))
    with pytest.raises(ValueError, match="2d: x has C = 3 channels, w expects 4"):
        op(x, w)


@pytest.mark.parametrize("op", [ops.conv2d, ops.conv_transpose2d])
def test_an_image_without_a_batch_axis_is_named(op):
    with pytest.raises(ValueError, match=r"2d: expected x \(N, H, W, C\) and w \(KH, KW, C, O\)"):
        op(np.zeros((5, 5, 3)), np.zeros((3, 3, 3, 2)))


def test_a_filter_larger_than_the_image_is_named():
    with pytest.raises(ValueError, match="conv2d: W = 4 with padding 1 is smaller than the fil"):
        ops.conv2d(np.zeros((1, 9, 4, 3)), np.zeros((3, 7, 3, 2)), padding=1)


def test_output_padding_must_be_below_the_stride():
    with pytest.raises(ValueError, match=r"conv_transpose2d: output_padding .* below the stride"):
        ops.conv_transpose2d(np.zeros((1, 3, 3, 1)), np.zeros((3, 3, 1, 1)), 2, 1, 2)

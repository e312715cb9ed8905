"""Ops that move elements: they are NumPy's, and their gradients move them back."""

import numpy as np
import pytest

from minigen import ops
from minigen.autograd import Tensor
from minigen.ops.shape import take_grad


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_split_undoes_concat(axis, rng):
    parts = [rng.standard_normal((2, 3, 4)) for _ in range(3)]
    whole = ops.concat(parts, axis)
    assert np.array_equal(whole.data, np.concatenate(parts, axis))
    for part, piece in zip(parts, ops.split(whole, 3, axis)):
        assert np.array_equal(piece.data, part)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_stack_and_flip_are_numpys(axis, rng):
    a, b = rng.standard_normal((2, 3, 4))
    assert np.array_equal(ops.stack([a, b], axis).data, np.stack([a, b], axis))
    assert np.array_equal(ops.flip(a, axis % 2).data, np.flip(a, axis % 2))


def test_split_before_indices_is_numpys(rng):
    x = rng.standard_normal((2, 7))
    ours, theirs = ops.split(x, [2, 3], axis=1), np.split(x, [2, 3], axis=1)
    assert all(np.array_equal(a.data, b) for a, b in zip(ours, theirs, strict=True))


def test_pad_puts_the_value_around_and_its_gradient_is_the_inside(rng):
    x, widths = Tensor(rng.standard_normal((2, 3)), requires_grad=True), ((1, 2), (0, 3))
    y = ops.pad(x, widths, value=7.0)
    g = rng.standard_normal(y.shape)
    y.backward(g)
    assert np.array_equal(y.data, np.pad(x.data, widths, constant_values=7.0))
    assert np.array_equal(x.grad.data, g[1:3, :3])


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("indices", [[1], [[0, 2, 0], [1, 1, 1]], 2, np.zeros((0,), int)])
def test_take_is_numpys(indices, axis, rng):
    x = rng.standard_normal((3, 4, 3))
    assert np.array_equal(ops.take(x, indices, axis).data, np.take(x, indices, axis))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shape", [(), (5,), (2, 4), (0,)])
def test_gradient_of_take_adds_up_what_was_taken_twice(shape, axis, rng):
    x = Tensor(rng.standard_normal((3, 3, 3)), requires_grad=True)
    indices = rng.integers(-3, 3, shape)
    y = ops.take(x, indices, axis)
    g = rng.standard_normal(y.shape)
    y.backward(g)
    expected = np.zeros((3, 3, 3))
    np.add.at(expected, (slice(None),) * axis + (indices,), g)
    np.testing.assert_allclose(x.grad.data, expected, atol=1e-14)


def test_entries_never_taken_get_zero():
    gx = take_grad.forward(np.ones((2, 3)), indices=np.array([4, 4]), axis=0, size=6)
    assert gx.sum(1).tolist() == [0, 0, 0, 0, 6, 0]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda x: ops.concat([x, x[:1]], axis=1), "concat: .* axis 1 only, got .2, 4., .1, 4."),
        (lambda x: ops.split(x, 3, axis=1), "split: axis 1 has 4 elements, expected a multiple of"),
        (lambda x: ops.pad(x, ((1, 1),)), "pad: x has 2 axes, pad_width is for 1"),
    ],
)
def test_errors_say_what_came_and_what_was_expected(call, text):
    with pytest.raises(ValueError, match=text):
        call(np.zeros((2, 4)))


def test_take_outside_of_the_axis_is_an_error():
    with pytest.raises(IndexError, match="5"):
        ops.take(np.zeros((5, 2)), [0, 5])

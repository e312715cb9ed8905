"""The primitives behind the operators: their values are NumPy's, their gradients pass gradcheck."""

import numpy as np
import pytest
from close import assert_close

from minigen import Tensor
from minigen.autograd import add, broadcast_to, divide, matmul, multiply, put, subtract
from minigen.gradcheck import gradcheck, gradcheck_all


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def leaf(*values):
    return Tensor(np.array(values, np.float64), requires_grad=True)


def check(rng, f, *arrays):
    """First and second order along random directions, and every element."""
    gradcheck(f, *arrays, rng=rng, order=2)
    gradcheck_all(f, *arrays)


SHAPES = [((2, 3), (2, 3)), ((2, 3), (3,)), ((2, 1), (1, 3)), ((), (2, 3)), ((2, 3), ()), ((), ())]


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize("op", [add, subtract, multiply, divide], ids=repr)
def test_arithmetic_has_the_gradient_of_its_broadcast(op, shapes, rng):
    a, b = (rng.uniform(0.5, 2, shape) for shape in shapes)
    check(rng, op, a, b)


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, -1, 0.5, 2.5])
def test_power_has_the_gradient_of_its_exponent(exponent, rng):
    check(rng, lambda x: x**exponent, rng.uniform(0.5, 2, (2, 3)))


@pytest.mark.parametrize(("exponent", "slope"), [(0, 0.0), (1, 1.0), (2, 0.0), (3, 0.0)])
def test_power_has_a_finite_gradient_at_zero(exponent, slope):
    x = leaf(0.0)
    (x**exponent).backward(np.ones(1))
    assert x.grad.item() == slope


MATRICES = [
    ((2, 3), (3, 4)),
    ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)),
    ((5, 2, 3), (5, 3, 4)),
    ((5, 1, 2, 3), (2, 3, 4)),
    ((1, 1), (1, 1)),
    ((0, 3), (3, 4)),
    ((2, 2, 0), (0, 4)),
]


@pytest.mark.parametrize("shapes", MATRICES, ids=str)
def test_matmul_has_the_gradient_of_its_broadcast(shapes, rng):
    a, b = (rng.standard_normal(shape) for shape in shapes)
    assert_close(matmul(a, b).data, np.matmul(a, b), terms=3)
    check(rng, matmul, a, b)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [None, 0, -1, np.int64(1), (0, 2), (-1, 0), ()])
def test_sum_has_a_gradient_along_every_axis(axis, keepdims, rng):
    x = rng.standard_normal((2, 3, 2))
    assert_close(Tensor(x).sum(axis, keepdims).data, np.asarray(x.sum(axis, keepdims=keepdims)))
    check(rng, lambda x: x.sum(axis, keepdims), x)


@pytest.mark.parametrize("axis", [None, 1, (0, 2)])
def test_mean_is_numpys_with_its_gradient(axis, rng):
    x = rng.standard_normal((2, 3, 2))
    assert_close(Tensor(x).mean(axis).data, np.asarray(x.mean(axis)))
    check(rng, lambda x: x.mean(axis), x)


MOVES = [
    lambda x: -x,
    lambda x: x.reshape(3, 4),
    lambda x: x.reshape((4, -1)),
    lambda x: x.reshape(-1),
    lambda x: x.T,
    lambda x: x.mT,
    lambda x: x.transpose(1, 2, 0),
    lambda x: x.transpose((-1, 0, -2)),
    lambda x: x.swapaxes(0, -1),
    lambda x: broadcast_to(x, shape=(2, 2, 3, 2)),
    lambda x: put(x.reshape(12), index=np.array([0, 1] * 6), shape=(3,)),
]


@pytest.mark.parametrize("move", MOVES)
def test_moved_elements_take_their_gradient_along(move, rng):
    check(rng, move, rng.standard_normal((2, 3, 2)))


INDICES = {
    "integer": 1,
    "numpy integer": np.int64(-1),
    "slice": slice(None, None, -2),
    "slices": (slice(1, 3), slice(None), 0),
    "ellipsis and a new axis": (..., None, 1),
    "array": np.array([2, 0]),
    "repeated array": np.array([[1, 1], [0, 1]]),
    "repeated list": [1, 1, 2],
    "array and slice": (slice(None), np.array([0, 0, 1])),
    "two arrays": (np.array([0, 0, 2]), np.array([1, 1, 0])),
    "mask": np.array([True, False, True]),
}


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES.keys())
def test_an_indexed_element_gets_the_gradients_of_all_its_copies(index, rng):
    x = rng.standard_normal((3, 2, 2))
    assert_close(Tensor(x)[index].data, x[index])
    check(rng, lambda x: x[index], x)


def test_a_tensor_of_integers_is_an_index():
    x = leaf(1.0, 2.0, 3.0)
    x[Tensor([2, 2])].sum().backward()
    np.testing.assert_array_equal(x.grad.data, [0, 0, 2])

"""Tensors beside numbers and arrays: no type changes silently, and every misuse is told."""

import operator

import numpy as np
import pytest

from minigen import Tensor
from minigen.autograd import add, multiply, primitive

BINARY = [operator.add, operator.sub, operator.mul, operator.truediv]


def leaf(*values, dtype=np.float32):
    return Tensor(np.array(values, dtype), requires_grad=True)


@primitive
def shifted(x, weight, *, by=0.0, times=1):
    return (x + by) * times + weight


@shifted.backward
def shifted_backward(g, y, x, weight, *, by=0.0, times=1):
    return g * times, g


# ------------------------------------------------------------------------------------------- types


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, "float32"),
        ([1.0, 2.0], "float32"),
        (3, "int64"),
        ([True], "bool"),
        (np.float64(1.5), "float64"),
        (np.zeros(2), "float64"),
        (np.zeros(2, np.float16), "float16"),
    ],
)
def test_numbers_become_float32_and_arrays_keep_their_type(data, dtype):
    assert Tensor(data).dtype == dtype


NUMBERS = [3, 0.1, np.float64(0.1), np.float32(0.1), np.array(0.1), np.int64(3), True]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("number", NUMBERS, ids=lambda x: f"{type(x).__name__} {x}")
@pytest.mark.parametrize("op", BINARY)
def test_a_number_takes_the_type_of_the_tensor_on_both_sides(op, number, dtype):
    x = leaf(1.0, 2.0, dtype=dtype)
    expected = op(x.data, dtype(number))
    left, right = op(x, number), op(number, x)
    assert left.dtype == right.dtype == dtype
    np.testing.assert_array_equal(left.data, expected)
    np.testing.assert_array_equal(right.data, op(dtype(number), x.data))


@pytest.mark.parametrize("op", BINARY)
def test_an_array_on_either_side_gives_a_recorded_tensor(op):
    x, array = leaf(1.0, 2.0), np.array([3.0, 4.0], np.float32)
    for y in (op(x, array), op(array, x)):
        assert isinstance(y, Tensor)
        assert y.requires_grad


@pytest.mark.parametrize("other", [np.ones(2), Tensor(np.ones(2)), Tensor(np.ones((2, 1)))])
def test_float32_and_float64_do_not_mix(other):
    with pytest.raises(TypeError, match=r"add: inputs of different types.*float32.*float64"):
        leaf(1.0, 2.0) + other


def test_a_float64_scalar_tensor_adapts_and_gets_its_gradient_in_float64():
    x, scale = leaf(1.0, 2.0), Tensor(np.array(3.0), requires_grad=True)
    y = x * scale
    y.sum().backward()
    assert y.dtype == x.grad.dtype == np.float32
    assert scale.grad.dtype == np.float64
    assert scale.grad.item() == 3.0


@pytest.mark.parametrize("mask", [np.array([True, False]), np.array([1, 0]), Tensor([1, 0])])
def test_integers_and_bools_take_the_float_type_beside_them(mask):
    y = leaf(5.0, 7.0) * mask
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y.data, [5, 0])


@pytest.mark.parametrize("number", [0.5, np.float64(0.5), np.array(0.5)])
def test_a_float_beside_a_tensor_of_integers_is_an_error_not_a_zero(number):
    with pytest.raises(TypeError, match="multiply: input 1 is a float beside int64"):
        Tensor([1, 2]) * number


def test_an_op_that_changes_the_type_is_an_error():
    @primitive
    def scaled(x, *, by):
        return x * by

    assert scaled(leaf(1.0), by=2.0).dtype == np.float32
    with pytest.raises(TypeError, match="scaled: float32 went in, float64 came out"):
        scaled(leaf(1.0), by=np.float64(2.0))


def test_a_power_by_a_numpy_scalar_keeps_the_type():
    assert (leaf(4.0) ** np.float64(0.5)).dtype == np.float32


def test_astype_takes_the_gradient_back_in_the_old_type():
    x = leaf(1.0, 2.0)
    y = x.astype(np.float64)
    (y * y).sum().backward()
    assert y.dtype == np.float64
    assert x.grad.dtype == np.float32
    assert x.astype(np.float32) is x


# ------------------------------------------------------------------------------------------ misuse


@pytest.mark.parametrize("data", ["3", None, object(), {1.0}, [1.0, None], 1j])
def test_what_is_no_number_is_refused(data):
    with pytest.raises(TypeError, match="expected numbers"):
        Tensor(data)


def test_a_missing_input_is_not_taken_for_a_nan():
    with pytest.raises(TypeError, match="add: input 1 is None"):
        add(leaf(1.0), None)


def test_integers_have_no_gradient():
    with pytest.raises(TypeError, match="needs a float type, got int64"):
        Tensor([1, 2], requires_grad=True)


def test_a_numpy_function_does_not_cut_the_graph_silently():
    x = leaf(1.0, 2.0)
    with pytest.raises(TypeError):
        np.exp(x)
    with pytest.raises(TypeError, match="cut it off"):
        np.asarray(x)
    np.testing.assert_array_equal(np.asarray(x.detach()), [1, 2])


@pytest.mark.parametrize("exponent", [np.ones(1), Tensor([1.0])])
def test_an_exponent_is_a_number(exponent):
    with pytest.raises(TypeError, match="exponent must be a number"):
        leaf(2.0) ** exponent


@pytest.mark.parametrize("shapes", [((3,), (3, 2)), ((2, 3), (3,))])
def test_matmul_wants_matrices(shapes):
    a, b = (Tensor(np.ones(shape)) for shape in shapes)
    with pytest.raises(ValueError, match="matmul: needs at least 2 axes"):
        a @ b


def test_a_scalar_cannot_be_iterated_over():
    assert [row.item() for row in leaf(1.0, 2.0)] == [1, 2]
    with pytest.raises(TypeError):
        list(Tensor(1.0))


# ----------------------------------------------------------------------------- how an op is called


@pytest.mark.parametrize(
    "call",
    [
        lambda x, w: shifted(x, w, by=2.0, times=3),
        lambda x, w: shifted(x, w, 2.0, 3),
        lambda x, w: shifted(x, w, 2.0, times=3),
        lambda x, w: shifted(x, weight=w, by=2.0, times=3),
        lambda x, w: shifted(weight=w, x=x, times=3, by=2.0),
    ],
)
def test_settings_go_by_position_too_and_arrays_by_name_too(call):
    x, w = leaf(1.0), leaf(5.0)
    y = call(x, w)
    y.sum().backward()
    assert [y.item(), x.grad.item(), w.grad.item()] == [14, 3, 1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: shifted(x), r"inputs \['weight'\] are missing"),
        (lambda x: shifted(x, x, 1.0, by=2.0), r"got \['by'\] twice"),
        (lambda x: shifted(x, x, 1.0, 2, 3), "got 5 values"),
        (lambda x: shifted(x, x, of=3), "unexpected keyword argument 'of'"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(call, message):
    with pytest.raises(TypeError, match=message):
        call(leaf(1.0))


def test_an_op_of_any_number_of_arrays_has_a_gradient_for_each():
    @primitive
    def total(*xs, times):
        return sum(xs) * times

    total.backward(lambda g, y, *xs, times: tuple(g * times for _ in xs))
    xs = [leaf(float(i)) for i in range(4)]
    total(*xs, times=2).sum().backward()
    assert [x.grad.item() for x in xs] == [2, 2, 2, 2]
    with pytest.raises(TypeError, match="total: got no arrays"):
        total(times=2)


# ----------------------------------------------------------------------------------- the container


def test_comparisons_give_arrays_of_bools():
    x = leaf(1.0, 2.0, 3.0)
    results = [x > 2, x < 2, x >= Tensor([2.0]), x <= np.float32(2), x == 2, x != 2]
    expected = ["001", "100", "011", "110", "010", "101"]
    assert ["".join("01"[int(b)] for b in r) for r in results] == expected
    assert all(type(r) is np.ndarray for r in results)


def test_a_tensor_is_a_key_by_identity():
    x, y = leaf(1.0), leaf(1.0)
    assert {x: "x", y: "y"}[x] == "x"


def test_shapes_and_numbers_are_those_of_the_array():
    x = Tensor(np.full((2, 3), 5.0, np.float32))
    assert (x.shape, x.ndim, x.size, len(x), x.device) == ((2, 3), 2, 6, 2, "cpu")
    assert x[0, 0].item() == float(x[0, 0]) == 5.0
    assert bool(x[0, 0])


def test_repr_shows_numbers_type_and_whether_a_gradient_is_required():
    assert repr(Tensor([[1.0], [2.5]])) == "Tensor([[1. ],\n        [2.5]], dtype=float32)"
    assert repr(leaf(1.0)) == "Tensor([1.], dtype=float32, requires_grad=True)"


def test_detach_shares_the_data_and_leaves_the_graph():
    x = leaf(1.0, 2.0)
    y = (x * 2.0).detach()
    assert not y.requires_grad
    assert y.node is None
    assert x.detach().data is x.data


def test_a_tensor_on_its_device_is_itself():
    x = leaf(1.0)
    y = multiply(x, 2.0)
    assert x.to("cpu") is x
    assert y.to("cpu") is y


def test_an_unknown_device_is_named():
    with pytest.raises(ValueError, match="device is 'tpu'"):
        leaf(1.0).to("tpu")

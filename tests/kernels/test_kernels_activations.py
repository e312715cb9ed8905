"""The compiled exp, activations and softmax against the reference, in float64 and float32."""

import timeit

import both
import numpy as np
import pytest
from close import assert_close

from minigen import ops, use_kernels
from minigen.backend import KernelError, explain
from minigen.kernels import arrays, exponential, threads

OPS = {
    "silu": ops.silu,
    "gelu": ops.gelu,
    "gelu tanh": lambda x: ops.gelu(x, approximate="tanh"),
    "softmax": ops.softmax,
    "gated_tanh": lambda x: ops.gated_tanh(ops.concat([x, 1 - x])),
}
EACH_OP = pytest.mark.parametrize("op", OPS)
SHAPES = [(1,), (1, 1), (7,), (3, 31), (5, 32), (3, 33), (2, 3, 4, 5), (2, 1000), (4, 63), (1, 257)]


@pytest.fixture(autouse=True)
def few_elements_are_worth_a_thread(monkeypatch):
    monkeypatch.setattr(arrays, "GRAIN", 4)


@pytest.mark.parametrize(
    ("dtype", "low", "high", "bound"),
    [(np.float32, -86.0, 88.7, 1e-7), (np.float64, -707.0, 709.7, 2e-16)],
)
def test_exp_is_accurate(dtype, low, high, bound):
    x = np.linspace(low, high, 300_001).astype(dtype)
    exact = np.exp(x.astype(np.longdouble))
    if dtype == np.float64 and np.finfo(np.longdouble).eps == np.finfo(dtype).eps:
        pytest.skip("longdouble is no longer than float64 here")
    assert np.abs(exponential.exponential(x) / exact - 1).max() <= bound


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exp_at_the_ends(dtype):
    x = np.array([-np.inf, -1e30, -1000, 0, 1e-30, 1000, 1e30, np.inf, np.nan], dtype)
    expected = np.array([0, 0, 0, 1, 1, np.inf, np.inf, np.inf, np.nan], dtype)
    np.testing.assert_array_equal(exponential.exponential(x), expected)


def test_loops_that_call_exp_become_vector_instructions():
    """One element at a time takes 5 ns and more, eight at once 0.3 ns each."""
    x = np.linspace(-5, 5, 1 << 14, dtype=np.float32)
    exponential.exponential(x)
    seconds = min(timeit.repeat(lambda: exponential.exponential(x), number=10, repeat=20)) / 10
    assert seconds / x.size < 3e-9


@EACH_OP
@pytest.mark.parametrize("shape", SHAPES)
def test_the_rung_is_the_reference_at_every_size(op, shape, rng):
    both.check(op.split()[0], OPS[op], [rng.standard_normal(shape) * 4], rng, shape[-1])


@EACH_OP
def test_views_and_broadcast_gradients_are_read_as_they_are(op, rng):
    x = rng.standard_normal((6, 5, 4)).transpose(2, 0, 1)[::-1, ::2]
    before, g = x.copy(), rng.standard_normal((4, 1, 1))
    for actual, expected in zip(
        both.run(op.split()[0], "cpu_numba", OPS[op], [x], g),
        both.run(op.split()[0], "reference", OPS[op], [x], g),
    ):
        assert_close(np.ascontiguousarray(actual), np.ascontiguousarray(expected), 8)
    np.testing.assert_array_equal(x, before)


@EACH_OP
def test_second_derivatives_are_those_of_the_reference(op, rng):
    x = [rng.standard_normal((3, 5))]
    actual = both.second_order(op.split()[0], "cpu_numba", OPS[op], x)
    expected = both.second_order(op.split()[0], "reference", OPS[op], x)
    assert_close(actual[0], expected[0], 16)


@EACH_OP
@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_same_bits_with_the_same_number_of_threads(op, n, rng):
    x, g = rng.standard_normal((9, 50)).astype(np.float32), rng.standard_normal((9, 50))
    with threads.use_threads(n):
        first, second = (both.run(op.split()[0], "cpu_numba", OPS[op], [x], g) for _ in range(2))
    assert [a.tobytes() for a in first] == [a.tobytes() for a in second]


@EACH_OP
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_nan_and_infinity_stay_where_they_are(op, dtype, rng):
    x = rng.standard_normal((8, 70)).astype(dtype)
    x[1, 3], x[2, 60], x[3, 5], x[4], x[5, 9], x[6, 2] = np.nan, np.inf, -np.inf, -np.inf, -200, 200
    g = rng.standard_normal(x.shape)
    actual, expected = (
        both.run(op.split()[0], rung, OPS[op], [x], g) for rung in ("cpu_numba", "reference")
    )
    for a, e in zip(actual, expected):
        np.testing.assert_array_equal(np.isnan(a), np.isnan(e))
        np.testing.assert_array_equal(a[np.isinf(e)], e[np.isinf(e)])


def test_an_error_in_a_thread_reaches_the_caller(rng):
    def broken(*arrays):
        raise ArithmeticError("a thread failed")

    with threads.use_threads(2), pytest.raises(ArithmeticError, match="a thread failed"):
        arrays.elementwise(broken, rng.standard_normal(100))


def test_softmax_takes_the_last_axis_and_says_so(rng):
    x = rng.standard_normal((3, 4))
    with use_kernels(softmax="cpu_numba"), pytest.raises(KernelError, match="the last axis only"):
        ops.softmax(x, 0)
    with use_kernels("auto"):
        assert "cpu_numba" in explain("softmax", x, axis=1)
        assert "reference" in explain("softmax", np.zeros((3, 0), np.float32))
        assert "reference" in explain("softmax", x.astype(np.float16))


@EACH_OP
def test_an_empty_batch_goes_through(op):
    with use_kernels("auto"):
        assert OPS[op](np.zeros((0, 3), np.float32)).shape == (0, 3)

"""The kernels of linear and matmul against the reference in float64."""

import numpy as np
import pytest
from close import assert_close

from minigen import Tensor, ops, use_kernels
from minigen.autograd import grad
from minigen.backend import KernelError, explain
from minigen.kernels import threads
from minigen.kernels.linear import cpu_threads
from minigen.kernels.matmul import cpu_threads as of_matmul
from minigen.ops.linear import linear

KERNELS = {"linear": "cpu_threads", "matmul": "cpu_threads"}
SIZES = [
    (1, 1, 1),
    (1, 7, 3),
    (5, 1, 2),
    (2, 3, 1),
    (31, 17, 13),
    (3, 5, 64),
    (4, 97, 6),
    (0, 3, 2),
]
SIZES += [(3, 0, 2), (2, 3, 0)]
SIZES += [(1, 1023, 300), (4, 515, 130)]  # few rows and a large matrix
PRODUCTS = [  # of two arrays: one matrix on the right, one for each on the left, a broadcast
    ((3, 4), (4, 5)),
    ((2, 3, 4), (4, 5)),
    ((1, 1), (1, 1)),
    ((7, 2, 3, 4), (7, 2, 4, 1)),
    ((1, 2, 3, 4), (5, 1, 4, 2)),
    ((3, 4), (5, 4, 2)),
    ((6, 3, 4), (2, 6, 4, 3)),
    ((0, 3, 4), (0, 4, 2)),
]
every_size = pytest.mark.parametrize(("n", "K", "M"), SIZES)
every_product = pytest.mark.parametrize(("a", "b"), PRODUCTS, ids=str)


@pytest.fixture(params=[None, 1], ids=["inline", "in_threads"])
def spread_out(request, monkeypatch):
    """Small products run in the calling thread, unless a thread is worth one multiplication."""
    if request.param:
        cut_up(monkeypatch)


def cut_up(monkeypatch):
    monkeypatch.setattr(cpu_threads, "ALONE", 0)
    for module in (cpu_threads, of_matmul):
        monkeypatch.setattr(module, "GRAIN", 1)


def with_gradients(op, arrays, g, needs=None):
    leaves = [
        Tensor(a, requires_grad=True if needs is None else need)
        for a, need in zip(arrays, needs or arrays)
    ]
    y = op(*leaves)
    y.backward(g)
    return [y.data, *(None if x.grad is None else x.grad.data for x in leaves)]


def example(rng, *shapes, dtype=np.float64):
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


@every_size
def test_linear_is_the_reference_at_every_size(n, K, M, rng, spread_out):
    *arrays, g = example(rng, (n, K), (K, M), (M,), (n, M))
    expected = with_gradients(linear, arrays, g)
    with use_kernels(**KERNELS), threads.use_threads(3):
        for actual, reference in zip(with_gradients(linear, arrays, g), expected):
            assert_close(actual, reference, 1 + max(n, K, M))


@every_product
def test_matmul_is_the_reference_for_every_broadcast(a, b, rng, spread_out):
    shape = np.matmul(np.zeros(a), np.zeros(b)).shape
    *arrays, g = example(rng, a, b, shape)
    expected = with_gradients(ops.matmul, arrays, g)
    with use_kernels(**KERNELS), threads.use_threads(3):
        for actual, reference in zip(with_gradients(ops.matmul, arrays, g), expected):
            assert_close(actual, np.ascontiguousarray(reference), 64)


@pytest.mark.parametrize("lead", [(), (2, 3), (3, 0, 2)], ids=str)
def test_linear_keeps_the_leading_axes(lead, rng):
    *arrays, g = example(rng, (*lead, 4), (4, 3), (3,), (*lead, 3))
    expected = with_gradients(linear, arrays, g)
    with use_kernels(**KERNELS):
        for actual, reference in zip(with_gradients(linear, arrays, g), expected):
            assert_close(actual, reference, 8)


@pytest.mark.parametrize("op", ["linear", "matmul"])
def test_only_the_gradients_that_are_needed(op, rng, spread_out):
    *arrays, g = example(rng, (5, 4), (4, 3), (3,), (5, 3))
    arrays = arrays if op == "linear" else arrays[:2]
    whole = with_gradients(getattr(ops, op), arrays, g)
    for i in range(len(arrays)):
        needs = [j == i for j in range(len(arrays))]
        with use_kernels(**KERNELS):
            one = with_gradients(getattr(ops, op), arrays, g, needs)
        assert [a is None for a in one[1:]] == [not need for need in needs]
        assert_close(one[1 + i], whole[1 + i], 8)


def test_second_derivatives_are_those_of_the_reference(rng, spread_out):
    arrays = example(rng, (5, 4), (4, 3), (3,))

    def penalty():
        leaves = [Tensor(a, requires_grad=True) for a in arrays]
        y = linear(*leaves)
        (gx,) = grad((y * y * y).sum(), leaves[:1], create_graph=True)
        return [a.data for a in grad((gx * gx).sum(), leaves)]

    expected = penalty()
    with use_kernels(**KERNELS):
        for actual, reference in zip(penalty(), expected):
            assert_close(actual, reference, 512)


def views(rng, dtype):
    """x, w, b, g as views of every kind: strided, transposed, reversed, repeated."""
    x = rng.standard_normal((7, 2, 6, 9)).astype(dtype)[:, ::2, 1:, ::2]
    w, b = rng.standard_normal((6, 5)).astype(dtype)[::-1].T[:, 1:], np.ones(10, dtype)[::2]
    return x, w, b[:5], np.broadcast_to(dtype(2), (7, 1, 5, 5))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_views_are_read_as_they_are_and_not_written_to(dtype, rng, spread_out):
    *arrays, g = views(rng, dtype)
    copies = [a.copy() for a in arrays]
    expected = with_gradients(linear, copies, g.copy())
    with use_kernels(**KERNELS):
        for actual, reference in zip(with_gradients(linear, arrays, g), expected):
            assert_close(actual, reference, 64)
    assert all(np.array_equal(a, copy) for a, copy in zip(arrays, copies))


def test_matmul_reads_views_of_every_order(rng, spread_out):
    a, b = rng.standard_normal((6, 3, 8, 10)), rng.standard_normal((4, 3, 6, 5))
    pairs = [(a.mT[:, :, ::2], a), (a[..., ::2], b.transpose(2, 1, 3, 0))]
    pairs += [(np.broadcast_to(a[:, :, :1], a.shape), a.mT)]
    for x, y in pairs:
        with use_kernels(**KERNELS):
            assert_close(ops.matmul(x, y).data, x @ y, 16)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_same_bits_with_the_same_number_of_threads(n, rng, monkeypatch):
    cut_up(monkeypatch)
    *arrays, g = example(rng, (301, 7), (7, 5), (5,), (301, 5), dtype=np.float32)
    with threads.use_threads(n), use_kernels(**KERNELS):
        one, other = (with_gradients(linear, arrays, g) for _ in range(2))
    assert all(a.tobytes() == b.tobytes() for a, b in zip(one, other))


def test_float32_is_as_exact_as_the_reference(rng, spread_out):
    *arrays, g = example(rng, (300, 40), (40, 30), (30,), (300, 30), dtype=np.float32)
    exact = with_gradients(linear, [a.astype(float) for a in arrays], g.astype(float))
    with use_kernels(**KERNELS):
        for actual, truth in zip(with_gradients(linear, arrays, g), exact):
            assert_close(actual, truth.astype(np.float32), 8)


@pytest.mark.parametrize("shapes", [((64, 3), (3, 2)), ((2, 9), (9, 64)), ((8, 2, 3), (8, 3, 2))])
def test_an_error_in_a_thread_reaches_the_caller(shapes, rng, monkeypatch):
    calls = []

    def broken(a, b, out=None):
        calls.append(a.shape)
        raise ArithmeticError("a thread failed")

    cut_up(monkeypatch)
    monkeypatch.setattr(np, "matmul", broken)
    with (
        threads.use_threads(2),
        use_kernels(**KERNELS),
        pytest.raises(ArithmeticError, match="a thread failed"),
    ):
        ops.matmul(*example(rng, *shapes))
    assert len(calls) == 2


def test_what_does_not_fit_is_refused_in_the_words_of_the_reference(rng):
    x, w, b = example(rng, (2, 3), (4, 5), (5,))
    with use_kernels("auto"), pytest.raises(ValueError, match="linear: expected x"):
        ops.linear(x, w, b)
    with use_kernels("auto"), pytest.raises(ValueError, match="needs at least 2 axes"):
        ops.matmul(x, b)
    with use_kernels(**KERNELS), pytest.raises(KernelError, match="float32 or float64"):
        ops.matmul(np.ones((2, 2), np.int64), np.ones((2, 2), np.int64))
    assert "cpu_threads" in explain("linear", x, w[:3], b) or "default" in explain(
        "linear", x, w, b
    )

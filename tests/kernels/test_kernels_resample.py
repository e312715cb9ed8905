"""The kernels of pooling, upsampling and pixel shuffling against the reference in float64."""

import numpy as np
import pytest
from close import assert_close

from minigen import Tensor, ops, use_kernels
from minigen.autograd import grad
from minigen.backend import KernelError, explain
from minigen.kernels import arrays, threads
from minigen.kernels.avg_pool2d import cpu_numba
from minigen.ops.resample import avg_pool2d_grad

KERNELS = dict.fromkeys(
    ("avg_pool2d", "avg_pool2d_grad", "max_pool2d", "upsample_nearest"), "cpu_numba"
) | dict.fromkeys(("pixel_shuffle", "space_to_depth"), "cpu_numba")
WINDOWS = [(1, 1, 0), (2, 2, 0), (3, 1, 1), ((3, 2), (1, 3), (1, 0)), ((2, 5), (3, 1), (1, 2))]
SHAPES = [(1, 5, 5, 1), (3, 7, 6, 2), (2, 5, 11, 17), (0, 6, 6, 3), (5, 5, 8, 3)]
OPS = {
    **{
        f"{op} {window}": (lambda x, op=op, window=window: getattr(ops, op)(x, *window))
        for op in ("avg_pool2d", "max_pool2d")
        for window in WINDOWS
    },
    "upsample 1": lambda x: ops.upsample(x, 1),
    "upsample 3": lambda x: ops.upsample(x, 3),
    "pixel_shuffle 1": lambda x: ops.pixel_shuffle(x, 1),
}
SHUFFLES = [((1, 1, 1, 4), 2), ((3, 2, 5, 12), 2), ((2, 3, 1, 9), 3), ((0, 2, 2, 4), 2)]
each_op = pytest.mark.parametrize("op", OPS.values(), ids=OPS)


@pytest.fixture(params=[1 << 17, 1], ids=["inline", "in_threads"])
def spread_out(request, monkeypatch):
    monkeypatch.setattr(arrays, "GRAIN", request.param)


def value_and_gradient(f, x, seed=0):
    leaf = Tensor(x, requires_grad=True)
    y = f(leaf)
    y.backward(np.random.default_rng(seed).standard_normal(y.shape).astype(x.dtype))
    return y.data, leaf.grad.data


@each_op
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_kernel_is_the_reference_at_every_size(op, shape, rng, spread_out):
    x = rng.standard_normal(shape)
    expected = value_and_gradient(op, x)
    with use_kernels(**KERNELS), threads.use_threads(3):
        for actual, reference in zip(value_and_gradient(op, x), expected):
            assert_close(actual, np.ascontiguousarray(reference), 16)


@pytest.mark.parametrize(("shape", "r"), SHUFFLES)
def test_shuffles_move_the_same_elements_and_undo_each_other(shape, r, rng, spread_out):
    x = rng.standard_normal(shape)
    wide = ops.pixel_shuffle(x, r)
    expected = value_and_gradient(lambda x: ops.pixel_shuffle(x, r), x)
    back = value_and_gradient(lambda x: ops.space_to_depth(x, r), wide.data)
    with use_kernels(**KERNELS):
        found = value_and_gradient(lambda x: ops.pixel_shuffle(x, r), x)
        there = value_and_gradient(lambda x: ops.space_to_depth(x, r), wide.data)
    for a, b in zip((*found, *there), (*expected, *back)):
        assert np.array_equal(a, b)
    assert np.array_equal(there[0], x)


@each_op
def test_float32_is_as_exact_as_the_reference(op, rng):
    x = rng.standard_normal((2, 7, 6, 9))
    expected = value_and_gradient(op, x.astype(np.float32).astype(float))
    with use_kernels(**KERNELS):
        y, gx = value_and_gradient(op, x.astype(np.float32))
    assert_close(y, expected[0].astype(np.float32), 4)
    assert_close(gx, expected[1].astype(np.float32), 16)


@each_op
def test_views_are_read_as_they_are_and_not_written_to(op, rng):
    wide = rng.standard_normal((3, 7, 12, 8)).astype(np.float32)
    for view in (wide[:, :, ::2, 1::2], wide[::-1].transpose(0, 2, 1, 3)):
        copy = view.copy()
        with use_kernels(**KERNELS):
            for a, b in zip(value_and_gradient(op, view), value_and_gradient(op, copy)):
                assert np.array_equal(a, b)
        assert np.array_equal(view, copy)


@each_op
def test_second_derivatives_are_those_of_the_reference(op, rng):
    x = rng.standard_normal((2, 5, 6, 2))

    def penalty():
        leaf = Tensor(x, requires_grad=True)
        y = op(leaf)
        (gx,) = grad((y * y * y).sum(), [leaf], create_graph=True)
        return grad((gx * gx).sum(), [leaf])[0].data

    expected = penalty()
    with use_kernels(**KERNELS):
        assert_close(np.ascontiguousarray(penalty()), np.ascontiguousarray(expected), 256)


@each_op
@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_same_bits_with_any_number_of_threads(op, n, rng, monkeypatch):
    x = rng.standard_normal((5, 6, 8, 4)).astype(np.float32)
    with use_kernels(**KERNELS):
        with threads.use_threads(1):
            expected = value_and_gradient(op, x)
        monkeypatch.setattr(arrays, "GRAIN", 1)
        with threads.use_threads(n):
            for a, b in zip(value_and_gradient(op, x), expected):
                assert a.tobytes() == b.tobytes()


def test_the_gradient_of_the_mean_has_a_kernel_of_its_own(rng):
    g, h = rng.standard_normal((3, 3, 3, 2)), rng.standard_normal((3, 5, 6, 2))
    steps = {"size": (5, 6), "kernel_size": (3, 2), "stride": (2, 2), "padding": (1, 0)}

    def both():
        leaf = Tensor(g, requires_grad=True)
        y = avg_pool2d_grad(leaf, **steps)
        y.backward(h)
        return y.data, leaf.grad.data

    expected = both()
    with use_kernels(**KERNELS):
        for actual, reference in zip(both(), expected):
            assert_close(actual, np.ascontiguousarray(reference), 8)


def test_the_first_of_equals_gets_the_gradient():
    x, g = np.ones((1, 4, 4, 1)), np.ones((1, 3, 3, 1))
    leaf = Tensor(x, requires_grad=True)
    with use_kernels(**KERNELS):
        ops.max_pool2d(leaf, 2, 1).backward(g)
    expected = np.zeros((4, 4))
    expected[:3, :3] = 1
    assert np.array_equal(leaf.grad.data[0, :, :, 0], expected)


@pytest.mark.parametrize("op", [ops.max_pool2d, ops.avg_pool2d])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_stays_in_its_window(op, value):
    x = np.zeros((1, 4, 4, 2), np.float32)
    x[0, 2, 3, 1] = value
    with use_kernels(**KERNELS):
        y = op(x, 2).data
    assert np.array_equal(y[0, 1, 1], np.array([0, value], np.float32), equal_nan=True)
    assert np.isfinite(np.delete(y.ravel(), -1)).all()


def test_an_error_in_a_thread_reaches_the_caller(monkeypatch):
    def broken(*arrays):
        raise ArithmeticError("a thread failed")

    monkeypatch.setattr(arrays, "GRAIN", 1)
    monkeypatch.setattr(cpu_numba, "_gather", broken)
    with (
        threads.use_threads(2),
        use_kernels(**KERNELS),
        pytest.raises(ArithmeticError, match="a thread failed"),
    ):
        ops.avg_pool2d(np.ones((4, 4, 4, 1)), 2)


def test_what_does_not_fit_is_refused_in_the_words_of_the_reference():
    x = np.ones((1, 4, 4, 3))
    with use_kernels("auto"):
        assert "runs as cpu_numba" in explain("pixel_shuffle", np.ones((1, 4, 4, 4)), r=2)
        with pytest.raises(ValueError, match="more than half of the window"):
            ops.max_pool2d(x, 2, 1, 2)
        with pytest.raises(ValueError, match="is smaller than the window"):
            ops.avg_pool2d(x, 5)
        with pytest.raises(ValueError, match="expected a multiple of 4"):
            ops.pixel_shuffle(x, 2)
        with pytest.raises(ValueError, match="expected multiples of 3"):
            ops.space_to_depth(x, 3)
    with use_kernels(**KERNELS), pytest.raises(KernelError, match="float32 or float64"):
        ops.upsample(np.ones((1, 2, 2, 1), np.float16))

"""Every rung of the convolution and of its gradients, against the reference in float64."""

import numpy as np
import pytest
from close import assert_close

from minigen import Tensor, use_kernels
from minigen.autograd import grad
from minigen.backend import KernelError, explain, rungs_of
from minigen.kernels import pool, threads
from minigen.kernels.conv2d import cpu_columns, winograd
from minigen.ops.conv import conv2d, conv2d_input_grad, conv2d_weight_grad

RUNGS = ["cpu_columns", "cpu_winograd2", "cpu_winograd4"]
ODD = [  # x (N, H, W, C), O, padding: single images, pixels and channels; tiles that are not full
    ((1, 1, 1, 1), 1, 1),
    ((1, 3, 3, 1), 1, 0),
    ((2, 4, 4, 3), 5, 1),
    ((3, 5, 7, 2), 3, 1),
    ((2, 7, 5, 17), 16, 1),
    ((1, 9, 4, 3), 2, 2),
    ((5, 3, 8, 1), 7, 3),
    ((9, 13, 11, 4), 6, (1, 0)),
]
OTHER_FILTERS = [  # kernel, stride, padding
    ((1, 1), 1, 0),
    ((4, 4), 2, 1),
    ((7, 7), 1, 3),
    ((2, 3), (2, 1), (0, 2)),
    ((3, 2), (3, 3), (2, 0)),
    ((2, 2), (1, 1), (3, 2)),
]


@pytest.fixture(autouse=True)
def every_image_may_have_its_thread(monkeypatch):
    monkeypatch.setattr(cpu_columns, "LEAST", 0)


def example(shape, O, rng, kernel=(3, 3), dtype=np.float64, **steps):
    """x, w and a gradient of the output, with some room for sums of squares."""
    x = rng.standard_normal(shape).astype(dtype)
    w = (rng.standard_normal((*kernel, shape[3], O)) / np.sqrt(9 * shape[3])).astype(dtype)
    g = rng.standard_normal(conv2d.forward(x, w, **steps).shape).astype(dtype)
    return x, w, g


def three_faces(rung, x, w, g, **steps):
    """The convolution and both gradients, each by its own rung."""
    size, kernel = x.shape[1:3], w.shape[:2]
    chosen = dict.fromkeys(("conv2d", "conv2d_input_grad", "conv2d_weight_grad"), rung)
    with use_kernels(**chosen):
        return (
            conv2d(Tensor(x), Tensor(w), **steps).data,
            conv2d_input_grad(Tensor(g), Tensor(w), size=size, **steps).data,
            conv2d_weight_grad(Tensor(g), Tensor(x), kernel_size=kernel, **steps).data,
        )


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize(("shape", "O", "padding"), ODD)
def test_every_rung_is_the_reference_at_every_size(rung, shape, O, padding, rng):
    x, w, g = example(shape, O, rng, padding=padding)
    expected = three_faces("reference", x, w, g, padding=padding)
    for actual, reference in zip(three_faces(rung, x, w, g, padding=padding), expected):
        assert_close(actual, np.ascontiguousarray(reference), 64)


@pytest.mark.parametrize(("kernel", "stride", "padding"), OTHER_FILTERS)
def test_columns_take_every_filter(kernel, stride, padding, rng):
    steps = {"stride": stride, "padding": padding}
    x, w, g = example((5, 9, 8, 3), 4, rng, kernel, **steps)
    expected = three_faces("reference", x, w, g, **steps)
    for actual, reference in zip(three_faces("cpu_columns", x, w, g, **steps), expected):
        assert_close(actual, np.ascontiguousarray(reference), 16)


@pytest.mark.parametrize("rung", RUNGS)
def test_a_rungs_own_backward_gives_both_gradients(rung, rng):
    x, w, g = example((3, 6, 7, 2), 3, rng, padding=1)
    expected = three_faces("reference", x, w, g, padding=1)[1:]
    for needs in ((True, True), (True, False), (False, True)):
        tx, tw = (Tensor(a, requires_grad=need) for a, need in zip((x, w), needs))
        with use_kernels(conv2d=rung):
            conv2d(tx, tw, padding=1).backward(g)
        for leaf, need, reference in zip((tx, tw), needs, expected):
            assert (leaf.grad is not None) == need
            if need:
                assert_close(leaf.grad.data, np.ascontiguousarray(reference), 64)


@pytest.mark.parametrize("rung", RUNGS)
def test_second_derivatives_are_those_of_the_reference(rung, rng):
    x, w, _ = example((2, 4, 4, 2), 3, rng, padding=1)

    def penalty():
        tx, tw = Tensor(x, requires_grad=True), Tensor(w, requires_grad=True)
        y = conv2d(tx, tw, padding=1)
        (gx,) = grad((y * y).sum(), [tx], create_graph=True)
        return [a.data for a in grad((gx * gx).sum(), [tx, tw])]

    expected = penalty()
    chosen = dict.fromkeys(("conv2d", "conv2d_input_grad", "conv2d_weight_grad"), rung)
    with use_kernels(**chosen):
        for actual, reference in zip(penalty(), expected):
            assert_close(np.ascontiguousarray(actual), np.ascontiguousarray(reference), 256)


@pytest.mark.parametrize("rung", RUNGS)
def test_views_are_read_as_they_are_and_not_written_to(rung, rng):
    x, w, g = example((4, 6, 6, 4), 6, rng, padding=1)
    wide = np.zeros((4, 6, 12, 8))
    wide[:, :, ::2, 1::2] = x
    views = wide[:, :, ::2, 1::2], w.transpose(1, 0, 3, 2).copy().transpose(1, 0, 3, 2), g[::-1]
    copies = [a.copy() for a in views]
    expected = three_faces(rung, *copies, padding=1)
    for actual, same in zip(three_faces(rung, *views, padding=1), expected):
        np.testing.assert_array_equal(actual, same)
    for view, copy in zip(views, copies):
        np.testing.assert_array_equal(view, copy)


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_same_bits_with_the_same_number_of_threads(rung, n, rng):
    x, w, g = example((7, 8, 8, 5), 6, rng, dtype=np.float32, padding=1)
    with threads.use_threads(n):
        first, second = (three_faces(rung, x, w, g, padding=1) for _ in range(2))
    for a, b in zip(first, second):
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize(
    ("rung", "bound"), [("cpu_columns", 2e-6), ("cpu_winograd2", 2e-6), ("cpu_winograd4", 2e-5)]
)
def test_the_error_in_float32_is_the_one_that_is_stated(rung, bound):
    rng = np.random.default_rng(0)
    for C in (3, 64, 256):
        x, w, g = example((2, 16, 16, C), 64, rng, dtype=np.float32, padding=1)
        doubles = [a.astype(np.float64) for a in (x, w, g)]
        exact = three_faces("reference", *doubles, padding=1)
        for actual, truth in zip(three_faces(rung, x, w, g, padding=1), exact):
            assert np.abs(actual - truth).max() <= bound * np.abs(truth).max()


@pytest.mark.parametrize("rung", RUNGS)
def test_a_nan_stays_in_its_image(rung, rng):
    x, w, g = example((3, 8, 8, 2), 2, rng, padding=1)
    x[1, 3, 3, 0] = np.nan
    y, _, gw = three_faces(rung, x, w, g, padding=1)
    assert np.isnan(y[1, 3, 3]).all()
    assert np.isfinite(y[[0, 2]]).all()
    assert np.isnan(gw).any()


@pytest.mark.parametrize("rung", RUNGS)
def test_an_error_in_a_thread_reaches_the_caller(rung, rng, monkeypatch):
    x, w, _ = example((4, 6, 6, 2), 3, rng, padding=1)
    calls = []

    def broken(a, b, out=None):
        calls.append(a.shape)
        raise ArithmeticError("a thread failed")

    for module in (cpu_columns, winograd):
        monkeypatch.setattr(module.np, "matmul", broken)
    with (
        threads.use_threads(2),
        use_kernels(conv2d=rung),
        pytest.raises(ArithmeticError, match="a thread failed"),
    ):
        conv2d(Tensor(x), Tensor(w), padding=1)
    assert len(calls) == 2


@pytest.mark.parametrize("rung", RUNGS[1:])
def test_winograd_says_what_it_does_not_take(rung, rng):
    x, w = Tensor(np.ones((1, 8, 8, 2), np.float32)), Tensor(np.ones((4, 4, 2, 3), np.float32))
    with use_kernels(conv2d=rung), pytest.raises(KernelError, match="3x3 filters at stride 1"):
        conv2d(x, w, stride=2)


def test_integers_and_half_precision_run_as_reference():
    x = np.ones((1, 4, 4, 1), np.float16)
    with use_kernels("auto"):
        assert "reference" in explain("conv2d", x, np.ones((3, 3, 1, 1), np.float16), padding=1)


def test_auto_takes_columns_where_winograd_cannot(rng):
    with use_kernels("auto"):
        x = np.ones((1, 8, 8, 2), np.float32)
        assert "cpu_columns" in explain("conv2d", x, np.ones((4, 4, 2, 3), np.float32), stride=2)
        assert "cpu_" in explain("conv2d", x, np.ones((3, 3, 2, 3), np.float32), padding=1)
    names = [rungs_of(op, "cpu") for op in ("conv2d", "conv2d_input_grad", "conv2d_weight_grad")]
    assert names[0] == names[1] == names[2]


def test_the_gradients_of_the_gradients_are_kernels_too(rng):
    """conv_transpose2d is conv2d_input_grad: its own backward, not the reference's."""
    x, w, g = example((3, 6, 6, 2), 3, rng, kernel=(4, 4), stride=2, padding=1)
    h = rng.standard_normal(x.shape)

    def gradients(**kernels):
        tg, tw = Tensor(g, requires_grad=True), Tensor(w, requires_grad=True)
        with use_kernels(**kernels):
            y = conv2d_input_grad(tg, tw, size=(6, 6), stride=2, padding=1)
            y.backward(h)
        return tg.grad.data, tw.grad.data

    for actual, reference in zip(gradients(conv2d_input_grad="cpu_columns"), gradients()):
        assert_close(actual, np.ascontiguousarray(reference), 16)


def test_memory_of_arrays_that_are_gone_is_used_again():
    pool.clear()
    first = pool.empty((64, 1024), np.float32)
    view, address = first[3:], first.ctypes.data
    del first
    other = pool.empty((64, 1024), np.float32)
    assert other.ctypes.data != address  # the view is still there
    del view
    assert pool.empty((32, 2048), np.float32).ctypes.data == address


def test_the_pool_keeps_no_more_than_its_limit(monkeypatch):
    pool.clear()
    monkeypatch.setattr(pool, "limit", 3 << 20)
    arrays = [pool.empty((1 << 18,), np.float32) for _ in range(5)]  # 1 MiB each
    del arrays
    assert "3 of at most 3 MiB idle" in pool.report()
    pool.clear()
    assert pool.report().startswith("0 of")


def test_the_reference_takes_no_memory_from_the_pool(rng):
    x, w, g = example((8, 32, 32, 8), 8, rng, padding=1)
    before = pool.report()
    three_faces("reference", x, w, g, padding=1)
    assert pool.report() == before

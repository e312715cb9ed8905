"""The kernels of AdamW, of the moving average and of clipping, against NumPy's text of them."""

import numpy as np
import pytest
from close import assert_close

from minigen import Tensor, use_kernels
from minigen.backend import KernelError
from minigen.kernels import threads
from minigen.kernels.adamw import cpu_passes
from minigen.nn import Parameter
from minigen.optim import EMA, AdamW, clip_grad_norm

KERNELS = {"adamw": "cpu_passes", "ema": "cpu_passes", "clip_grad_norm": "cpu_passes"}
SHAPES = [(1,), (7,), (3, 3, 5, 2), (), (0, 4), (13, 17), (8, 8)]
both_types = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@pytest.fixture(params=[1 << 15, 1], ids=["inline", "in_threads"])
def spread_out(request, monkeypatch):
    monkeypatch.setattr(cpu_passes, "GRAIN", request.param)


def trained(steps=5, dtype=np.float64, shapes=SHAPES, max_norm=2.0, threads_=3, **kernels):
    """Parameters, averages, moments and norms after some steps."""
    rng = np.random.default_rng(0)
    ps = [Parameter(rng.standard_normal(shape).astype(dtype)) for shape in shapes]
    optimizer, ema, norms = AdamW(ps, lr=0.05, weight_decay=0.1), EMA(ps, 0.9), []
    with use_kernels(**kernels), threads.use_threads(threads_):
        for _ in range(steps):
            for p in ps:
                p.grad = Tensor(rng.standard_normal(p.shape).astype(dtype))
            norms.append(clip_grad_norm(ps, max_norm))
            optimizer.step()
            ema.update()
    moments = [a for own in optimizer.buffers.values() for a in own.values()]
    return [*(p.data for p in ps), *ema.averages.values(), *moments, np.array(norms)]


@both_types
def test_five_steps_are_the_references(dtype, spread_out):
    for actual, expected in zip(trained(dtype=dtype, **KERNELS), trained(dtype=dtype)):
        assert_close(actual, expected, 64)


def test_without_clipping_too(spread_out):
    for actual, expected in zip(
        trained(max_norm=np.inf, **KERNELS), trained(max_norm=np.inf), strict=True
    ):
        assert_close(actual, expected, 64)


def test_the_same_bits_with_any_number_of_threads(monkeypatch):
    monkeypatch.setattr(cpu_passes, "GRAIN", 1)
    results = [trained(dtype=np.float32, threads_=n, **KERNELS) for n in (1, 2, 3, 3)]
    for arrays in zip(*results):
        assert len({a.tobytes() for a in arrays}) == 1


def test_a_gradient_of_any_order_and_repetition_is_read():
    p, q = (Parameter(np.arange(12.0).reshape(3, 4)) for _ in range(2))
    views = np.random.default_rng(0).standard_normal((4, 3)).T, np.broadcast_to(0.5, (3, 4))
    for view in views:
        for x, g, kernels in ((p, view, KERNELS), (q, view.copy(), {})):
            x.grad = Tensor(g)
            with use_kernels(**kernels):
                clip_grad_norm([x], 0.1)
                AdamW([x]).step()
    assert_close(p.data, q.data, 8)


def test_gradients_that_share_memory_are_shortened_once_and_left_alone():
    g = np.full(4, 3.0)
    ps = [Parameter(np.zeros(4)), Parameter(np.zeros(4))]
    for p in ps:
        p.grad = Tensor(g)
    with use_kernels(**KERNELS):
        norm = clip_grad_norm(ps, 1.0)
    assert norm == pytest.approx(72**0.5)
    assert np.array_equal(g, np.full(4, 3.0))
    for p in ps:
        assert_close(p.grad.data, g / norm, 1)


def test_parameters_out_of_order_are_refused_by_name_and_left_to_the_reference_by_auto():
    def step():
        p = Parameter(np.ones((3, 4)).T)
        optimizer = AdamW([p])
        p.grad = Tensor(np.ones((4, 3)))
        optimizer.step()
        return p.data

    with use_kernels(**KERNELS), pytest.raises(KernelError, match="does not lie in order"):
        step()
    with use_kernels("auto"):
        assert_close(np.ascontiguousarray(step()), np.ascontiguousarray(step()), 1)


def test_an_error_in_a_thread_reaches_the_caller(monkeypatch):
    def broken(*arrays):
        raise ArithmeticError("a thread failed")

    monkeypatch.setattr(cpu_passes, "_adamw", broken)
    monkeypatch.setattr(cpu_passes, "GRAIN", 1)
    with pytest.raises(ArithmeticError, match="a thread failed"):
        trained(**KERNELS)


def test_no_parameter_with_a_gradient_is_no_error():
    p = Parameter(np.ones(3))
    with use_kernels(**KERNELS):
        AdamW([p]).step()
        assert clip_grad_norm([p], 1.0) == 0.0
    assert np.array_equal(p.data, np.ones(3))

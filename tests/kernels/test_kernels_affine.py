"""The kernel of a sampler's step against its text, and inside of samplers."""

import numpy as np
import pytest
from close import assert_close

from minigen import use_kernels
from minigen.backend import KernelError
from minigen.kernels import arrays, threads
from minigen.kernels.affine_step import cpu_numba
from minigen.samplers import batched_guidance, sample_ddpm
from minigen.samplers.affine import affine_step
from minigen.schedules import linear_alpha_bars

FACTORS = (0.3, -2.0, 1.5)
KERNEL = {"affine_step": "cpu_numba"}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("terms", [2, 3])
@pytest.mark.parametrize("shape", [(1,), (7, 3), (2, 5, 4, 3), (0, 3), (131, 17)], ids=str)
def test_the_kernel_is_the_reference_at_every_size(shape, terms, dtype, rng, monkeypatch):
    xs = [rng.standard_normal(shape).astype(dtype) for _ in range(terms)]
    expected = affine_step(*zip(FACTORS, xs))
    for grain in (1 << 17, 1):
        monkeypatch.setattr(arrays, "GRAIN", grain)
        with use_kernels(**KERNEL), threads.use_threads(3):
            assert_close(affine_step(*zip(FACTORS, xs)), expected, 4)


def test_views_are_read_as_they_are_and_not_written_to(rng):
    x, y = rng.standard_normal((6, 8))[::-2, 1::3], np.broadcast_to(2.0, (3, 3))
    copies = x.copy(), y.copy()
    with use_kernels(**KERNEL):
        found = affine_step((2.0, x), (-1.0, y))
    assert_close(found, 2.0 * copies[0] - copies[1], 2)
    assert np.array_equal(x, copies[0])


def test_a_sampler_with_guidance_draws_the_same_pictures(rng):
    noise = rng.standard_normal((3, 4, 4, 1))

    def pictures():
        predict = batched_guidance(np.tanh, lambda x, t: np.tanh(x) * 0.5, 3.0)
        alpha_bars = linear_alpha_bars(20)
        return sample_ddpm(predict, noise, alpha_bars, clip=1.0, rng=np.random.default_rng(0))

    expected = pictures()
    with use_kernels(**KERNEL):
        assert_close(pictures(), expected, 64)


def test_an_error_in_a_thread_reaches_the_caller(monkeypatch):
    def broken(*pieces):
        raise ArithmeticError("a thread failed")

    monkeypatch.setattr(arrays, "GRAIN", 1)
    monkeypatch.setattr(cpu_numba, "_two", broken)
    x = np.ones(8)
    with (
        threads.use_threads(2),
        use_kernels(**KERNEL),
        pytest.raises(ArithmeticError, match="a thread failed"),
    ):
        affine_step((1.0, x), (1.0, x))


def test_arrays_that_differ_are_refused():
    with use_kernels(**KERNEL), pytest.raises(KernelError, match="differ in shape or type"):
        affine_step((1.0, np.ones(3)), (1.0, np.ones((2, 3))))

"""Any network with any sampler: the denoiser between them is the same one in every frame."""

import math

import numpy as np
import pytest
from exact_data import GAUSSIAN, TWO_PEAKS, predictor

from minigen.autograd import Tensor
from minigen.samplers import (
    SAMPLERS,
    denoiser_from_prediction,
    denoiser_from_velocity,
    in_alpha_bar,
    in_flow,
    in_sigma,
    on_arrays,
    sample_ddpm,
    sample_flow,
)
from minigen.schedules import linear_alpha_bars

X = np.linspace(-2, 2, 9)
LEVELS = [(0.0, 1.0), (0.2, 0.8), (1.0, 0.3), (0.6, 0.8), (1.0, 40.0)]
ALPHA_BARS = linear_alpha_bars(50)


@pytest.mark.parametrize(("a", "b"), LEVELS)
def test_a_flow_network_denoises_at_any_scale(a, b):
    denoise = denoiser_from_velocity(TWO_PEAKS.velocity)
    np.testing.assert_allclose(denoise(X, a, b), TWO_PEAKS.denoise(X, a, b), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("prediction_type", ["epsilon", "x0", "v"])
@pytest.mark.parametrize("scale", [1.0, 3.0])
@pytest.mark.parametrize("t", [1, 20, 50])
def test_a_ddpm_network_denoises_at_its_levels_at_any_scale(t, scale, prediction_type):
    a, b = scale * math.sqrt(ALPHA_BARS[t]), scale * math.sqrt(1 - ALPHA_BARS[t])
    predict = predictor(TWO_PEAKS, ALPHA_BARS, prediction_type)
    denoise = denoiser_from_prediction(predict, ALPHA_BARS, prediction_type)
    np.testing.assert_allclose(denoise(X, a, b), TWO_PEAKS.denoise(X, a, b), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("level", "t"), [((0.0, 1.0), 50), ((1.0, 1e-9), 1), ((1.0, 1e9), 50)])
def test_levels_beyond_the_trained_ones_become_the_nearest(level, t):
    asked = []
    denoise = denoiser_from_prediction(lambda x, t: asked.append(t) or x, ALPHA_BARS, "x0")
    denoise(X, *level)
    assert asked == [t]
    assert isinstance(asked[0], int)


def test_clip_bounds_the_guess():
    denoise = denoiser_from_prediction(lambda x, t: 10 * x, ALPHA_BARS, "x0", clip=1.0)
    assert np.abs(denoise(X, 1.0, 1.0)).max() == 1


def test_the_three_frames_agree():
    sigma = 0.7
    x0_hat = in_sigma(TWO_PEAKS.denoise)(X, sigma)
    abar, t = 1 / (1 + sigma**2), sigma / (1 + sigma)
    in_vp = in_alpha_bar(TWO_PEAKS.denoise)(X * math.sqrt(abar), abar)
    xt = X * (1 - t)
    v = in_flow(TWO_PEAKS.denoise)(xt, t)
    np.testing.assert_allclose(in_vp, x0_hat, rtol=1e-9)
    np.testing.assert_allclose(xt - t * v, x0_hat, rtol=1e-9)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_ddpm_network_first_sees_the_noise_itself(sampler):
    seen = []
    sample_ddpm(
        lambda xt, t: seen.append((xt, t)) or 0 * xt,
        X,
        ALPHA_BARS,
        sampler=sampler,
        steps=3,
        rng=np.random.default_rng(0),
    )
    np.testing.assert_allclose(seen[0][0], X, rtol=1e-9)
    assert seen[0][1] == 50


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_flow_network_first_sees_noise_at_1_or_80_times_it_in_the_sigma_frame(sampler):
    seen = []
    sample_flow(
        lambda xt, t: seen.append((xt, t)) or 0 * xt,
        X,
        sampler,
        steps=3,
        rng=np.random.default_rng(0),
    )
    start = 80 / 81 if sampler in ("euler", "heun", "dpmpp_2m") else 1.0
    assert seen[0][1] == pytest.approx(start)
    np.testing.assert_allclose(seen[0][0], start * X, rtol=1e-9)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_type_and_shape_are_kept(sampler, dtype):
    noise = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(dtype)
    options = {"sampler": sampler, "steps": 4}
    flow = sample_flow(GAUSSIAN.velocity, noise, rng=np.random.default_rng(0), **options)
    predict = predictor(GAUSSIAN, ALPHA_BARS, "v")
    chain = sample_ddpm(predict, noise, ALPHA_BARS, "v", rng=np.random.default_rng(0), **options)
    assert flow.dtype == chain.dtype == dtype
    assert flow.shape == chain.shape == noise.shape


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_float32_paints_the_picture_of_float64(sampler):
    noise = np.random.default_rng(0).standard_normal((2, 50)).astype(np.float32)
    x32, x64 = (
        sample_flow(TWO_PEAKS.velocity, noise.astype(d), sampler, 10, rng=np.random.default_rng(1))
        for d in (np.float32, np.float64)
    )
    np.testing.assert_allclose(x32, x64, atol=1e-3)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_callback_sees_every_step_in_the_flow_frame(sampler):
    seen = []
    x = sample_flow(
        GAUSSIAN.velocity,
        X,
        sampler,
        steps=5,
        rng=np.random.default_rng(0),
        callback=lambda step, xt, x0_hat: seen.append((step, xt, x0_hat)),
    )
    assert [step for step, _, _ in seen] == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(seen[-1][1], x)
    np.testing.assert_allclose(seen[-1][2], x, atol=1e-12)  # the last guess is the picture
    assert max(np.abs(xt).max() for _, xt, _ in seen) < 4  # not 80 times as large


@pytest.mark.parametrize(("t", "dtype"), [(0.5, np.float32), (7, np.int64)])
def test_on_arrays_gives_each_picture_its_time_and_records_no_graph(t, dtype):
    x, weight = np.ones((3, 2), np.float32), Tensor(2.0, requires_grad=True)

    def model(xt, times, label):
        assert isinstance(xt, Tensor)
        assert times.shape == (3,)
        assert times.dtype == dtype
        y = xt * weight * label
        assert not y.requires_grad
        return y

    np.testing.assert_array_equal(on_arrays(model, label=3.0)(x, t), 6 * x)


@pytest.mark.gpu
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_cupy_paints_the_picture_of_numpy(sampler):
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    noise = np.random.default_rng(0).standard_normal((2, 5))

    def velocity(xt, t):  # of N(0.6, 0.4^2), for both kinds of array
        a, b = 1 - t, t
        return (xt - (a * 0.16 * xt + b * b * 0.6) / (a * a * 0.16 + b * b)) / t

    on_cpu, on_gpu = (
        sample_flow(velocity, x, sampler, 5, rng=np.random.default_rng(1))
        for x in (noise, cupy.asarray(noise))
    )
    assert isinstance(on_gpu, cupy.ndarray)
    np.testing.assert_allclose(on_gpu.get(), on_cpu, rtol=1e-9)

"""Every rung of denoise_step against the step of the samplers in minigen/samplers."""

import numpy as np
import pytest
from close import assert_close
from cuda_rungs import SEEDS, WHERE, rungs_of
from in_place import changed

from minigen import samplers
from minigen.kernels.cpu import emulated
from minigen.kernels.denoise_step import k2_fused, k3_philox, k4_vectors
from minigen.kernels.denoise_step.normals import normals_on
from minigen.kernels.denoise_step.table import steps_of
from minigen.kernels.philox import Noise, key_of, normals
from minigen.models.flow_matching import flow_matching
from minigen.samplers import frames
from minigen.schedules import linear_alpha_bars

RUNGS = [*rungs_of("denoise_step", "numba"), *rungs_of("denoise_step")]
DRAWS = ("k3_philox", "k4_vectors")  # they take a seed
ALPHA_BARS = linear_alpha_bars(50)
CHAIN, SIGMAS, TIMES = ALPHA_BARS[[40, 21, 9, 0]], [9.0, 2.0, 0.4, 0.0], [1.0, 0.7, 0.2, 0.0]
CASES = {  # (sampler, its frame, levels, settings, of the sampler's and the table's function)
    "ddpm": ("ddpm", frames.in_alpha_bar, CHAIN, {}),
    "ddpm beta": ("ddpm", frames.in_alpha_bar, CHAIN, {"variance": "beta"}),
    "ddim": ("ddim", frames.in_alpha_bar, CHAIN, {"eta": 0.0}),
    "ddim 1": ("ddim", frames.in_alpha_bar, CHAIN, {"eta": 1.0}),
    "euler": ("euler", frames.in_sigma, SIGMAS, {}),
    "dpmpp_2m": ("dpmpp_2m", frames.in_sigma, SIGMAS, {}),
    "flow_euler": ("flow_euler", frames.in_flow, TIMES, {}),
}
PREDICTIONS = ("epsilon", "x0", "v", "velocity", "x0 of a flow")
SEED = 5


def two_predictions(xt, t):
    """Of a network for 2 N pictures: something that depends on the picture and the time."""
    return np.concatenate([np.sin(3 * xt + t), 0.5 * np.cos(2 * xt)])


def trajectory(case, prediction_type, shape, guidance=1.0, clip=None, asked=None):
    """[(x, prediction, x0_hat)] of the reference, in its own frame; the last has x only.

    asked  a list that takes the times at which the network is asked
    """
    sampler, frame, levels, settings = CASES[case]
    said, seen, asked = [], [], [] if asked is None else asked

    def predict(xt, t):
        asked.append(t)
        y = two_predictions(xt, t)
        said.append(y if guidance != 1 else y[: len(xt)])
        return guidance * y[: len(xt)] + (1 - guidance) * y[len(xt) :]

    if prediction_type == "velocity":
        free = frames.denoiser_from_velocity(predict)
        denoise = lambda x, a, b: np.clip(free(x, a, b), *limits(clip))  # noqa: E731
    elif prediction_type == "x0 of a flow":
        denoise = frames.denoiser_from_velocity(flow_matching._velocity(predict, clip))
    else:
        denoise = frames.denoiser_from_prediction(predict, ALPHA_BARS, prediction_type, clip)
    noise = Noise(SEED)
    x = noise.standard_normal(shape) * (SIGMAS[0] if frame is frames.in_sigma else 1)
    if sampler in ("ddpm", "ddim"):
        settings = {**settings, "rng": noise}
    seen.append((x, None))
    draw = getattr(samplers, sampler)
    draw(frame(denoise), x, levels, **settings, callback=lambda i, x, x0: seen.append((x, x0)))
    xs, guesses = zip(*seen)
    return list(zip(xs, [*said, None], [*guesses[1:], None]))


def limits(clip):
    return (-np.inf, np.inf) if clip is None else (-clip, clip)


def table_of(case, prediction_type, **more):
    sampler, _, levels, settings = CASES[case]
    if is_flow(prediction_type):
        return steps_of(sampler, levels, prediction_type.split()[0], **settings, **more)
    return steps_of(sampler, levels, prediction_type, alpha_bars=ALPHA_BARS, **settings, **more)


def is_flow(prediction_type):
    return prediction_type in ("velocity", "x0 of a flow")


def noise_for(rung, steps, step, shape):
    if not steps.table[:, 4].any():
        return None
    if rung in DRAWS:
        return key_of(SEED)
    return normals(shape, SEED, 1 + step).astype(np.float32)


@pytest.mark.parametrize("clip", [None, 0.9])
@pytest.mark.parametrize("guidance", [1.0, 3.0])
@pytest.mark.parametrize("prediction_type", PREDICTIONS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("rung", RUNGS)
def test_a_step_is_that_of_the_sampler(rung, case, prediction_type, guidance, clip):
    path = trajectory(case, prediction_type, (2, 3, 2, 1), guidance, clip)
    steps = table_of(case, prediction_type, guidance=guidance, clip=clip)
    last = np.full(path[0][0].shape, np.nan, np.float32)  # what it holds at first is not read
    for i, (x, prediction, guess) in enumerate(path[:-1]):
        scaled = np.float32(x * steps.scales[i])
        where = np.array([i], np.int32)
        noise = noise_for(rung, steps, i, x.shape)
        arrays = [np.float32(prediction), scaled, last, steps.table, where, noise]
        _, (_, found, last, *_) = changed(0, f"denoise_step/{rung}", arrays)
        assert_close(found, np.float32(path[i + 1][0] * steps.scales[i + 1]), 8)
        assert_close(last, np.float32(guess), 8)


SIZES = [(rung, n) for rung in RUNGS for n in (1, 4, 255, 256, 257, 1024, 1028, 2051)]
SIZES = [(rung, n) for rung, n in SIZES if rung != "k4_vectors" or n % 4 == 0]


def one_step(where, rung, n, guided):
    """A step of n numbers on the rung, and in float64."""
    rng = np.random.default_rng(n)
    prediction, x, last = (
        rng.standard_normal((k * n, 1)).astype(np.float32) for k in (1 + guided, 1, 1)
    )
    row = np.array([0.5, -0.7, 0.3, 0.8, 0.4, -0.2, 2.5, 0.9], np.float32)
    table = np.stack([np.full(8, np.nan), row, np.full(8, np.nan)]).astype(np.float32)
    step = np.array([1], np.int32)
    noise = normals((n, 1), 7 << 33, 2)
    given = key_of(7 << 33) if rung in DRAWS else noise.astype(np.float32)
    arrays = [prediction, x, last, table, step, given]
    _, (_, found, guess, *_) = changed(where, f"denoise_step/{rung}", arrays)
    p = prediction.astype(float)
    p = 2.5 * p[:n] - 1.5 * p[n:] if guided else p
    exact_guess = (0.5 * x - 0.7 * p).clip(-0.9, 0.9)
    exact = 0.3 * x + 0.8 * exact_guess + 0.4 * noise - 0.2 * last
    return (found, guess), (np.float32(exact), np.float32(exact_guess))


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize(("rung", "n"), SIZES)
def test_every_size_in_every_order(rung, n, guided, where):
    for found, exact in zip(*one_step(where, rung, n, guided)):
        assert_close(found, exact, 4)


def test_the_rungs_that_draw_give_the_same_bits_in_any_order():
    found = [one_step(where, rung, 2052, True)[0] for rung in DRAWS for where in SEEDS]
    for arrays in zip(*found):
        assert len({a.tobytes() for a in arrays}) == 1


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("n", [1, 4, 509, 512, 513, 2051])
def test_the_noise_to_start_from_is_numpys(n, where):
    seed, stream = (7 << 40) + n, 3
    x = np.zeros((n, 1), np.float32)
    if where == "gpu":
        cupy = pytest.importorskip("cupy")
        y = cupy.asnumpy(normals_on(cupy.asarray(x), seed, stream))
    else:
        with emulated(where):
            y = normals_on(x, seed, stream)
    assert np.abs(y - normals(x.shape, seed, stream)).max() < 2e-6


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("rung", RUNGS)
def test_a_loop_that_counts_its_step_draws_the_samplers_picture(rung, case):
    shape, prediction_type = (2, 3, 2, 1), "velocity" if case == "flow_euler" else "v"
    path = trajectory(case, prediction_type, shape, guidance=2.0)
    steps = table_of(case, prediction_type, guidance=2.0)
    x, x0_hat = np.float32(path[0][0] * steps.scales[0]), np.full(shape, np.nan, np.float32)
    step = np.zeros(1, np.int32)
    for time in steps.times:
        noise = noise_for(rung, steps, step[0], shape)
        prediction = np.float32(two_predictions(x, time))
        arrays = [prediction, x, x0_hat, steps.table, step, noise]
        _, (_, x, x0_hat, *_) = changed(0, f"denoise_step/{rung}", arrays)
        step += 1
    assert_close(x, np.float32(path[-1][0]), 64)


@pytest.mark.parametrize("prediction_type", PREDICTIONS)
@pytest.mark.parametrize("case", CASES)
def test_the_table_asks_the_network_at_the_samplers_times(case, prediction_type):
    asked = []
    trajectory(case, prediction_type, (1, 1), asked=asked)
    times = table_of(case, prediction_type).times
    assert np.allclose(times, asked, rtol=1e-12)
    assert (times.dtype.kind == "f") == is_flow(prediction_type)


@pytest.mark.parametrize("rung", RUNGS)
def test_a_guess_that_is_no_number_stays_none(rung):
    x = np.ones((4, 1), np.float32)
    p = np.array([[np.nan], [np.inf], [-np.inf], [0]], np.float32)
    steps = table_of("euler", "x0", clip=1.0)
    arrays = [p, x, x.copy(), steps.table, np.zeros(1, np.int32), None]
    _, (_, _, guess, *_) = changed(0, f"denoise_step/{rung}", arrays)
    assert np.array_equal(guess.ravel(), [np.nan, 1, -1, 0], equal_nan=True)


def test_what_a_rung_cannot_take_is_said():
    x, table, step = np.ones((2, 3), np.float32), np.ones((4, 8), np.float32), np.zeros(1, np.int32)
    good = {"prediction": x, "x": x, "x0_hat": x, "table": table, "step": step}
    assert "emulate" in k2_fused.supports(**good)
    bad = [
        ({"prediction": np.ones((3, 3), np.float32)}, "shapes"),
        ({"x0_hat": x[:1]}, "shapes"),
        ({"x": x.astype(float)}, "takes float32"),
        ({"step": np.zeros(1)}, "takes int32"),
        ({"step": np.zeros(2, np.int32)}, "step not"),
        ({"table": table[:, :7]}, "table is not"),
        ({"noise": x[:1]}, "shapes"),
        ({"noise": key_of(1)}, "as an array"),
        (dict.fromkeys(("prediction", "x", "x0_hat"), x[:0]), "no picture"),
        ({"x": np.ones((3, 2), np.float32).T}, "in order"),
    ]
    with emulated():
        assert k2_fused.supports(**good) is None
        for other, reason in bad:
            assert reason in k2_fused.supports(**{**good, **other})
        assert "not an array" in k3_philox.supports(**good, noise=x)
        assert "(2,)" in k3_philox.supports(**good, noise=np.zeros(3, np.uint32))
        assert "multiple of 4" in k4_vectors.supports(**good)


def test_a_table_of_something_unknown_is_refused():
    for sampler, prediction_type, alpha_bars, said in (
        ("heun", "v", ALPHA_BARS, "sampler is 'heun'"),
        ("ddim", "noise", ALPHA_BARS, "prediction_type is 'noise'"),
        ("ddim", "v", None, r"'v', expected of a flow's network \(no alpha_bars\)"),
        ("ddim", "velocity", ALPHA_BARS, "'velocity', expected of a DDPM's network"),
    ):
        with pytest.raises(ValueError, match=said):
            steps_of(sampler, CHAIN, prediction_type, alpha_bars=alpha_bars)

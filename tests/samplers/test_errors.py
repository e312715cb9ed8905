"""Bad input to a sampler gets one clear line."""

import numpy as np
import pytest
from exact_data import GAUSSIAN, predictor

from minigen.samplers import (
    check_sampler,
    ddim,
    ddpm,
    dpmpp_2m,
    euler,
    flow_euler,
    heun,
    sample_ddpm,
    sample_flow,
)
from minigen.schedules import linear_alpha_bars

X = np.zeros((2, 3))
RNG = np.random.default_rng(0)


def flow(**options):
    return sample_flow(GAUSSIAN.velocity, X, **options)


def chain(prediction_type="v", **options):
    alpha_bars = linear_alpha_bars(20)
    predict = predictor(GAUSSIAN, alpha_bars, "v")
    return sample_ddpm(predict, X, alpha_bars, prediction_type, **options)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("eulr", "'eulr' is none of ddpm, ddim, euler, .*did you mean euler"),
        ("dpm++2m", "did you mean dpmpp_2m"),
        ("", "'' is none of"),
        ("zzz", "flow_euler$"),
    ],
)
def test_an_unknown_sampler_is_told_with_the_nearest(name, text):
    with pytest.raises(ValueError, match=text):
        check_sampler(name)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: flow(sampler="eulr"), "did you mean euler"),
        (lambda: flow(steps=0), "steps is 0, expected at least 1"),
        (lambda: flow(steps=-3), "steps is -3"),
        (lambda: flow(shift=0.0), "shift is 0.0"),
        (lambda: flow(sampler="ddpm"), "rng is None"),
        (lambda: flow(sampler="ddim", eta=1.0), "rng is None"),
        (lambda: flow(sampler="ddim", eta=2.0), "eta is 2.0, expected 0 to 1"),
        (lambda: flow(sampler="heun", eta=0.5), "eta is 0.5, but heun has none"),
        (lambda: chain(sampler="heum"), "did you mean heun"),
        (lambda: chain(steps=0), "steps is 0"),
        (lambda: chain(steps=21), "steps is 21, the network knows only 20 times"),
        (lambda: chain("noise", sampler="ddim"), "prediction_type is 'noise', expected one of"),
        (lambda: ddpm(lambda x, a: x, X, [0.5, 1.0], RNG, "gamma"), "variance is 'gamma'"),
    ],
)
def test_bad_settings_are_told(call, text):
    with pytest.raises(ValueError, match=text):
        call()


@pytest.mark.parametrize(
    ("sampler", "levels"),
    [
        (ddim, [1.0, 0.5, 0.0]),  # the order of a flow
        (ddim, [-0.1, 1.0]),
        (euler, [0.0, 1.0]),
        (euler, [float("inf"), 1.0, 0.0]),
        (euler, [2.0, float("nan"), 0.0]),
        (heun, [1.0, 1.0, 0.0]),
        (heun, [1.0]),
        (dpmpp_2m, []),
        (flow_euler, [1.5, 0.0]),
    ],
)
def test_levels_must_go_from_noise_to_data(sampler, levels):
    with pytest.raises(
        ValueError, match=rf"{sampler.__name__}: levels are .*, expected two or more"
    ):
        sampler(lambda x, level: x, X, levels)

"""A step as one kernel draws what the samplers draw, on a GPU that is a fake one."""

import numpy as np
import pytest

from minigen import Tensor, use_kernels
from minigen.backend import move
from minigen.kernels import graph
from minigen.models.flow_matching import flow_matching
from minigen.models.flow_matching.flow_matching import FlowMatchingConfig
from minigen.ops import cos, sin
from minigen.samplers import SAMPLERS, by_kernel

SHAPE = (2, 2, 3)
CONFIGS = {
    "x0": FlowMatchingConfig(shift=1.5, prediction_type="x0", clip=0.9),
    "x0, free": FlowMatchingConfig(prediction_type="x0"),
    "velocity": FlowMatchingConfig(shift=0.7, clip=0.9),
}


def model(xt, t, *, words):
    """Something that depends on all of it, elementwise: a graph takes it."""
    return sin(xt * 3.0 + Tensor(t.reshape(-1, 1, 1, 1))) * 0.7 + cos(Tensor(words)) * 0.4


def drawn(device, sampler, config, guidance, n=2, steps=4, step=None):
    """The picture, and what the callback was told."""
    rng = np.random.default_rng(5)
    words = rng.standard_normal((n, 1, 1, 3)).astype(np.float32)
    told = []
    x = flow_matching.sample(
        model,
        n,
        rng,
        SHAPE,
        config,
        sampler=sampler,
        steps=steps,
        conditions={"words": move(words, device)},
        null_conditions={"words": move(np.zeros_like(words), device)},
        guidance_scale=guidance,
        device=device,
        step=step,
        callback=lambda i, x, x0_hat: told.append((i, x, x0_hat)),
    )
    told = [(i, move(x, "cpu"), move(guess, "cpu")) for i, x, guess in told]
    return move(x, "cpu"), told, rng.standard_normal()


def check(sampler, config, guidance):
    step = by_kernel.recorded_step(model)
    with use_kernels("auto"):
        found = drawn("cuda", sampler, config, guidance, step=step)
    exact = drawn("cpu", sampler, config, guidance)
    np.testing.assert_allclose(found[0], exact[0], rtol=1e-4, atol=1e-5)
    for (i, *ours), (j, *theirs) in zip(found[1], exact[1], strict=True):
        assert i == j
        for a, b in zip(ours, theirs):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert found[2] == exact[2]  # as many numbers were drawn


@pytest.mark.parametrize("guidance", [1.0, 2.5])
@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("sampler", by_kernel.SAMPLERS)
def test_it_draws_what_the_sampler_draws(sampler, config, guidance, fake_cupy, caplog):
    check(sampler, CONFIGS[config], guidance)
    assert not caplog.records  # it was recorded


@pytest.mark.gpu
@pytest.mark.parametrize("sampler", by_kernel.SAMPLERS)
def test_it_draws_what_the_sampler_draws_on_the_real_gpu(sampler, real_cupy):
    check(sampler, CONFIGS["x0"], 2.5)


def test_one_recording_does_all_steps_and_all_paintings(fake_cupy, monkeypatch):
    made = []
    recording = graph.Recording
    monkeypatch.setattr(graph, "Recording", lambda work: made.append(1) or recording(work))
    step = by_kernel.recorded_step(model)
    with use_kernels("auto"):
        for guidance in (2.5, 3.0):
            drawn("cuda", "ddpm", CONFIGS["x0"], guidance, step=step)
    assert len(made) == 1


def test_what_it_cannot_do_the_sampler_does(fake_cupy):
    def unused(*arrays, **conditions):
        raise AssertionError

    assert set(SAMPLERS) - set(by_kernel.SAMPLERS) == {"heun"}
    x = move(np.zeros((1, *SHAPE), np.float32), "cuda")
    with use_kernels("auto"):
        assert by_kernel.is_possible("ddpm", x)
        assert not by_kernel.is_possible("ddpm", x.get())
        assert not by_kernel.is_possible("heun", x)
        found = drawn("cuda", "heun", CONFIGS["x0"], 2.5, step=unused)[0]
    with use_kernels("reference"):
        assert not by_kernel.is_possible("ddpm", x)
        drawn("cpu", "ddpm", CONFIGS["x0"], 2.5, step=unused)
    exact = drawn("cpu", "heun", CONFIGS["x0"], 2.5)[0]
    np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-5)


def test_null_conditions_are_needed_for_guidance(fake_cupy):
    x = move(np.zeros((1, *SHAPE), np.float32), "cuda")
    how = {"sampler": "ddim", "steps": 1, "shift": 1.0, "prediction_type": "x0", "clip": None}
    with pytest.raises(ValueError, match="expected null_conditions"):
        by_kernel.sample(
            by_kernel.recorded_step(model), x, {"words": x}, None, guidance=2.0, rng=None, **how
        )

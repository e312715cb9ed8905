"""toy_flow: what is measured of which set."""

from dataclasses import asdict

import numpy as np
import pytest

from minigen.recipes import toy_flow
from minigen.train import RunFolder


def evaluated(data, samples, folder, monkeypatch):
    """What `evaluate` says of a run that was not trained, with these samples in its place."""
    config = toy_flow.Config(data=data, width=8)
    monkeypatch.setattr(toy_flow, "_trained", lambda run: (config, None))
    monkeypatch.setattr(toy_flow, "_draw", lambda model, n, rng, steps: samples)
    run = RunFolder.create("toy_flow", asdict(config), folder)
    return toy_flow.evaluate(run, len(samples), np.random.default_rng(0))


@pytest.mark.parametrize(("data", "modes"), [("ring", 8), ("grid25", 25)])
def test_true_points_find_all_modes(data, modes, tmp_path, monkeypatch):
    numbers = evaluated(
        data, toy_flow.points(data, 1000, np.random.default_rng(1)), tmp_path, monkeypatch
    )
    for name in ("samples", "true points"):
        assert numbers[f"modes found, {name}"] == modes
        assert numbers[f"within 3 sigma of a mode, {name}"] == pytest.approx(0.989, abs=0.015)


def test_a_collapsed_model_finds_one(tmp_path, monkeypatch):
    one = np.broadcast_to(toy_flow.CENTRES["grid25"]()[4], (300, 2))
    numbers = evaluated("grid25", one, tmp_path, monkeypatch)
    assert numbers["modes found, samples"] == 1
    assert numbers["KL of the modes in nats, samples"] == pytest.approx(np.log(25))


def test_a_set_without_modes_has_the_distance_alone(tmp_path, monkeypatch):
    numbers = evaluated("two_moons", np.zeros((50, 2)), tmp_path, monkeypatch)
    assert list(numbers) == ["energy distance, samples", "energy distance, true points"]

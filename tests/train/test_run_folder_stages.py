"""A run of several stages: each has a folder, and commands name the whole run."""

import json

import numpy as np
import pytest

from minigen import nn
from minigen.optim import SGD
from minigen.train import RunFolder, train


@pytest.fixture
def run(tmp_path):
    return RunFolder.create("dalle", {"seed": 3}, tmp_path)


def fit(run, steps=2):
    layer = nn.Linear(1, 1, rng=np.random.default_rng(0))
    train(
        layer,
        lambda model, batch, rng: (model(batch) ** 2).mean(),
        lambda rng: np.ones((2, 1), np.float32),
        optimizers=[SGD(layer.named_parameters(), 0.1)],
        run=run,
        rng=np.random.default_rng(0),
        steps=steps,
    )
    return layer.weight.data.copy()


def test_a_stage_trains_in_its_own_folder(run):
    fit(run.stage("autoencoder"))
    assert (run.path / "autoencoder" / "weights.safetensors").is_file()
    assert run.checkpoints() == []


def test_a_stage_that_is_done_is_not_done_again(run):
    once = fit(run.stage("autoencoder"))
    again = fit(run.stage("autoencoder"))
    np.testing.assert_array_equal(once, again)
    assert len(run.stage("autoencoder").checkpoints()) == 1


def test_commands_name_the_whole_run(run, caplog):
    with caplog.at_level("INFO", "minigen"):
        inner = run.stage("autoencoder").stage("deeper")
        fit(inner)
    assert inner.whole == run.path
    assert "minigen sample" not in caplog.text


def test_a_stage_is_no_run_of_the_recipe(run):
    run.stage("autoencoder")
    content = json.loads((run.path / "autoencoder" / "config.json").read_text())
    assert content["recipe"] == "dalle/autoencoder"
    assert content["config"] == {"seed": 3}

"""The scenes recipe from end to end, on a network of a few thousand weights."""

from dataclasses import asdict, replace

import numpy as np
import pytest
from tiny import CONFIG

from minigen.cli import main
from minigen.data.words import SCENE_WORDS
from minigen.metrics.obedience import KINDS
from minigen.paint import Painter
from minigen.recipes import scenes
from minigen.train import RunFolder

QUICK = replace(CONFIG, steps=2, log_every=1, save_every=1, sample_every=2)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = RunFolder.create("scenes", asdict(QUICK), tmp_path_factory.mktemp("runs"))
    scenes.train(QUICK, run)
    return run


def test_a_run_leaves_what_one_wants_to_see(run):
    assert len(run.read_log()["loss"]) == 2
    assert run.checkpoints()[0].name == "step_00000002.safetensors"
    assert (run.path / "samples" / "step_00000002.png").is_file()
    assert (run.path / "loss.png").is_file()


def test_a_run_can_paint(run, tmp_path):
    out = tmp_path / "out.png"
    assert main(["paint", "a red ring", "--model", str(run.path), "--out", str(out)]) == 0
    assert out.is_file()
    assert Painter.load(run.path).sampling.steps == QUICK.sampling_steps


def test_a_run_can_be_sampled_and_evaluated(run):
    rng = np.random.default_rng(0)
    assert scenes.sample(run, 3, rng).shape == (3, 32, 32, 3)
    scores = scenes.evaluate(run, 2, rng)
    for share in ("exactly right", "named right", "shape"):
        assert {f"{kind}: {share}" for kind in KINDS} <= set(scores)
    assert all(0 <= score <= 1 for score in scores.values())


def test_captions_are_emptied_as_often_as_asked():
    config = replace(QUICK, batch_size=2000, no_prompt=0.25)
    _, words = scenes.batch(np.random.default_rng(0), config)
    assert np.mean(~words.any(axis=1)) == pytest.approx(0.25, abs=0.04)


def test_held_out_pairs_are_never_trained_on():
    from minigen.data.scenes import HELD_OUT_PAIRS

    _, words = scenes.batch(np.random.default_rng(0), replace(QUICK, batch_size=3000, no_prompt=0))
    captions = SCENE_WORDS.decode(words)
    for colour, shape in HELD_OUT_PAIRS:
        assert not any(f"{colour} {shape}" in caption for caption in captions)


def test_the_network_and_the_flow_take_their_settings_from_the_config():
    config = replace(QUICK, channels=(16, 16, 16), shift=2.5, prediction_type="velocity")
    assert config.network().channels == (16, 16, 16)
    assert config.network().vocabulary == len(SCENE_WORDS)
    assert (config.flow().shift, config.flow().prediction_type) == (2.5, "velocity")


def test_the_weights_alone_are_half_as_large_and_paint_the_same_pictures(run):
    weights = run.path / "weights.safetensors"
    assert weights.stat().st_size < 0.2 * run.checkpoints()[0].stat().st_size
    whole, alone = (
        Painter.load(path).paint(["a red ring"], rng=np.random.default_rng(0)).astype(int)
        for path in (run.path, weights)
    )
    assert np.abs(whole - alone).max() <= 3

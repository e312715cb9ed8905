"""The recipe of CycleGAN, trained for some steps on scenes, and on two folders of one's own."""

from dataclasses import asdict, replace

import numpy as np
import pytest
from two_folders import two_folders

from minigen import use_kernels
from minigen.backend import use_device
from minigen.metrics.scene_agreement import ASKED
from minigen.recipes import scenes_cyclegan
from minigen.train import RunFolder, load_model

CYCLE = scenes_cyclegan.Config(
    minutes=None,
    steps=2,
    batch_size=2,
    channels=(8, 8),
    blocks=1,
    d_channels=(8,),
    lr=0.01,
    log_every=1,
)


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr(RunFolder, "plot_loss", lambda self: None)
    monkeypatch.setattr(scenes_cyclegan, "WARMUP", 1)


def trained(config, folder):
    run = RunFolder.create("scenes_cyclegan", asdict(config), folder)
    scenes_cyclegan.train(config, run)
    return run


def test_a_run_of_cyclegan_can_be_sampled_and_evaluated(tmp_path, rng):
    run = trained(CYCLE, tmp_path)
    assert {"D_loss", "G_loss", "G_cycle", "G_identity", "D_real"} <= run.read_log().keys()
    assert scenes_cyclegan.sample(run, 3, rng).shape == (3, 32, 128, 3)
    report = scenes_cyclegan.evaluate(run, 20, rng)
    for direction in ("AtoB", "BtoA"):
        for name in ("same scene", *ASKED, "colour", "exactly a scene"):
            assert 0 <= float(report.numbers[f"{direction}: {name}"]) <= 1
        assert float(report.numbers[f"{direction}: same scene, true pictures"]) == 1
        assert report.pictures[direction].shape == (4 * 34 - 2, 4 * 130 - 2, 3)


def test_scenes_of_both_styles_are_no_pairs(rng):
    a, b = scenes_cyclegan.scenes(16, rng)
    assert a.shape == b.shape == (16, 32, 32, 3)
    columns = scenes_cyclegan.sample_columns(16, np.random.default_rng(0))
    first = scenes_cyclegan.draw_styled(columns, scenes_cyclegan.PLAIN)
    other = scenes_cyclegan.draw_styled(columns, scenes_cyclegan.OUTLINED)
    assert np.array_equal(a, first)
    assert not (b == other).all(axis=(1, 2, 3)).any()


def test_each_direction_has_a_translation(tmp_path, rng):
    run = trained(CYCLE, tmp_path)
    images = scenes_cyclegan.scenes(2, rng)[0]
    there, back = (scenes_cyclegan.translate(run, images, direction=d) for d in ("AtoB", "BtoA"))
    assert there.shape == back.shape == images.shape
    assert not np.array_equal(there, back)
    with pytest.raises(ValueError, match="'up', expected AtoB or BtoA"):
        scenes_cyclegan.sample(run, 2, rng, direction="up")


def test_a_run_that_was_resumed_has_the_same_weights_and_pools(tmp_path):
    config = replace(CYCLE, steps=4)
    whole, parts = trained(config, tmp_path), trained(CYCLE, tmp_path)
    parts.change_config(steps=4)  # its learning rate falls behind the middle, step 2
    scenes_cyclegan.train(config, parts)
    arrays, others = (run.load_checkpoint()[0] for run in (whole, parts))
    assert int(arrays["model.pool_X.count"]) == 8
    assert [name for name in arrays if not np.array_equal(arrays[name], others[name])] == []


def test_two_folders_of_ones_own_are_translated_into_each_other(tmp_path, rng):
    run = trained(replace(CYCLE, data=two_folders(tmp_path / "data"), size=16), tmp_path)
    assert scenes_cyclegan.sample(run, 5, rng).shape == (2, 16, 48, 3)
    numbers = scenes_cyclegan.evaluate(run, 5, rng).numbers
    assert {*numbers} == {"AtoB and back: error", "BtoA and back: error"}


def test_scenes_have_one_size(tmp_path):
    with pytest.raises(ValueError, match="scenes have 32 pixels, got --size 64"):
        trained(replace(CYCLE, size=64), tmp_path)


def test_a_training_on_a_gpu_goes_as_on_the_cpu(fake_cupy, tmp_path, rng):
    here = trained(CYCLE, tmp_path)
    with use_device("cuda"), use_kernels("reference"):
        there = trained(CYCLE, tmp_path)
        tiles = scenes_cyclegan.sample(there, 2, np.random.default_rng(0))
    ours, theirs = (load_model(run.path)[0] for run in (here, there))
    for name, a in ours.items():
        np.testing.assert_allclose(theirs[name], a, atol=2e-3, err_msg=name)
    again = scenes_cyclegan.sample(here, 2, np.random.default_rng(0)).astype(int)
    assert np.abs(again - tiles).max() <= 2


def test_a_set_that_is_not_there_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        scenes_cyclegan.train(replace(CYCLE, data=str(tmp_path / "none")), None)

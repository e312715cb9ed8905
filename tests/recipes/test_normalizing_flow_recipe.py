"""The recipe of flows on stand-in pictures: grey bars on black."""

import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest

from minigen.autograd import no_grad
from minigen.recipes import classifier
from minigen.recipes import mnist_normalizing_flow as recipe
from minigen.train import RunFolder, load_weights

CONFIG = recipe.Config(
    steps=2, batch_size=8, flows=(1, 1), widths=(16, 16), save_every=1, log_every=1, workers=2
)


def bars(split="train", n=300):
    """Pictures (n, 28, 28, 1) of a bar, labels (n,)."""
    images, labels = np.zeros((n, 28, 28, 1), np.uint8), np.arange(n) % 10
    for image, label in zip(images, labels):
        image[4:24, 4 + 2 * label : 8 + 2 * label] = 255
        image[4:24, 3 + 2 * label] = 100 + 10 * label + 5 * (split == "test")
    return images, labels


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    monkeypatch.setattr(recipe, "mnist", bars)
    monkeypatch.setitem(classifier.DATA, "mnist", bars)


def trained(config, folder):
    run = RunFolder.create("mnist_normalizing_flow", asdict(config), folder)
    recipe.train(config, run)
    return run


@pytest.mark.parametrize("model", recipe.PAPERS)
@pytest.mark.parametrize("noise", ["uniform", "variational"])
def test_every_flow_is_trained_and_judged(model, noise, tmp_path):
    run = trained(replace(CONFIG, model=model, dequantisation=noise), tmp_path)
    report = recipe.evaluate(run, 20, np.random.default_rng(0), k=2)
    assert 0 < float(report.numbers["bits/dim, at most"]) < 12
    assert float(report.numbers["largest error of the inverse"]) < 1e-4
    assert any(remark.startswith("untrained") for remark in report.remarks)
    assert {"memorised", "way to the training set"} <= report.numbers.keys()
    assert report.pictures["nearest"].shape == (2 * 30 - 2, 12 * 30 - 2, 3)
    assert report.pictures["interpolations"].shape == (8 * 30 - 2, 9 * 30 - 2, 3)
    assert recipe.sample(run, 3, np.random.default_rng(0)).shape == (3, 28, 28, 3)


def test_the_loss_falls(tmp_path):
    run = trained(replace(CONFIG, steps=40, save_every=40), tmp_path)
    bits = run.read_log()["loss"]
    assert bits[0] > 3
    assert np.mean(bits[-5:]) < 0.75 * bits[0]


def test_a_run_that_was_stopped_ends_with_the_same_bits(tmp_path):
    """Where actnorm starts is decided again from the same pictures, then overwritten."""
    straight = trained(replace(CONFIG, steps=3), tmp_path)
    stopped = RunFolder(shutil.copytree(straight.path, tmp_path / "stopped"))
    stopped.checkpoints()[0].unlink()
    (stopped.path / "weights.safetensors").unlink()
    assert stopped.load_checkpoint()[1]["step"] == 2
    recipe.train(replace(CONFIG, steps=3), stopped)
    ours, theirs = (load_weights(run.checkpoints()[0])[0] for run in (stopped, straight))
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not np.array_equal(ours[name], theirs[name])] == []


def test_pictures_survive_the_way_to_z_and_back(tmp_path):
    run, (images, _) = trained(CONFIG, tmp_path), bars(n=5)
    z = recipe.encode(run, images)
    assert z.shape == (5, 784)
    difference = recipe.decode(run, z).astype(int) - images
    assert np.abs(difference).max() <= 1  # float32, at the edge of a grey
    assert (difference != 0).mean() < 0.01


def test_an_interpolation_begins_and_ends_at_its_pictures():
    model = recipe.PictureFlow(CONFIG, rng=np.random.default_rng(0))
    x = (bars(n=4)[0] + np.float32(0.5)) / 256
    with no_grad():
        z = model.flow(x)[0].data
    path = recipe.between(model.flow, z, steps=5).reshape(2, 5, 28, 28, 3)
    assert np.abs(path[:, 0].astype(int) - bars(n=4)[0][:2]).max() <= 1
    assert np.abs(path[:, -1].astype(int) - bars(n=4)[0][2:]).max() <= 1


def test_bits_of_pixels_by_themselves_are_their_entropy():
    images = np.array([0, 0, 255, 7], np.uint8).reshape(4, 1, 1, 1).repeat(2, axis=2)
    assert recipe.independent_pixels(images) == pytest.approx(1.5)


def test_an_inverse_that_is_lost_is_said():
    (said,) = recipe.remarks(0.1, 0.01, bars()[0])
    assert said.startswith("the inverse is off by 0.01")


def test_fewer_than_one_draw_is_told(tmp_path):
    run = trained(CONFIG, tmp_path)
    with pytest.raises(ValueError, match="k is 0"):
        recipe.evaluate(run, 4, np.random.default_rng(0), k=0)

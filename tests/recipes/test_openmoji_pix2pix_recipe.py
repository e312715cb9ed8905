"""The recipe of Pix2Pix, trained for some steps on discs, and on pairs of one's own."""

import sys
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest
from two_folders import two_folders

from minigen import use_kernels
from minigen.backend import use_device
from minigen.recipes import openmoji_pix2pix
from minigen.train import RunFolder

PIX = openmoji_pix2pix.Config(
    minutes=None, steps=2, batch_size=2, channels=(8, 8), d_channels=(8,), log_every=1
)


def discs(split):
    """Ten circles as lines, and filled with the colour that their size tells."""
    across = np.linspace(-1, 1, 32)
    r = np.hypot(across, across[:, None])
    x, y = np.full((10, 32, 32, 1), 255, np.uint8), np.full((10, 32, 32, 3), 255, np.uint8)
    for n in range(10):
        radius = 0.3 + 0.06 * n + 0.01 * (split == "test")
        y[n][r < radius] = (25 * n, 200 - 20 * n, 90)
        x[n][abs(r - radius) < 0.05] = y[n][abs(r - radius) < 0.05] = 0
    return x, y


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    monkeypatch.setattr(RunFolder, "plot_loss", lambda self: None)
    monkeypatch.setattr(openmoji_pix2pix.openmoji, "openmoji", lambda size, split, variants: split)
    monkeypatch.setattr(openmoji_pix2pix.openmoji, "pairs", discs)
    monkeypatch.setattr(
        openmoji_pix2pix, "maps", lambda name: lambda x: x[:, ::2].reshape(len(x), -1)
    )


def trained(config, folder):
    run = RunFolder.create("openmoji_pix2pix", asdict(config), folder)
    openmoji_pix2pix.train(config, run)
    return run


def test_a_run_of_pix2pix_can_be_sampled_and_evaluated(tmp_path, rng):
    run = trained(PIX, tmp_path)
    assert {"D_loss", "G_loss", "G_l1", "D_real", "D_fake"} <= run.read_log().keys()
    assert "CC BY-SA" in (run.path / "ATTRIBUTION.txt").read_text()
    tiles = openmoji_pix2pix.sample(run, 3, rng)
    assert tiles.shape == (3, 32, 96, 3)
    report = openmoji_pix2pix.evaluate(run, 6, rng)
    for measure in ("L1", "features"):
        assert float(report.numbers[measure]) > 0
        assert {f"{measure}, {name}" for name in ("input", "mean", "nearest")} <= {*report.numbers}
    assert report.pictures["pairs"].shape == (2 * 34 - 2, 4 * 98 - 2, 3)


def test_a_sheet_shows_the_drawing_its_translation_and_the_truth(tmp_path, rng):
    run = trained(PIX, tmp_path)
    tiles = openmoji_pix2pix.sample(run, 10, rng)
    x, made, y = tiles[:, :, :32], tiles[:, :, 32:64], tiles[:, :, 64:]
    lines, colours = discs("test")
    order = [int((lines[:, None, ..., 0] == one[..., 0]).all((1, 2, 3)).argmax()) for one in x]
    assert sorted(order) == list(range(10))
    assert np.array_equal(y, colours[order])
    assert np.array_equal(openmoji_pix2pix.translate(run, x), made)


def test_a_pair_is_moved_and_mirrored_as_one(rng):
    x = rng.integers(0, 256, (40, 8, 8, 1), np.uint8)
    moved, also = openmoji_pix2pix.varied((x, x.repeat(3, axis=-1)), rng, 2)
    assert np.array_equal(moved.repeat(3, axis=-1), also)
    assert len({picture.tobytes() for picture in moved}) == 40
    kept, _ = openmoji_pix2pix.varied((x, x), rng, 0)
    alike = [np.array_equal(a, b) or np.array_equal(a[:, ::-1], b) for a, b in zip(x, kept)]
    assert all(alike)


def test_pairs_of_ones_own_are_translated_either_way(tmp_path, rng):
    config = replace(PIX, data=two_folders(tmp_path / "data"), size=16, direction="BtoA")
    source, target = openmoji_pix2pix.pairs(config, "train")
    assert source.shape == target.shape == (3, 16, 16, 3)
    assert source.min() == 200
    assert target.max() == 50
    run = trained(config, tmp_path)
    assert not (run.path / "ATTRIBUTION.txt").exists()
    assert openmoji_pix2pix.sample(run, 5, rng).shape == (2, 16, 48, 3)
    assert openmoji_pix2pix.translate(run, source).shape == source.shape


def test_a_training_on_a_gpu_goes_as_on_the_cpu(fake_cupy, tmp_path):
    config = replace(PIX, dropout=0.0)
    here = trained(config, tmp_path)
    with use_device("cuda"), use_kernels("reference"):
        there = trained(config, tmp_path)
        tiles = openmoji_pix2pix.sample(there, 2, np.random.default_rng(0))
    again = openmoji_pix2pix.sample(here, 2, np.random.default_rng(0)).astype(int)
    assert np.abs(again - tiles).max() <= 2


class Features:
    """Three layers: the picture, its half, all of it times 3 on a pixel."""

    def layers(self, x, names):
        maps = x, x[:, ::2], x[:, :1, :1] * 3.0
        return dict(zip(openmoji_pix2pix.LAYERS, maps, strict=True))


def test_every_layer_of_the_features_counts_alike(monkeypatch):
    monkeypatch.undo()
    of_the_vgg = SimpleNamespace(vgg=lambda name: Features())
    monkeypatch.setitem(sys.modules, "minigen.recipes.texture_features", of_the_vgg)
    features = openmoji_pix2pix.maps("any")
    d = features(np.ones((70, 8, 8, 3))) - features(np.zeros((70, 8, 8, 3)))
    np.testing.assert_allclose((d * d).mean(axis=1), (1 + 1 + 9) / 3, rtol=1e-5)


def test_a_set_that_is_not_there_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        openmoji_pix2pix.train(replace(PIX, data=str(tmp_path / "none")), None)

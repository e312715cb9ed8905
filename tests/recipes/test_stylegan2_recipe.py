"""StyleGAN2 by its recipe, on stand-in garments."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from minigen.models.features.classifier import Classifier, ClassifierConfig
from minigen.recipes import fashion_stylegan2 as recipe
from minigen.train import RunFolder

TINY = recipe.Config(
    steps=17,
    batch_size=8,
    latents=4,
    styles=6,
    mapping_layers=1,
    path_weight=2.0,
    g_channels=(6, 4, 4),
    d_channels=(4, 4, 6),
    workers=2,
    sample_every=9,
    save_every=17,
    log_every=1,
)


def columns(split="train", n=90):
    """Pictures (n, 28, 28, 1) with a bright column, labels (n,)."""
    rng = np.random.default_rng(len(split))
    labels = np.arange(n) % 10
    images = rng.integers(0, 60, (n, 28, 28, 1)).astype(np.uint8)
    for image, label in zip(images, labels):
        image[:, 4 + 2 * label : 6 + 2 * label] = 255
    return images, labels


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    monkeypatch.setattr(recipe, "fashion_mnist", columns)
    network = Classifier(ClassifierConfig(), rng=np.random.default_rng(0)).eval()
    monkeypatch.setattr(recipe, "judge", lambda data: network)
    quick = recipe.project
    monkeypatch.setattr(recipe, "project", lambda *a: quick(*a, steps=2, starts=5))


def trained(config, folder):
    run = RunFolder.create("fashion_stylegan2", asdict(config), folder)
    recipe.train(config, run)
    return run


@pytest.fixture
def run(tmp_path):
    return trained(TINY, tmp_path)


def test_every_turn_is_taken_and_logged(run):
    log = run.read_log()
    assert {"D_loss", "R1_loss", "G_loss", "path_loss", "path", "D_real", "D_fake"} <= log.keys()
    assert [i for i, x in enumerate(log["R1_loss"]) if x == x] == [0, 16]
    assert [i for i, x in enumerate(log["path_loss"]) if x == x] == [0, 8, 16]


def test_it_draws_and_is_judged(run):
    rng = np.random.default_rng(0)
    assert recipe.sample(run, 3, rng).shape == (3, 28, 28, 3)
    report = recipe.evaluate(run, 20, rng, sweep=True)
    assert {"memorised", "PSNR of projected pictures of its own"} <= report.numbers.keys()
    assert report.pictures["mixing"].shape == (7 * 30 - 2, 7 * 30 - 2, 3)
    assert report.pictures["projections"].shape == (4 * 30 - 2, 8 * 30 - 2, 3)


def test_no_truncation_is_the_sample_and_none_left_is_one_picture(run):
    def drawn(psi):
        return recipe.sample(run, 4, np.random.default_rng(0), truncation_psi=psi)

    spread = [drawn(psi).astype(float).std(axis=0).mean() for psi in (0.0, 0.5, 1.0)]
    assert spread[0] < spread[1] < spread[2]


def test_pictures_have_styles_and_come_back(run):
    styles = recipe.encode(run, columns()[0][:2])
    assert styles.shape == (2, 6, 6)
    assert recipe.decode(run, styles).shape == (2, 28, 28, 3)


def test_a_small_set_may_be_augmented(tmp_path):
    config = replace(TINY, steps=2, pictures=16, augment=True, path_weight=0.0, classes=0)
    run = trained(config, tmp_path)
    assert "path_loss" not in run.read_log()

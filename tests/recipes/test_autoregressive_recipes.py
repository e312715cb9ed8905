"""PixelCNN and ImageGPT by their recipes, on stand-in digits: class k is a column at place k."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from minigen.metrics.report import Measured
from minigen.recipes import classifier, mnist_image_gpt, mnist_pixel_cnn
from minigen.train import RunFolder

QUICK = {"steps": 2, "batch_size": 8, "log_every": 1, "workers": 2}
PIXEL_CNN = mnist_pixel_cnn.Config(**QUICK, channels=4, layers=2)
IMAGE_GPT = mnist_image_gpt.Config(**QUICK, width=8, layers=1, heads=2)
BOTH = pytest.mark.parametrize(
    ("recipe", "config"), [(mnist_pixel_cnn, PIXEL_CNN), (mnist_image_gpt, IMAGE_GPT)]
)


def columns(split="train", n=60):
    """Pictures (n, 28, 28, 1), mostly black; labels (n,)."""
    labels = np.arange(n) % 10
    images = np.zeros((n, 28, 28, 1), np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[6:20, 4 + 2 * label] = 200
    return images, labels


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    for recipe in (mnist_pixel_cnn, mnist_image_gpt):
        monkeypatch.setattr(recipe, "mnist", columns)
    monkeypatch.setitem(classifier.DATA, "mnist", columns)


def trained(recipe, config, folder):
    run = RunFolder.create(recipe.__name__.rpartition(".")[2], asdict(config), folder)
    recipe.train(config, run)
    return run


@BOTH
def test_an_untrained_model_is_told(recipe, config, tmp_path):
    report = recipe.evaluate(trained(recipe, config, tmp_path), 20, np.random.default_rng(0))
    nats = report.numbers["-log p(x)"]
    assert isinstance(nats, Measured)
    assert float(report.numbers["bits/dim"]) == pytest.approx(float(nats) / 784 / np.log(2))
    assert report.remarks[0].startswith("untrained")
    assert set(report.pictures) == {"samples", "completions", "nearest"}


@BOTH
def test_it_learns_the_columns(recipe, config, tmp_path):
    config = replace(config, steps=60, batch_size=16, lr_rest=0.05, ema=0.8)
    report = recipe.evaluate(trained(recipe, config, tmp_path), 20, np.random.default_rng(0))
    assert float(report.numbers["-log p(x)"]) < 60


@BOTH
def test_samples_are_black_and_white(recipe, config, tmp_path):
    pictures = recipe.sample(
        trained(recipe, config, tmp_path), 3, np.random.default_rng(0), temperature=0.8
    )
    assert pictures.shape == (3, 28, 28, 3)
    assert set(np.unique(pictures)) <= {0, 255}


def test_digits_are_drawn_by_class(tmp_path):
    run = trained(mnist_pixel_cnn, replace(PIXEL_CNN, conditional=True), tmp_path)
    assert mnist_pixel_cnn.sample(run, 12, np.random.default_rng(0)).shape == (12, 28, 28, 3)
    report = mnist_pixel_cnn.evaluate(run, 10, np.random.default_rng(0))
    assert float(report.numbers["-log p(x)"]) > 0


def test_batches_are_as_large_as_they_may_be():
    seen = []

    def batch(part, callback):
        callback(1.0)
        seen.append(part.stop - part.start)
        return np.zeros((seen[-1], 2))

    assert mnist_pixel_cnn.in_batches(batch, 5, size=2).shape == (5, 2)
    assert seen == [2, 2, 1]

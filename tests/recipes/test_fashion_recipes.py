"""The two Fashion-MNIST recipes, on stand-in pictures: class k is a bright column at place k."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from minigen.models.features.classifier import Classifier, ClassifierConfig
from minigen.recipes import fashion_classifier, fashion_ddpm
from minigen.train import RunFolder, save_weights

CLASSIFIER = fashion_classifier.Config(
    steps=60, batch_size=32, channels=(16, 16), lr_rest=1e-2, ema=0.9, save_every=60, workers=1
)
DDPM = fashion_ddpm.Config(
    minutes=None, steps=2, batch_size=4, channels=(8, 16), blocks=1, log_every=1, workers=2
)


def columns(split="train", n=200):
    """Pictures (n, 28, 28, 1) of a column and a half of noise; labels (n,)."""
    rng = np.random.default_rng(split == "test")
    labels = np.arange(n) % 10
    images = rng.integers(0, 60, (n, 28, 28, 1)).astype(np.uint8)
    for image, label in zip(images, labels):
        image[:14, 4 + 2 * label : 6 + 2 * label] = 255 - 15 * label
        image[14:, 14 - label : 14 + label] = 200
    return images, labels


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    for recipe in (fashion_classifier, fashion_ddpm):
        monkeypatch.setattr(recipe, "fashion_mnist", columns)


def trained(recipe, config, folder):
    run = RunFolder.create(recipe.__name__.rpartition(".")[2], asdict(config), folder)
    recipe.train(config, run)
    return run


def test_the_classifier_learns(tmp_path, monkeypatch):
    run = trained(fashion_classifier, CLASSIFIER, tmp_path)
    scores = fashion_classifier.evaluate(run, 200, np.random.default_rng(0))
    assert scores["test accuracy"] > 0.7


def test_diffusion_paints_the_asked_shape_and_is_judged(tmp_path, monkeypatch):
    run = trained(fashion_ddpm, DDPM, tmp_path)
    judge = Classifier(ClassifierConfig(), rng=np.random.default_rng(0))
    save_weights(tmp_path / "judge.safetensors", judge.state_dict())
    monkeypatch.setattr(fashion_ddpm.weights, "find", lambda name: tmp_path / "judge.safetensors")
    assert fashion_ddpm.sample(run, 3, np.random.default_rng(0), steps=2).shape == (3, 28, 28, 3)
    scores = fashion_ddpm.evaluate(run, 4, np.random.default_rng(0), steps=2)
    assert 0 <= scores["label agreement"] <= 1


def test_the_label_reaches_the_picture():
    rng = np.random.default_rng(0)
    model = fashion_ddpm.GarmentUNet(DDPM, rng=rng)
    for weight in model.parameters():
        weight.data += 0.1 * rng.standard_normal(weight.shape).astype(np.float32)
    first, second = (
        fashion_ddpm.draw(model, DDPM, np.array([k]), np.random.default_rng(0), steps=2)
        for k in (1, 2)
    )
    assert not np.array_equal(first, second)


def test_the_untrained_network_predicts_zero():
    model = fashion_ddpm.GarmentUNet(replace(DDPM), rng=np.random.default_rng(0))
    from minigen.autograd import Tensor

    xt = Tensor(np.ones((2, 28, 28, 1), np.float32))
    assert not model(xt, np.array([1, 1000]), np.array([3, 10])).data.any()

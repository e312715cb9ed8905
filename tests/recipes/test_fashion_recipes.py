"""The two Fashion-MNIST recipes, on stand-in pictures: class k is a bright column at place k."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from minigen.metrics.agreement import outputs
from minigen.models.features.classifier import Classifier
from minigen.recipes import classifier, fashion_ddpm
from minigen.train import RunFolder

CLASSIFIER = classifier.Config(
    steps=60,
    batch_size=32,
    stem=4,
    shift=0,
    channels=(16, 16),
    blocks=(1, 1),
    lr_rest=1e-2,
    ema=0.9,
    save_every=60,
    workers=1,
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
    monkeypatch.setattr(fashion_ddpm, "fashion_mnist", columns)
    for data in classifier.DATA:
        monkeypatch.setitem(classifier.DATA, data, columns)


def trained(recipe, config, folder):
    run = RunFolder.create(recipe.__name__.rpartition(".")[2], asdict(config), folder)
    recipe.train(config, run)
    return run


@pytest.mark.parametrize("data", ["fashion", "mnist"])
def test_the_classifier_learns(tmp_path, data):
    steps = 60 if data == "mnist" else 2  # mirrored columns are those of another class
    run = trained(classifier, replace(CLASSIFIER, data=data, steps=steps), tmp_path)
    scores = classifier.evaluate(run, 200, np.random.default_rng(0))
    assert scores["test accuracy"].of == "200 test pictures"
    assert data == "fashion" or scores["test accuracy"].value > 0.7
    assert classifier.sample(run, 3, np.random.default_rng(0)).shape == (3, 28, 28, 3)


@pytest.mark.parametrize("data", ["fashion", "mnist"])
def test_a_judge_ships_for_each_set(data):
    judge = classifier.judge(data)
    assert outputs(judge.features, columns(n=20)[0]).shape == (20, 128)
    with pytest.raises(FileNotFoundError, match="letters_classifier"):
        classifier.judge("letters")


def test_a_picture_is_moved_over_black_and_mirrored_at_random(rng):
    image = np.zeros((400, 6, 6, 1), np.uint8)
    image[:, 2, 1] = 9
    moved = classifier.varied(image, rng, shift=2, mirrored=True)
    assert moved.shape == image.shape
    places = {tuple(np.argwhere(picture[..., 0])[0]) for picture in moved if picture.any()}
    assert places == {(row, column) for row in range(5) for column in range(6)}
    assert np.array_equal(classifier.varied(image, rng, shift=0, mirrored=False), image)


def test_diffusion_paints_the_asked_shape_and_is_judged(tmp_path, monkeypatch):
    run = trained(fashion_ddpm, DDPM, tmp_path)
    judge = Classifier(CLASSIFIER.network(), rng=np.random.default_rng(0))
    monkeypatch.setattr(classifier, "judge", lambda data: judge)
    assert fashion_ddpm.sample(run, 3, np.random.default_rng(0), steps=2).shape == (3, 28, 28, 3)
    monkeypatch.setattr(fashion_ddpm.DDPMConfig, "num_timesteps", 10)
    report = fashion_ddpm.evaluate(run, 4, np.random.default_rng(0), steps=2, bound=3)
    assert 0 <= report.numbers["label agreement"].value <= 1
    assert report.pictures.keys() == {"samples", "nearest"}
    assert report.numbers["bits/dim, at most"].of == "3 test pictures"


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

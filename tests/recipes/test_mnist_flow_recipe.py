"""mnist_flow on stand-in digits: digit k is a bright column at place k."""

from dataclasses import asdict

import numpy as np
import pytest

from minigen.models.features.classifier import Classifier, ClassifierConfig
from minigen.recipes import mnist_flow
from minigen.train import RunFolder

TINY = mnist_flow.Config(
    minutes=None, steps=2, batch_size=4, channels=(8, 16), log_every=1, workers=2
)


def columns(split="train", n=60):
    """Pictures (n, 28, 28, 1) of a column in noise; labels (n,)."""
    rng = np.random.default_rng(split == "test")
    labels = np.arange(n) % 10
    images = rng.integers(0, 60, (n, 28, 28, 1)).astype(np.uint8)
    for image, label in zip(images, labels):
        image[:, 4 + 2 * label : 6 + 2 * label] = 255
    return images, labels


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    rng = np.random.default_rng(0)
    judge = Classifier(ClassifierConfig(), rng=rng)
    monkeypatch.setattr(mnist_flow, "mnist", columns)
    monkeypatch.setattr(mnist_flow, "judge", lambda data: judge.eval())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = RunFolder.create("mnist_flow", asdict(TINY), tmp_path_factory.mktemp("runs"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mnist_flow, "mnist", columns)
        mnist_flow.train(TINY, run)
    return run


def test_it_trains_draws_and_is_judged(run):
    rng = np.random.default_rng(0)
    assert mnist_flow.sample(run, 3, rng, steps=2).shape == (3, 28, 28, 3)
    report = mnist_flow.evaluate(run, 20, rng, steps=2)
    assert "label agreement" in report.numbers
    assert set(report.pictures) == {"samples", "interpolations", "nearest"}
    assert all(p.dtype == np.uint8 and p.shape[2] == 3 for p in report.pictures.values())


def test_learning_from_synthetic_digits_is_measured_when_asked(run, monkeypatch):
    monkeypatch.setattr(mnist_flow, "fit", lambda images, labels: lambda x: np.full(len(x), 3))
    report = mnist_flow.evaluate(run, 20, np.random.default_rng(0), steps=1, synthetic=True)
    assert report.numbers["accuracy, trained on synthetic"].value == pytest.approx(0.1)
    assert report.numbers["gap"].value == 0


def test_decoding_undoes_encoding(run):
    images = columns(n=3)[0]
    z = mnist_flow.encode(run, images)
    assert z.shape == images.shape
    assert z.dtype == np.float32
    back = mnist_flow.decode(run, z)
    np.testing.assert_allclose(back, images.repeat(3, axis=-1), atol=2)


def test_a_classifier_learns_stripes_from_pictures():
    labels = np.arange(60) % 2
    images = np.zeros((60, 28, 28, 1), np.uint8)
    images[labels == 0, ::2] = 255
    images[labels == 1, :, ::2] = 255
    small = ClassifierConfig(stem=8, channels=(64, 16), blocks=(0, 1))
    classify = mnist_flow.fit(images, labels, steps=40, network=small)
    assert (classify(images) == labels).mean() > 0.9

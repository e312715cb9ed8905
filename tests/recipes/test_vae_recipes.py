"""The recipes of VAE, IWAE and conditional VAE on stand-in pictures: a bright column a class."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from minigen.cli import main
from minigen.metrics.report import Report
from minigen.recipes import classifier, mnist_conditional_vae, mnist_vae
from minigen.train import RunFolder

TINY = mnist_vae.Config(
    minutes=None, steps=3, batch_size=8, latents=3, widths=(8,), log_every=1, workers=2
)
CONFIGS = {
    "vae": TINY,
    "iwae": replace(TINY, k=4, k_from=0.0),
    "conv": replace(TINY, network="conv", channels=(8, 8)),
}
CONDITIONAL = mnist_conditional_vae.Config(
    minutes=None, steps=3, batch_size=8, latents=3, widths=(8,), log_every=1, workers=2
)


def columns(split="train", n=80):
    """Pictures (n, 28, 28, 1) of a grey column at the place of the class; labels (n,)."""
    labels = np.arange(n) % 10
    images = np.zeros((n, 28, 28, 1), np.uint8)
    for image, label in zip(images, labels):
        image[4:24, 4 + 2 * label : 7 + 2 * label] = 200 + 5 * (split == "test")
    return images, labels


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    for recipe in (mnist_vae, mnist_conditional_vae):
        monkeypatch.setattr(recipe, "mnist", columns)
    monkeypatch.setitem(classifier.DATA, "mnist", columns)


def trained(recipe, config, folder):
    run = RunFolder.create(recipe.__name__.rpartition(".")[2], asdict(config), folder)
    recipe.train(config, run)
    return run


@pytest.mark.parametrize("name", CONFIGS)
def test_a_run_can_be_sampled_and_evaluated(name, tmp_path, rng):
    run = trained(mnist_vae, CONFIGS[name], tmp_path)
    assert mnist_vae.sample(run, 3, rng).shape == (3, 28, 28, 3)
    report = mnist_vae.evaluate(run, 60, rng, k=5)
    assert isinstance(report, Report)
    numbers = report.numbers
    assert 0 < float(numbers["-log p(x), at most"]) < float(numbers["-ELBO"])
    assert numbers["-log p(x), at most"].error > 0
    assert "80 test pictures, binarised once; k = 5 for 60 of them" in str(
        numbers["-log p(x), at most"]
    )
    assert {*report.pictures} == {"samples", "reconstructions", "interpolations", "nearest"}
    assert {picture.shape[2] for picture in report.pictures.values()} == {3}


def test_importance_weights_count_from_the_share_of_the_run_that_was_asked(tmp_path, monkeypatch):
    seen = []
    loss = mnist_vae.iwae.loss
    monkeypatch.setattr(mnist_vae, "WARMUP", 2)
    monkeypatch.setattr(mnist_vae.iwae, "loss", lambda *a: seen.append(a[3]) or loss(*a))
    config = replace(TINY, steps=10, k=4, k_from=0.5, workers=1)
    run = trained(mnist_vae, config, tmp_path)
    kl = run.read_log()["kl"]  # which the VAE's loss alone writes down
    late = np.isnan(kl)
    assert len(seen) == late.sum() == 3
    assert late[-3:].all()


def test_a_picture_goes_through_the_latents_and_back(tmp_path):
    run = trained(mnist_vae, TINY, tmp_path)
    latents = mnist_vae.encode(run, columns()[0][:4])
    assert (latents.shape, latents.dtype) == ((4, 3), np.float32)
    assert mnist_vae.decode(run, latents).shape == (4, 28, 28, 3)


def test_the_digit_that_is_asked_for_reaches_the_picture(tmp_path, rng):
    run = trained(mnist_conditional_vae, CONDITIONAL, tmp_path)
    assert mnist_conditional_vae.sample(run, 12, rng).shape == (12, 28, 28, 3)
    report = mnist_conditional_vae.evaluate(run, 60, rng, k=5)
    assert float(report.numbers["-log p(x | digit), at most"]) > 0
    assert 0 <= float(report.numbers["label agreement"]) <= 1
    assert report.pictures["styles"].shape == (8 * 30 - 2, 10 * 30 - 2, 3)


def test_every_picture_is_measured_with_its_own_label(rng):
    """A model that is told a row's labels, and whose bound is the number of that row."""

    class Row:
        def __init__(self, rows):
            self.rows = rows
            assert rows.stop <= 130

    def bound(model, x, k, rng, chunk):
        assert np.array_equal(x, pictures[model.rows])
        values = np.arange(1000.0)[model.rows][: len(x)]
        return mnist_vae.Bound(values, values, values)

    pictures = rng.random((130, 2, 2, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mnist_vae.iwae, "bound", bound)
        found = mnist_vae.bounds(Row, pictures, 5, rng)
    assert np.array_equal(found.log_px, np.arange(130.0))


def test_the_pictures_of_the_test_set_are_always_the_same_black_and_white_ones():
    first, second = (mnist_vae.test_pictures(np.random.default_rng(seed)) for seed in (0, 1))
    assert np.array_equal(*(np.sort(x.sum(axis=(1, 2, 3))) for x, _ in (first, second)))
    assert not np.array_equal(first[0], second[0])  # in another order
    assert (first[0].argmax(axis=2).max(axis=1)[:, 0] >= 4 + 2 * first[1]).all()


X = (np.arange(784).reshape(1, 28, 28, 1) % 2 == np.arange(4).reshape(4, 1, 1, 1) % 2) * 1.0
ALONE = 784 * np.log(2)


@pytest.mark.parametrize(
    ("nats", "carried", "effective", "said"),
    [
        (ALONE - 1, [0.5, 0.0], 40, []),
        (ALONE - 1, [0.005, 0.0], 40, ["posterior collapse: none of the 2 latents carries"]),
        (
            ALONE + 9,
            [0.5, 0.0],
            40,
            ["untrained, or trained on other data: 552 nats are more"],
        ),
        (ALONE - 1, [0.5, 0.2], 1.5, ["for half of the pictures one importance weight outweighs"]),
    ],
)
def test_what_looks_wrong_is_said(nats, carried, effective, said):
    remarks = mnist_vae.remarks(nats, np.array(carried), np.full(4, effective), X)
    assert len(remarks) == len(said)
    assert all(remark.startswith(start) for remark, start in zip(remarks, said))


def test_no_samples_are_refused(tmp_path, capsys):
    with pytest.raises(ValueError, match="mnist_vae: k is 0, expected at least 1"):
        trained(mnist_vae, replace(TINY, k=0), tmp_path)
    run = trained(mnist_vae, TINY, tmp_path)
    assert main(["eval", str(run.path), "-n", "4", "--k", "0"]) != 0
    assert "k is 0, expected 1 or more" in capsys.readouterr().err

"""The two autoencoders of Fashion-MNIST, on stand-in pictures of bright columns."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from minigen.metrics.report import Report
from minigen.recipes import fashion_autoencoder_kl, fashion_vq_vae
from minigen.train import RunFolder

SMALL = {
    "steps": 2,
    "batch_size": 6,
    "channels": (8, 8),
    "workers": 2,
    "save_every": 1,
    "log_every": 1,
}
VQ = fashion_vq_vae.Config(**SMALL, codes=8, width=4)
KL = fashion_autoencoder_kl.Config(**SMALL)
both = pytest.mark.parametrize(
    ("recipe", "config"), [(fashion_vq_vae, VQ), (fashion_autoencoder_kl, KL)], ids=["vq", "kl"]
)


def columns(split="train", n=40):
    """Pictures (n, 28, 28, 1) of a column and noise; labels (n,)."""
    rng = np.random.default_rng(split == "test")
    images, labels = rng.integers(0, 60, (n, 28, 28, 1)).astype(np.uint8), np.arange(n) % 10
    for image, label in zip(images, labels):
        image[:, 4 + 2 * label : 6 + 2 * label] = 255 - 15 * label
    return images, labels


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    for recipe in (fashion_vq_vae, fashion_autoencoder_kl):
        monkeypatch.setattr(recipe, "fashion_mnist", columns)


def new_run(recipe, config, folder):
    return RunFolder.create(recipe.__name__.rpartition(".")[2], asdict(config), folder)


def trained(recipe, config, folder):
    run = new_run(recipe, config, folder)
    recipe.train(config, run)
    return run


@both
def test_an_evaluation_has_numbers_pictures_and_remarks(recipe, config, tmp_path):
    report = recipe.evaluate(trained(recipe, config, tmp_path), 20, np.random.default_rng(0))
    assert isinstance(report, Report)
    assert all(np.isfinite(float(value)) for value in report.numbers.values())
    assert {"reconstructions", "interpolations"} < report.pictures.keys()
    assert all(p.dtype == np.uint8 and p.shape[2] == 3 for p in report.pictures.values())
    assert "no prior" in report.remarks[0]
    assert "untrained" in report.remarks[1]


@both
def test_latents_lead_to_the_picture_that_the_network_makes(recipe, config, tmp_path):
    run, images = trained(recipe, config, tmp_path), columns("test")[0][:3]
    z = recipe.encode(run, images)
    assert z.dtype == np.float32
    assert z.shape == (3, 7, 7, 4)
    made = recipe.decode(run, z)
    assert made.dtype == np.uint8
    sheet = recipe.sample(run, 3, np.random.default_rng(0))
    np.testing.assert_array_equal(sheet[:28, :28], images[0].repeat(3, axis=-1))
    np.testing.assert_array_equal(sheet[:28, 30:58], made[0])


def test_random_latents_become_pictures(tmp_path):
    run, other = (
        trained(fashion_vq_vae, VQ, tmp_path),
        trained(fashion_autoencoder_kl, KL, tmp_path),
    )
    rng = np.random.default_rng(0)
    assert fashion_vq_vae.sample(run, 5, rng, random_codes=True).shape == (5, 28, 28, 3)
    pictures = fashion_autoencoder_kl.sample(other, 5, rng, random_latents=True)
    assert pictures.shape == (5, 28, 28, 3)


@both
def test_a_stopped_training_goes_on_bit_for_bit(recipe, config, tmp_path):
    longer = replace(config, steps=5)
    whole, parts = trained(recipe, longer, tmp_path), trained(recipe, config, tmp_path)
    parts.change_config(steps=5)
    recipe.train(longer, RunFolder(parts.path))
    one, other = whole.load_checkpoint()[0], parts.load_checkpoint()[0]
    assert one.keys() == other.keys()
    moved = "codebook.sums" if recipe is fashion_vq_vae else "moments.second"
    assert f"model.{moved}" in one
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_dead_codes_and_a_collapsed_codebook_are_told():
    uses = np.zeros(100)
    uses[:3] = 10_000
    said = " ".join(fashion_vq_vae.remarks(0.01, 0.3, uses))
    assert "97% of the codes are dead" in said
    assert "collapsed" in said
    assert "untrained" not in said
    assert len(fashion_vq_vae.remarks(0.01, 0.3, np.full(100, 50))) == 1


def test_posterior_collapse_and_a_wrong_scale_are_told():
    said = " ".join(fashion_autoencoder_kl.remarks(0.01, 0.3, carried=0.1, std=1.3))
    assert "posterior collapse: 90% of the latents" in said
    assert "standard deviation of 1.3" in said
    assert len(fashion_autoencoder_kl.remarks(0.01, 0.3, carried=1.0, std=1.02)) == 1

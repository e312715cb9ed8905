"""The recipes of GANs: points with several seeds, pictures on stand-in data, and what is said."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import numpy as np
import pytest

from minigen.metrics.modes import count_modes
from minigen.recipes import picture_gan, toy_gan
from minigen.train import DivergedError, RunFolder

POINTS = toy_gan.Config(
    steps=4,
    batch_size=8,
    g_widths=(8,),
    d_widths=(8,),
    sample_every=2,
    save_every=2,
    log_every=1,
)
PICTURES = picture_gan.Config(
    minutes=None,
    steps=2,
    batch_size=4,
    latents=4,
    g_channels=(4, 4),
    d_channels=(4, 4),
    sample_every=1,
    save_every=1,
    log_every=1,
)


def trained(recipe, config, folder):
    run = RunFolder.create(recipe.__name__.rpartition(".")[2], asdict(config), folder)
    recipe.train(config, run)
    return run


def digits(split="train", n=60):
    """Pictures (n, 28, 28, 1) of a grey column at the place of the class; labels (n,)."""
    labels = np.arange(n) % 10
    images = np.random.default_rng(len(split)).integers(0, 9, (n, 28, 28, 1)).astype(np.uint8)
    for image, label in zip(images, labels):
        image[4:24, 4 + 2 * label : 7 + 2 * label] = 200
    return images, labels


class HereAndNow(ThreadPoolExecutor):
    """In the place of processes, each of which would import everything again."""

    def __init__(self, workers, context):
        super().__init__(1)


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    monkeypatch.setattr(toy_gan, "ProcessPoolExecutor", HereAndNow)
    for name in ("mnist", "fashion_mnist"):
        monkeypatch.setattr(picture_gan, name, digits)


# ------------------------------------------------------------------------------------------- points


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"loss": "minimax", "waves": (0.0,)},
        {"loss": "non_saturating", "pack": 4},
        {"data": "ring"},
    ],
)
def test_points_can_be_trained_sampled_and_evaluated(changes, tmp_path, rng):
    run = trained(toy_gan, replace(POINTS, **changes), tmp_path)
    assert toy_gan.sample(run, 30, rng).ndim == 3
    report = toy_gan.evaluate(run, 30, rng)
    modes, quality, *_ = report.numbers.values()
    assert 0 <= modes.value <= 25
    assert 0 <= quality.value <= 100


def test_seeds_have_folders_of_their_own_and_one_number(tmp_path, rng):
    run = trained(toy_gan, replace(POINTS, seeds=2, seed=5), tmp_path)
    alone = [RunFolder(path) for path in toy_gan.inner(run)]
    assert [one.config["seed"] for one in alone] == [5, 6]
    report = toy_gan.evaluate(run, 40, np.random.default_rng(3))
    found = report.numbers["modes found of 25"]
    assert found.of == "40 samples of each of 2 seeds"
    assert found.error is not None
    assert toy_gan.sample(run, 20, rng).shape[1] == 900  # three plots


def test_seeds_that_were_trained_are_not_trained_again(tmp_path):
    run = trained(toy_gan, replace(POINTS, seeds=2), tmp_path)
    times = [
        next((path / "checkpoints").iterdir()).stat().st_mtime_ns for path in toy_gan.inner(run)
    ]
    toy_gan.train(replace(POINTS, seeds=2), run)
    again = [
        next((path / "checkpoints").iterdir()).stat().st_mtime_ns for path in toy_gan.inner(run)
    ]
    assert again == times
    assert len(toy_gan.inner(run)) == 2


def test_the_width_of_true_spots_is_nearly_sigma(rng):
    config = replace(POINTS, batch_size=20_000)
    true = toy_gan.points(config, rng) * toy_gan.SPREAD["grid25"]
    assert toy_gan.width_of_spots(config, true) == pytest.approx(0.974, abs=0.005)
    centres = toy_gan.CENTRES["grid25"]()
    assert toy_gan.width_of_spots(config, centres + 0.025) == pytest.approx(0.5, abs=1e-3)


def test_points_that_fall_on_one_spot_are_said_to_have_collapsed(tmp_path, rng):
    run = trained(toy_gan, POINTS, tmp_path)
    assert any("mode collapse" in remark for remark in toy_gan.evaluate(run, 40, rng).remarks)


# ----------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize(
    "changes",
    [{}, {"loss": "wgan_gp", "d_steps": 2}, {"d_norm": "spectral", "pack": 2}],
)
def test_garments_can_be_trained_sampled_and_evaluated(changes, tmp_path, rng):
    run = trained(picture_gan, replace(PICTURES, **changes), tmp_path)
    assert picture_gan.sample(run, 3, rng).shape == (3, 28, 28, 3)
    report = picture_gan.evaluate(run, 20, rng)
    assert report.pictures["samples"].shape[2] == 3
    assert "memorised" in report.numbers


def test_stacked_digits_can_be_trained_and_their_modes_counted(tmp_path, rng):
    config = replace(PICTURES, data="stacked_mnist", loss="wgan_gp", pack=2)
    run = trained(picture_gan, config, tmp_path)
    report = picture_gan.evaluate(run, 30, rng)
    assert 1 <= report.numbers["modes found of 1000"].value <= 30
    assert any("few modes" in remark for remark in report.remarks)


def test_the_most_frequent_digit_counts_all_colours():
    modes = count_modes(np.array([123, 131, 393]), 3, 1000)
    assert picture_gan.most_frequent_digit(modes) == (3, 4 / 9)


def test_a_run_that_diverges_keeps_its_checkpoint_and_says_why(tmp_path):
    config = replace(PICTURES, loss="wgan_gp", lr=3.0, steps=60, beta1=0.0, sample_every=1000)
    run = RunFolder.create("picture_gan", asdict(config), tmp_path)
    with pytest.raises(DivergedError, match=r"diverged|inf|nan") as caught:
        picture_gan.train(config, run)
    saved = run.load_checkpoint()[1]["step"]
    assert f"step {saved} is saved" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("recipe", "config", "message"),
    [
        (toy_gan, replace(POINTS, pack=3), "a batch of 8 makes no packs of 3"),
        (picture_gan, replace(PICTURES, pack=3), "a batch of 4 makes no packs of 3"),
        (
            picture_gan,
            replace(PICTURES, loss="wgan_gp", d_norm="batch"),
            "wgan_gp takes no batch norm in D",
        ),
    ],
)
def test_bad_settings_are_told(recipe, config, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        trained(recipe, config, tmp_path)

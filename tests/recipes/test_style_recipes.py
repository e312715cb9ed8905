"""The recipes of style features and AdaIN in a few steps, and `minigen stylize` with them."""

import json
from dataclasses import asdict, replace
from functools import partial

import numpy as np
import pytest
from PIL import Image

from minigen.backend import use_kernels
from minigen.cli import main
from minigen.data.pixels import load_image, read_metadata, save_png
from minigen.data.textures import LABELS, TONES, leaf_picture, texture, tones
from minigen.metrics.report import Report
from minigen.models.style import neural_style
from minigen.recipes import adain, texture_features
from minigen.train import RunFolder, save_weights

SIZES = {"channels": (8, 12, 16, 16), "convs": (1, 1, 2, 1)}
FEATURES = texture_features.Config(steps=3, pictures=16, batch_size=8, log_every=1, workers=2)
FEATURES = replace(FEATURES, **SIZES)
ADAIN = adain.Config(
    steps=2, pictures=8, batch_size=4, log_every=1, sample_every=2, save_every=2, workers=2
)


def trained(recipe, config, folder):
    run = RunFolder.create(recipe.__name__.rpartition(".")[2], asdict(config), folder)
    recipe.train(config, run)
    return run


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    return trained(texture_features, FEATURES, tmp_path_factory.mktemp("features"))


@pytest.fixture(scope="module")
def restyler(features, tmp_path_factory):
    config = replace(ADAIN, features=str(features.path))
    return trained(adain, config, tmp_path_factory.mktemp("adain"))


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder with a content and two styles, in which the test stands."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    pictures = {"photo": leaf_picture(48, rng)[:40], "ink": texture("strokes", 48, rng)}
    pictures["oil"] = texture("patches", 60, rng)
    for name, picture in pictures.items():
        save_png(f"{name}.png", np.rint(picture * 255).astype(np.uint8))
    return tmp_path


# ---------------------------------------------------------------------------------------- features


def test_features_are_trained_evaluated_and_sampled(features, rng, monkeypatch):
    monkeypatch.setattr(
        texture_features, "NeuralStyleConfig", partial(neural_style.NeuralStyleConfig, steps=2)
    )
    report = texture_features.evaluate(features, 16, rng, paintings=1)
    assert isinstance(report, Report)
    for name in ("textures", "shapes", "tones"):
        assert 0 <= float(report.numbers[f"{name} found"]) <= 1
    assert 0 <= float(report.numbers["halves that find each other"]) <= 1
    assert float(report.numbers["... distance to the style"]) > 0
    assert {"paintings", "filters", "looked_at", "maps_relu1_1", "maps_relu4_1"} <= {
        *report.pictures
    }
    assert texture_features.sample(features, 3, rng).shape == (6, 64, 64, 3)


def test_what_a_run_exports_has_balanced_filters(features):
    vgg = texture_features.vgg(str(features.path))
    x = texture_features.to_float(texture_features.drawn(64, texture_features.BALANCE_SEED)[0])
    means = vgg(texture_features.Tensor(x)).data.mean(axis=(0, 1, 2))
    np.testing.assert_allclose(means[means > 0], 1, atol=0.02)
    assert not any(parameter.requires_grad for parameter in vgg.parameters())


def test_variants_keep_what_the_labels_say(rng):
    images, _ = texture_features.drawn(12, 0)
    varied = texture_features.varied(images, rng)
    assert varied.shape == images.shape
    assert not np.array_equal(varied, images)
    assert np.allclose(varied.std(axis=(1, 2)).sum(1), images.std(axis=(1, 2)).sum(1), rtol=1e-6)
    assert tones(varied).shape == (12, len(TONES))
    assert len(LABELS) == 34


def test_the_features_that_ship_paint_nearer_to_a_style_than_its_own_corners_are():
    with use_kernels("auto"):
        numbers, sheet = texture_features.painted(texture_features.vgg(), 1, size=96)
    painted = {name: float(value) for name, value in numbers.items()}
    assert painted["painting: loss taken away"] >= 0.95
    assert painted["... distance to the style"] < painted["... of another corner of the style"]
    assert painted["... distance to the content"] < painted["... of another content"]
    assert sheet.shape == (96, 3 * 98 - 2, 3)


# ------------------------------------------------------------------------------------------- AdaIN


def test_a_decoder_is_trained_evaluated_and_sampled(restyler, rng, monkeypatch):
    monkeypatch.setattr(adain, "TIMED", 64)
    report = adain.evaluate(restyler, 2, rng)
    assert float(report.numbers["distance to the style"]) > 0
    assert report.numbers["seconds for 64 x 64"].unit == "s"
    assert report.pictures["pairs"].shape == (3 * 130 - 2, 3 * 130 - 2, 3)
    assert adain.sample(restyler, 2, rng).shape == (3 * 130 - 2, 3 * 130 - 2, 3)


def test_the_encoder_is_the_one_that_was_named_and_stays(features, restyler):
    before, after = texture_features.vgg(str(features.path)), adain.trained(restyler).encoder
    for one, other in zip(before.parameters(), after.parameters(), strict=True):
        assert np.array_equal(one.data, other.data)


def test_a_vgg_of_torchvisions_layout_can_be_the_encoder(tmp_path, rng):
    arrays, ins = {}, 3
    for place, outs in zip((0, 3, 6, 8, 11), (4, 6, 8, 8, 8)):
        arrays[f"features.{place}.weight"] = rng.standard_normal((outs, ins, 3, 3)) * 0.2
        arrays[f"features.{place}.bias"] = np.zeros(outs)
        ins = outs
    save = {name: a.astype(np.float32) for name, a in arrays.items()}
    save_weights(tmp_path / "vgg.safetensors", save)
    run = trained(adain, replace(ADAIN, features=str(tmp_path / "vgg.safetensors")), tmp_path)
    model = adain.trained(run)
    assert model.encoder.config.mean == pytest.approx((0.485, 0.456, 0.406))
    assert model.config.channels == (8, 6, 4)


# --------------------------------------------------------------------------------- minigen stylize


def stylize(features, *words):
    return main(["stylize", "photo.png", "--features", str(features.path), "--steps", "2", *words])


def test_a_picture_is_painted_by_gatys(files, features, capsys):
    assert stylize(features, "--style", "ink.png", "--out", "out.png") == 0
    text, log = capsys.readouterr()
    assert text == "out.png\n"
    assert "2 steps: the loss fell from" in log
    assert load_image("out.png").shape == (40, 48, 3)
    assert json.loads(read_metadata("out.png")["minigen"])["style"] == ["ink.png"]


@pytest.mark.parametrize("kind", ["palette.png", "cmyk.jpg", "deep.png", "clear.png", "moving.gif"])
def test_pictures_of_every_kind_are_taken(files, features, kind):
    frames = [Image.open(name).resize((40, 40)) for name in ("ink.png", "oil.png")]
    first = {
        "palette.png": lambda x: x.convert("P"),
        "cmyk.jpg": lambda x: x.convert("CMYK"),
        "deep.png": lambda x: Image.fromarray(np.asarray(x.convert("L")).astype(np.uint16) * 257),
        "clear.png": lambda x: x.convert("RGBA"),
        "moving.gif": lambda x: x,
    }[kind](frames[0])
    more = {"save_all": True, "append_images": frames[1:]} if kind == "moving.gif" else {}
    first.save(kind, **more)
    assert stylize(features, "--style", kind, "--out", "out.png") == 0
    assert load_image("out.png").shape == (40, 48, 3)


def test_several_styles_noise_adam_and_a_smaller_size(files, features):
    words = ["--style", "ink.png", "oil.png", "--mix", "1", "3", "--size", "32"]
    assert stylize(features, *words, "--optimizer", "adam", "--start", "noise", "--seed", "3") == 0
    assert load_image("photo-ink-oil.png").shape == (27, 32, 3)
    assert stylize(features, *words) == 0
    assert (files / "photo-ink-oil-2.png").exists()


def test_kept_colours_are_those_of_the_content(files, features):
    assert stylize(features, "--style", "ink.png", "--keep-colour", "--out", "out.png") == 0
    yiq = neural_style.TO_YIQ.T
    ours, theirs = (load_image(name) @ yiq for name in ("out.png", "photo.png"))
    inside = ((load_image("out.png") > 0) & (load_image("out.png") < 255)).all(axis=-1)
    assert np.abs(ours - theirs)[inside][:, 1:].max() < 2  # of 255, by rounding


def test_a_picture_is_painted_by_adain(files, restyler):
    words = ["stylize", "photo.png", "--method", "adain", "--model", str(restyler.path)]
    assert main([*words, "--style", "ink.png", "--out", "full.png"]) == 0
    assert main([*words, "--style", "ink.png", "--strength", "0.2", "--out", "less.png"]) == 0
    mixed = ["--style", "ink.png", "oil.png", "--mix", "1", "2", "--keep-colour"]
    assert main([*words, *mixed, "--out", "both.png"]) == 0
    shapes = {load_image(f"{name}.png").shape for name in ("full", "less", "both")}
    assert shapes == {(40, 48, 3)}
    assert (load_image("full.png") != load_image("less.png")).any()


def test_ctrl_c_keeps_the_picture_so_far(files, features, monkeypatch, capsys):
    steps = neural_style.LBFGS.step

    def interrupted(self, closure):
        if self.evaluations > 3:
            raise KeyboardInterrupt
        return steps(self, closure)

    monkeypatch.setattr(neural_style.LBFGS, "step", interrupted)
    words = ["--style", "ink.png", "--out", "out.png", "--steps", "9"]
    assert stylize(features, *words) == 130
    assert load_image("out.png").shape == (40, 48, 3)
    assert "stopped after step" in capsys.readouterr().err


WRONG = [
    (["--style", "none.png"], "none.png"),
    (["--style", "ink.png", "--out", "out.jpg"], "expected a name that ends in .png"),
    (["--style", "ink.png", "--out", "no/out.png"], "there is no folder no"),
    (["--style", "ink.png", "--mix", "1", "2"], "1 styles have 2 weights in --mix"),
    (["--style", "ink.png", "--model", "adain"], "--model is for --method adain"),
    (["--style", "ink.png", "--method", "adain"], "--steps is for --method gatys"),
    (["--style", "small.png"], "the style picture is 2 x 2 pixels"),
    (["--style", "ink.png", "--size", "3"], "expected a whole number of at least 16"),
    (["--style", "ink.png", "--strength", "-1"], "expected a number of at least 0"),
    (["--style", "text.png"], "text.png is not a picture"),
    ([], "--style"),
]


@pytest.mark.parametrize(("words", "message"), WRONG, ids=lambda x: " ".join(x)[:40])
def test_a_wrong_order_gets_one_line(files, features, words, message, capsys):
    Image.new("RGB", (2, 2)).save("small.png")
    (files / "text.png").write_text("no picture")
    assert stylize(features, *words) == 2
    told = capsys.readouterr().err.splitlines()
    (line,) = [line for line in told if line.strip() and not line.startswith("painting: ")]
    assert line.startswith("minigen: error: ")
    assert message in line


def test_weights_of_something_else_are_refused(files, restyler, capsys):
    words = ["stylize", "photo.png", "--style", "ink.png"]
    assert main([*words, "--features", str(restyler.path)]) == 2
    assert "is a model of adain, expected texture_features" in capsys.readouterr().err
    assert main([*words, "--method", "adain", "--model", "mnist_classifier"]) == 2
    assert "is a model of classifier, expected adain" in capsys.readouterr().err
    save_weights("other.safetensors", {"weight": np.zeros(3, np.float32)})
    assert main([*words, "--features", "other.safetensors"]) == 2
    assert "expected arrays called features.0.weight" in capsys.readouterr().err

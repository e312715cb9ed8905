"""`minigen interpolate`: pictures of any kind in, a strip and a GIF out, one line for a mistake."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minigen.cli import main
from minigen.data.pixels import load_image, to_float, to_uint8
from minigen.recipes import mnist_flow, toy_flow
from minigen.train import RunFolder

TINY = mnist_flow.Config(channels=(8, 16), workers=1)


def run_of(recipe, config, folder):
    """A run folder of a recipe, whose weights are untrained."""
    run = RunFolder.create(recipe.__name__.rpartition(".")[2], asdict(config), folder)
    model = recipe.build(config, np.random.default_rng(0))
    arrays = {f"model.{name}": array for name, array in model.state_dict().items()}
    run.save_checkpoint(arrays, {"step": 0, "seconds": 0})
    return run.path


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run whose latent is the picture itself."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(mnist_flow, "encode", lambda run, images: to_float(images))
    monkeypatch.setattr(mnist_flow, "decode", lambda run, z: to_uint8(z).repeat(3, axis=-1))
    return str(run_of(mnist_flow, TINY, tmp_path))


def picture(name, colour, size=(28, 28), mode="RGB"):
    Image.new(mode, size, colour).save(name)
    return name


def words(run, *more, a="a.png", b="b.png"):
    return ["interpolate", run, "--from", a, "--to", b, "--scale", "1", *more]


def test_the_strip_walks_from_one_picture_to_the_other(run, capsys):
    picture("a.png", (0, 0, 0)), picture("b.png", (100, 100, 100))
    assert main(words(run, "--steps", "3")) == 0
    strip, film = capsys.readouterr().out.split()
    assert Path(strip) == Path(run, "samples", "a_to_b.png")
    tiles = load_image(strip)[0, ::29]  # one pixel of each
    assert list(tiles[:, 0]) == [0, 0, 50, 100, 100]
    with Image.open(film) as gif:
        greys = [np.asarray(gif.convert("L"))[0, 0] for k in range(gif.n_frames) if not gif.seek(k)]
    np.testing.assert_allclose(greys, [0, 50, 100, 50], atol=1)


@pytest.mark.parametrize("spherical", [False, True])
def test_a_spherical_walk_goes_around(run, spherical):
    left = np.full((28, 28), 47, np.uint8)
    left[:, :14] = 207
    Image.fromarray(left).save("a.png")
    Image.fromarray(np.rot90(left)).save("b.png")
    assert main(words(run, "--steps", "3", "--out", "w.png", *["--spherical"] * spherical)) == 0
    middle = load_image("w.png")[:, 58 : 58 + 28, 0]  # between latents at a right angle
    reach = 80 * (2**0.5 if spherical else 1)
    found = [middle.min(), np.median(middle), middle.max()]
    np.testing.assert_allclose(found, [127 - reach, 127, 127 + reach], atol=1.5)


@pytest.mark.parametrize(
    ("mode", "colour", "grey"),
    [("RGB", (255, 0, 0), 76), ("L", 40, 40), ("RGBA", (0, 0, 0, 0), 255), ("P", 0, 0)],
)
def test_any_picture_becomes_small_and_grey(run, mode, colour, grey):
    picture("a.png", colour, (90, 60), mode), picture("b.png", colour, (5, 5), mode)
    assert main(words(run, "--out", "w.png")) == 0
    strip = load_image("w.png")
    assert strip.shape == (28, 11 * 29 - 1, 3)
    assert (strip[0, ::29] == grey).all()


def test_bright_borders_are_remarked_and_inverted(run, capsys):
    picture("a.png", (255, 255, 255)), picture("b.png", (0, 0, 0))
    assert main(words(run)) == 0
    assert "a.png is bright along its border" in (error := capsys.readouterr().err)
    assert "b.png" not in error
    assert main(words(run, "--invert", "--out", "w.png")) == 0
    assert load_image("w.png")[0, 0, 0] == 0


def test_a_flow_walks_through_its_noises(tmp_path, monkeypatch):
    """An untrained network predicts no velocity: the noise of a picture is the picture."""
    monkeypatch.chdir(tmp_path)
    run = run_of(mnist_flow, TINY, tmp_path)
    picture("a.png", (0, 0, 0)), picture("b.png", (200, 200, 200))
    assert main(words(str(run), "--steps", "2")) == 0
    assert list(load_image(run / "samples" / "a_to_b.png")[0, ::29, 0]) == [0, 0, 200, 200]


def test_a_recipe_without_latents_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = run_of(toy_flow, toy_flow.Config(width=8), tmp_path)
    picture("a.png", (0, 0, 0))
    assert main(words(str(run), b="a.png")) == 2
    assert "a run of toy_flow, which has no way from a picture to a latent" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a": "none.png"}, "none.png"),
        ({"a": "text.png"}, "text.png is not a picture"),
        ({"more": ["--steps", "1"]}, "expected a whole number of at least 2, got 1"),
        ({"more": ["--out", "walk.jpg"]}, "--out is walk.jpg, expected a name that ends in .png"),
        ({"more": ["--out", "no/walk.png"]}, "there is no folder no"),
        ({"run": "nowhere"}, "'nowhere' is no file, no run folder"),
    ],
)
def test_a_mistake_gets_one_line(run, capsys, change, message):
    picture("a.png", (0, 0, 0)), picture("b.png", (9, 9, 9))
    Path("text.png").write_text("no picture")
    asked = words(change.get("run", run), *change.get("more", ()), a=change.get("a", "a.png"))
    assert main(asked) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("minigen: error: ")
    assert message in line


def test_both_pictures_are_needed(run, capsys):
    assert main(["interpolate", run, "--from", "a.png"]) == 2
    assert "required: --to" in capsys.readouterr().err

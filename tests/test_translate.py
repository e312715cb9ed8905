"""`minigen translate`: pictures of any kind in, their translations out, one line for a mistake."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minigen.cli import main
from minigen.data.pixels import load_image
from minigen.models.translation.cyclegan import CycleGAN
from minigen.recipes import scenes_cyclegan, toy_flow
from minigen.train import RunFolder

TINY = scenes_cyclegan.Config(size=8, channels=(8,), blocks=0, d_channels=(8,))


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run whose G paints everything darker, by half the range."""
    monkeypatch.chdir(tmp_path)
    run = RunFolder.create("scenes_cyclegan", asdict(TINY), tmp_path)
    model = CycleGAN(TINY.network(), rng=np.random.default_rng(0))
    model.G.output.bias.data[...] = -1
    arrays = {f"model.{name}": array for name, array in model.state_dict().items()}
    run.save_checkpoint(arrays, {"step": 0, "seconds": 0})
    return str(run.path)


def picture(name, colour, size=(8, 8), mode="RGB"):
    Path(name).parent.mkdir(exist_ok=True)
    Image.new(mode, size, colour).save(name)
    return name


def test_pictures_are_translated_under_their_own_names(run, capsys):
    names = [picture("a.png", (200, 150, 255)), picture("b.bmp", 220, (60, 31), "L")]
    assert main(["translate", run, *names, "--out", "new"]) == 0
    assert capsys.readouterr().out.split() == ["new/a.png", "new/b.png"]
    first, second = load_image("new/a.png"), load_image("new/b.png")
    assert first.shape == second.shape == (8, 8, 3)
    assert (np.abs(first.astype(int) - [72, 22, 127]) <= 1).all()
    assert (np.abs(second.astype(int) - 92) <= 1).all()


def test_a_picture_may_stand_beside_its_translation(run):
    picture("a.png", (200, 200, 200))
    assert main(["translate", run, "a.png", "--out", "new", "--beside", "--scale", "3"]) == 0
    both = load_image("new/a.png")
    assert both.shape == (24, 48, 3)
    assert (both[:, :24] == 200).all()
    assert (both[:, 24:] < 80).all()


def test_the_other_direction_is_the_recipes_option(run):
    picture("a.png", (200, 200, 200))
    assert main(["translate", run, "a.png", "--out", "new", "--direction", "BtoA"]) == 0
    assert (load_image("new/a.png") == 200).all()  # F is untrained


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.png", "--out", "."], "a.png would be written over; take another --out"),
        (["a.png", "sub/a.png", "--out", "new"], "two pictures would be called new/a.png"),
        (["a.png", "--out", "a.png"], "--out a.png is a file, expected a folder"),
        (["none.png", "--out", "new"], "none.png"),
        (["text.png", "--out", "new"], "text.png is not a picture"),
        (["a.png", "--out", "new", "--direction", "up"], "'up', expected AtoB or BtoA"),
        (["a.png"], "--out"),
        (["--out", "new"], "PICTURE"),
    ],
)
def test_mistakes_are_told_in_one_line(run, words, message, capsys):
    picture("a.png", 0), picture("sub/a.png", 0)
    Path("text.png").write_text("no picture")
    assert main(["translate", run, *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not Path("new").exists()


def test_a_model_that_does_not_translate_is_refused(run, tmp_path, capsys):
    other = RunFolder.create("toy_flow", asdict(toy_flow.Config()), tmp_path)
    picture("a.png", 0)
    assert main(["translate", str(other.path), "a.png", "--out", "new"]) == 2
    assert "expected a run of openmoji_pix2pix or scenes_cyclegan" in capsys.readouterr().err

"""Walks between prompts and seeds: their ends, their steps, and what the command makes of them."""

import numpy as np
import pytest
from PIL import Image
from tiny import save_tiny

from minigen.cli import main
from minigen.data.pixels import load_image
from minigen.paint import Painter

ONE, OTHER = "a red ring", "a blue cross"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("weights") / "tiny.safetensors")


@pytest.fixture(scope="module")
def painter(model):
    return Painter.load(model)


def test_the_ends_of_a_walk_are_its_prompts_and_seeds(painter):
    film = painter.walk((ONE, OTHER), (3, 8), 4, steps=3).astype(int)
    for frame, prompt, seed in ((film[0], ONE, 3), (film[-1], OTHER, 8)):
        rng = np.random.default_rng(seed)
        (alone,) = painter.paint([prompt], rng=rng, steps=3, sampler="dpmpp_2m")
        assert np.abs(frame - alone).max() <= 1


@pytest.mark.parametrize("frames", [5, 20])
def test_more_frames_are_smaller_steps_and_none_is_left_out(painter, frames):
    film = painter.walk((ONE, OTHER), (0, 1), frames, steps=2).astype(float)
    assert film.shape == (frames, 32, 32, 3)
    step = np.abs(np.diff(film, axis=0)).mean(axis=(1, 2, 3))
    assert (step > 0).all()
    assert step.max() < 8 / frames * np.abs(film[-1] - film[0]).mean()


def test_a_walk_that_stays_is_one_picture(painter):
    film = painter.walk((ONE, ONE), (2, 2), 3, steps=2).astype(int)
    assert np.abs(film - film[0]).max() <= 1


def test_the_command_makes_a_sheet_and_a_film(model, tmp_path, capsys):
    out = tmp_path / "walk.png"
    words = ["--model", str(model), "--steps", "2", "--frames", "4", "--scale", "1"]
    assert main(["paint", ONE, "--to", OTHER, "--to-seed", "5", *words, "--out", str(out)]) == 0
    assert load_image(out).shape == (65, 65, 3)  # 2 x 2 frames
    with Image.open(tmp_path / "walk.gif") as film:
        assert film.n_frames == 6  # there, and back without the ends
    assert capsys.readouterr().out.split() == [str(out), str(tmp_path / "walk.gif")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--palette", "#fff"], "a walk takes one PROMPT"),
        (["-n", "2"], "a walk takes one PROMPT"),
        (["--frames", "1"], "at least 2"),
        (["--out", "walk.gif"], "expected a name that ends in .png"),
    ],
)
def test_what_makes_no_walk_is_refused(model, options, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    try:
        code = main(["paint", ONE, "--to", OTHER, "--model", str(model), *options])
    except SystemExit as left:
        code = left.code
    assert code == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []

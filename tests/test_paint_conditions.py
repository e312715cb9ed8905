"""What a painting is asked for beside its prompt, with an untrained model."""

import numpy as np
import pytest
from tiny import save_tiny

from minigen.cli import main
from minigen.data.pixels import load_image, read_metadata, save_png
from minigen.paint import Conditions, Painter
from minigen.paint.conditions import conditions_of, read_mix, read_palette

PROMPT = "a red ring"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("weights") / "tiny.safetensors")


@pytest.fixture(scope="module")
def painter(model):
    return Painter.load(model)


@pytest.fixture
def photo(tmp_path, rng):
    save_png(tmp_path / "photo.png", rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))
    hole = np.zeros((32, 32, 3), np.uint8)
    hole[10:20, 4:30] = 255
    save_png(tmp_path / "hole.png", hole)
    return load_image(tmp_path / "photo.png"), hole[..., 0] > 0


def paint(painter, n=1, **asked):
    rng = np.random.default_rng(0)
    return painter.paint([PROMPT] * n, rng=rng, steps=3, conditions=Conditions(**asked))


def test_conditions_that_ask_for_nothing_change_next_to_nothing(painter):
    plain = painter.paint([PROMPT], rng=np.random.default_rng(0), steps=3)
    assert np.abs(paint(painter).astype(int) - plain).max() <= 1


def test_pixels_outside_the_mask_come_back_bit_for_bit(painter, photo):
    init, hole = photo
    pictures = paint(painter, 2, init=init, mask=hole, resample=2)
    for picture in pictures:
        np.testing.assert_array_equal(picture[~hole], init[~hole])
        assert (picture[hole] != init[hole]).any()


def test_at_strength_0_a_picture_stays_and_at_1_it_is_forgotten(painter, photo):
    init, _ = photo
    kept, changed, lost = (paint(painter, init=init, strength=s)[0] for s in (0.0, 0.67, 1.0))
    np.testing.assert_array_equal(kept, init)
    np.testing.assert_array_equal(lost, paint(painter)[0])
    assert (changed != kept).any()
    assert (changed != lost).any()


def test_a_palette_is_kept(painter):
    colours = read_palette("#d33 #fff #222")
    picture = paint(painter, palette=colours)[0].reshape(-1, 3)
    assert {tuple(pixel) for pixel in picture.tolist()} <= {tuple(c) for c in colours.tolist()}


def test_a_mix_of_one_prompt_is_that_prompt(painter):
    mixed = paint(painter, mix=((PROMPT, 1.0),))
    assert np.abs(mixed.astype(int) - paint(painter)).max() <= 1


def test_other_weights_are_another_picture(painter):
    one, other = (
        paint(painter, mix=((PROMPT, w), ("a blue cross", 1 - w))).astype(int) for w in (0.2, 0.8)
    )
    assert np.abs(one - other).max() > 0


def test_a_negative_prompt_moves_the_picture_and_the_prompt_itself_undoes_guidance(painter):
    assert (paint(painter, negative_prompt="a blue cross") != paint(painter)).any()
    rng = np.random.default_rng(0)
    unguided = painter.paint([PROMPT], rng=rng, steps=3, guidance=1.0).astype(int)
    assert np.abs(paint(painter, negative_prompt=PROMPT) - unguided).max() <= 1


@pytest.mark.parametrize("asked", [{"guidance_interval": (0.9, 1.0)}, {"guidance_rescale": 1.0}])
def test_guidance_can_be_held_back(painter, asked):
    assert (paint(painter, **asked) != paint(painter)).any()


HOLE = np.ones((32, 32), bool)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"strength": 1.2}, "strength is 1.2, expected 0 to 1"),
        ({"palette_strength": -1}, "palette_strength is -1"),
        ({"mask": HOLE}, "a mask needs a picture"),
        ({"mask": HOLE, "init": np.zeros((16, 8, 3), np.uint8)}, "32 x 32 pixels, the picture 8 x"),
        ({"mask": ~HOLE, "init": np.zeros((32, 32, 3), np.uint8)}, "nothing is to be painted"),
        ({"init": np.zeros((16, 16, 3), np.uint8)}, "16 x 16 pixels, the model 32 x 32"),
        ({"guidance_interval": (0.5, 0.2)}, "guidance_interval is 0.5 to 0.2"),
        ({"mix": ((PROMPT, 0.5),)}, "sum to 0.5, expected 1"),
        ({"mix": (("zebra", 1.0),)}, "no word of 'zebra' is known"),
        ({"negative_prompt": "zebra"}, "no word of 'zebra' is known"),
    ],
)
def test_what_makes_no_sense_is_refused(painter, asked, message):
    with pytest.raises(ValueError, match=message):
        paint(painter, **asked)


@pytest.mark.parametrize(
    ("text", "message"),
    [("#d33 red", "'red' is no colour"), ("", "the palette is empty"), ("#12", "'#12' is no")],
)
def test_a_palette_that_is_none_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        read_palette(text)


@pytest.mark.parametrize("text", ["a red ring", "a red ring:", "a red ring:-1", ":", "a ring:0"])
def test_a_mix_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match=r"part of a mix|of the mix are 0"):
        read_mix(text)


# ------------------------------------------------------------------------------------- the command


def command(model, out, *words):
    return main(["paint", "--model", str(model), "--steps", "2", "--out", str(out), *words])


EVERYTHING = (
    *("--init", "photo.png", "--mask", "hole.png", "--palette", "#d33, #222"),
    *(
        "--palette-strength",
        "0.5",
        "--guidance-rescale",
        "0.5",
        "--guidance-interval",
        "0.1",
        "0.9",
    ),
)


def test_all_that_was_asked_for_is_in_the_png_and_painted_again(
    model, photo, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert command(model, "a.png", PROMPT, *EVERYTHING, "--negative-prompt", "a blue cross") == 0
    assert '"palette": "#d33, #222"' in read_metadata("a.png")["minigen"]
    assert main(["paint", "--again", "a.png", "--out", "b.png"]) == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_again_refuses_another_file_of_the_same_name(model, photo, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command(model, "a.png", PROMPT, "--init", "photo.png")
    save_png("photo.png", np.zeros((32, 32, 3), np.uint8))
    assert main(["paint", "--again", "a.png"]) == 2
    assert "photo.png is another file than when it was used" in capsys.readouterr().err


def test_a_mix_is_painted_by_the_command_and_takes_no_prompt(model, tmp_path, capsys):
    mix = ["--mix", "a red ring:1, a blue cross:1"]
    assert command(model, tmp_path / "a.png", *mix) == 0
    assert read_metadata(tmp_path / "a.png")["Description"] == mix[1]
    assert command(model, tmp_path / "b.png", PROMPT, *mix) == 2
    assert "--mix has the prompts" in capsys.readouterr().err


def test_a_picture_of_another_size_becomes_one_of_the_models(photo, tmp_path):
    save_png(tmp_path / "large.png", np.full((64, 80, 3), 9, np.uint8))
    found = conditions_of({"init": str(tmp_path / "large.png")}, 32)
    np.testing.assert_array_equal(found.init, np.full((32, 32, 3), 9))
    with pytest.raises(ValueError, match="the mask has 32 x 32 pixels, the picture 80 x 64"):
        conditions_of({"init": str(tmp_path / "large.png"), "mask": str(tmp_path / "hole.png")}, 32)

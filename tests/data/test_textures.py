"""Drawn textures: their range, their period, and what the labels say of them."""

import numpy as np
import pytest

from minigen.data import textures as drawn
from minigen.data.scenes import SHAPES
from minigen.data.textures import LABELS, TEXTURES, TONES

GREYS = np.array([[0.0] * 3, [0.5] * 3, [1.0] * 3], np.float32)


@pytest.mark.parametrize("name", TEXTURES)
def test_a_texture_is_a_picture_with_contrast_that_its_seed_repeats(name):
    one, again = (drawn.texture(name, 40, np.random.default_rng(3)) for _ in range(2))
    assert (one.shape, one.dtype) == ((40, 40, 3), np.float32)
    assert one.min() >= 0
    assert one.max() <= 1
    assert one.std() > 0.05
    assert np.array_equal(one, again)
    assert not np.array_equal(one, drawn.texture(name, 40, np.random.default_rng(4)))


@pytest.mark.parametrize("name", ["stripes", "waves"])
@pytest.mark.parametrize("period", [6.0, 10.0])
def test_a_period_is_what_was_asked(name, period):
    pictures = [
        drawn.texture(name, 120, np.random.default_rng(s), period=period, colours=GREYS)[..., 0]
        for s in range(3)
    ]
    for picture in pictures:
        power = np.abs(np.fft.rfft2(picture - picture.mean())) ** 2
        f = np.hypot(np.fft.fftfreq(120)[:, None], np.fft.rfftfreq(120))
        strongest = f[np.unravel_index(power.argmax(), power.shape)]
        assert 0.6 < 1 / (strongest * period) < 1.5  # it is stretched by up to a quarter, and bent


def test_the_palette_is_what_the_heights_go_through(rng):
    red_to_blue = np.array([[1, 0, 0], [1, 0, 1], [0, 0, 1]], np.float32)
    picture = drawn.texture("checks", 60, rng, colours=red_to_blue)
    assert picture[..., 1].max() == 0
    assert picture[..., [0, 2]].max(axis=(0, 1)).min() > 0.7


def test_palettes_have_ends_that_differ(rng):
    for _ in range(50):
        first, _, last = drawn.palette(rng)
        assert np.linalg.norm(first - last) > 0.2


def test_noise_has_its_wavelength_and_lines_their_direction(rng):
    noise = drawn.smooth_noise(128, 16.0, rng)
    assert (noise.mean(), noise.std()) == pytest.approx((0, 1), abs=1e-3)
    lines = drawn.along_lines(drawn.smooth_noise(128, 3.0, rng), np.zeros((128, 128)), 20.0)
    down, across = np.gradient(lines)
    assert down.std() > 2 * across.std()


def test_labels_are_what_was_drawn(rng):
    pictures, seen = drawn.labelled(20, 48, rng)
    assert (pictures.shape, pictures.dtype) == ((20, 48, 48, 3), np.uint8)
    assert seen.shape == (20, len(LABELS))
    T, S = len(TEXTURES), len(SHAPES)
    leaves = seen[:, T : T + S].sum(axis=1)
    assert set(leaves) == {1, 2}
    assert np.array_equal(seen[:, :T].sum(axis=1), leaves + 1)  # each its own, and the background's
    assert np.array_equal(seen[:, T + S :], drawn.tones(pictures))


def test_a_plain_colour_has_its_own_name():
    plain = np.array(list(TONES.values()), np.uint8)[:, None, None].repeat(8, 1).repeat(8, 2)
    assert np.array_equal(drawn.tones(plain), np.eye(len(TONES)))


def test_a_colour_counts_from_a_tenth_of_the_pixels():
    picture = np.full((1, 20, 20, 3), 30, np.uint8)  # black
    picture[0, :2, :18] = TONES["red"]
    names = [name for name, there in zip(TONES, drawn.tones(picture)[0]) if there]
    assert names == ["black"]
    picture[0, :2] = TONES["red"]
    names = [name for name, there in zip(TONES, drawn.tones(picture)[0]) if there]
    assert names == ["red", "black"]


def test_leaves_lie_over_each_other(rng):
    picture = drawn.leaf_picture(48, rng)
    assert (picture.shape, picture.dtype) == ((48, 48, 3), np.float32)
    assert 0 <= picture.min() < picture.max() <= 1
    bare = drawn.leaf_picture(48, np.random.default_rng(1), leaves=0)
    more = drawn.leaf_picture(48, np.random.default_rng(1), leaves=1)
    same = (bare == more).all(axis=-1).mean()
    assert 0.05 < same < 0.999


def test_an_unknown_texture_is_told(rng):
    with pytest.raises(ValueError, match="texture: got 'tartan', expected one of stripes, checks"):
        drawn.texture("tartan", 8, rng)

"""Folders of two sets: the customary layouts, and one clear line for what does not fit."""

import logging

import numpy as np
import pytest
from PIL import Image

from minigen.data.paired import aligned, unaligned

RED, GREEN, BLUE = (220, 50, 47), (60, 160, 60), (50, 90, 210)


def save(path, colour, size=(20, 20), mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).convert(mode).save(path, **options)


def save_both(path, a=RED, b=GREEN, size=(20, 20)):
    path.parent.mkdir(parents=True, exist_ok=True)
    both = Image.new("RGB", (2 * size[0], size[1]), a)
    both.paste(Image.new("RGB", size, b), (size[0], 0))
    both.save(path)


def colours(pictures):
    return [tuple(picture[4, 4].tolist()) for picture in pictures]


def test_halves_of_one_file_are_a_pair(tmp_path):
    save_both(tmp_path / "train" / "b.png", RED, GREEN)
    save_both(tmp_path / "train" / "a.png", BLUE, RED)
    pairs = aligned(tmp_path, 8)
    assert pairs.source.shape == pairs.target.shape == (2, 8, 8, 3)
    assert pairs.names == ["a", "b"]
    assert colours(pairs.source) == [BLUE, RED]
    assert colours(pairs.target) == [RED, GREEN]


def test_files_of_one_name_are_a_pair(tmp_path):
    save(tmp_path / "testA" / "1.png", RED)
    save(tmp_path / "testB" / "1.bmp", GREEN)
    save(tmp_path / "testA" / "sub" / "2.png", BLUE)
    save(tmp_path / "testB" / "sub" / "2.png", RED)
    pairs = aligned(tmp_path, 8, "test")
    assert pairs.names == ["1", "sub/2"]
    assert colours(pairs.target) == [GREEN, RED]


def test_both_of_a_pair_are_cut_alike(tmp_path):
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (30, 50, 3), dtype=np.uint8)
    (tmp_path / "train").mkdir()
    Image.fromarray(np.hstack([picture, 255 - picture])).save(tmp_path / "train" / "1.png")
    pairs = aligned(tmp_path, 30)
    assert np.array_equal(pairs.source[0], 255 - pairs.target[0])
    assert np.array_equal(pairs.source[0], picture[:, 10:40])


def test_the_direction_turns_them_round(tmp_path):
    save_both(tmp_path / "train" / "1.png", RED, GREEN)
    save(tmp_path / "trainA" / "1.png", RED)
    save(tmp_path / "trainB" / "1.png", GREEN)
    for found in (aligned(tmp_path, 8, direction="BtoA"), unaligned(tmp_path, 8, direction="BtoA")):
        assert (colours(found.source), colours(found.target)) == ([GREEN], [RED])


def test_unaligned_sets_need_neither_names_nor_numbers_in_common(tmp_path):
    for k, colour in enumerate((RED, GREEN)):
        save(tmp_path / "trainA" / f"{k}.png", colour, size=(30, 20))
    for k in range(3):
        save(tmp_path / "trainB" / f"x{k}.png", BLUE, size=(9, 11))
    sets = unaligned(tmp_path, 8)
    assert colours(sets.source) == [RED, GREEN]
    assert colours(sets.target) == [BLUE] * 3


def test_a_picture_without_a_partner_is_named(tmp_path):
    for k in range(5):
        save(tmp_path / "trainA" / f"{k}.png", RED)
    save(tmp_path / "trainB" / "0.png", GREEN)
    with pytest.raises(ValueError, match=r"4 of 5 pictures in trainA/ .* trainB/: 1, 2, 3, \.\.\."):
        aligned(tmp_path, 8)
    save(tmp_path / "testA" / "0.png", RED)
    for k in range(2):
        save(tmp_path / "testB" / f"{k}.png", RED)
    with pytest.raises(ValueError, match="1 of 2 pictures in testB/ have no partner"):
        aligned(tmp_path, 8, "test")


def test_two_files_for_one_partner_are_refused(tmp_path):
    save(tmp_path / "trainA" / "1.png", RED)
    save(tmp_path / "trainA" / "1.bmp", RED)
    save(tmp_path / "trainB" / "1.png", RED)
    with pytest.raises(ValueError, match=r"more than one 1\.\*"):
        aligned(tmp_path, 8)


def test_a_pair_of_two_sizes_is_refused(tmp_path):
    save(tmp_path / "trainA" / "1.png", RED, size=(20, 20))
    save(tmp_path / "trainB" / "1.png", GREEN, size=(20, 24))
    with pytest.raises(ValueError, match=r"1\.png is 20 x 20 and .* is 20 x 24"):
        aligned(tmp_path, 8)


@pytest.mark.parametrize("size", [(20, 20), (41, 20), (20, 30), (90, 20)])
def test_what_is_no_two_pictures_side_by_side_is_refused(size, tmp_path):
    save(tmp_path / "train" / "1.png", RED, size=size)
    with pytest.raises(ValueError, match="expected two pictures side by side"):
        aligned(tmp_path, 8)


def test_a_split_that_is_not_there_is_named_with_those_that_are(tmp_path):
    save(tmp_path / "trainA" / "1.png", RED)
    for read in (aligned, unaligned):
        with pytest.raises(FileNotFoundError, match=r"expected .*testB/, found trainA/"):
            read(tmp_path, 8, "test")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        aligned(tmp_path / "nothing", 8)
    (tmp_path / "trainB").mkdir()
    with pytest.raises(ValueError, match="no pictures in"):
        unaligned(tmp_path, 8)


@pytest.mark.parametrize(
    ("settings", "message"), [({"size": 0}, "size = 0"), ({"direction": "AtoC"}, "AtoC")]
)
def test_settings_that_mean_nothing_are_refused(settings, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        unaligned(tmp_path, **({"size": 8} | settings))


def odd_pictures(folder):
    """One of every odd kind, all of them green."""
    save(folder / "palette.png", GREEN, mode="P")
    save(folder / "cmyk.jpg", GREEN, mode="CMYK")
    frames = [Image.new("RGB", (20, 20), colour) for colour in (GREEN, RED)]
    frames[0].save(folder / "film.gif", save_all=True, append_images=frames[1:])
    Image.fromarray(np.full((20, 20), 40000, np.uint16)).save(folder / "grey.png")


def test_odd_kinds_are_converted_and_counted(tmp_path, caplog):
    for name in ("trainA", "trainB"):
        save(tmp_path / name / "plain.png", GREEN)
    odd_pictures(tmp_path / "trainA")
    with caplog.at_level(logging.WARNING):
        sets = unaligned(tmp_path, 8)
    cmyk, film, grey, palette, plain = (picture[4, 4].astype(int) for picture in sets.source)
    for pixel in (cmyk, film, palette, plain):
        assert abs(pixel - GREEN).max() <= 30
    assert abs(grey - 156).max() <= 1
    for kind in ("animated", "CMYK", "16 bits"):
        assert sum(kind in message for message in caplog.messages) == 1


def test_a_set_of_one_picture_is_warned_of(tmp_path, caplog):
    for name in ("trainA", "trainB"):
        save(tmp_path / name / "1.png", GREEN)
    with caplog.at_level(logging.WARNING):
        assert unaligned(tmp_path, 8).source.shape == (1, 8, 8, 3)
    assert sum("learn it by heart" in message for message in caplog.messages) == 2


def test_pictures_of_floats_and_broken_ones_are_named(tmp_path):
    save(tmp_path / "trainB" / "1.png", GREEN)
    (tmp_path / "trainA").mkdir()
    Image.fromarray(np.zeros((8, 8), np.float32)).save(tmp_path / "trainA" / "1.tiff")
    with pytest.raises(ValueError, match=r"1\.tiff.*floats"):
        unaligned(tmp_path, 8)
    (tmp_path / "trainA" / "1.tiff").unlink()
    (tmp_path / "trainA" / "1.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"1\.png is not a picture"):
        unaligned(tmp_path, 8)

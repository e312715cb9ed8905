"""A user's folder: every kind of picture becomes size x size RGB, every mistake one clear line."""

import io

import numpy as np
import pytest
from PIL import Image

from minigen.data.folder import ENDINGS, folder
from minigen.data.pixels import load_image

RED, GREEN, WHITE = (220, 50, 47), (60, 160, 60), (255, 255, 255)


def save(path, colour=RED, size=(40, 40), mode="RGB", **options):
    Image.new("RGB", size, colour).convert(mode).save(path, **options)


def near(pixel, colour, tolerance=6):
    return abs(np.asarray(pixel, int) - np.asarray(colour)).max() <= tolerance


def test_pictures_and_captions_come_in_the_order_of_their_names(tmp_path):
    (tmp_path / "sub").mkdir()
    save(tmp_path / "b.png", GREEN, size=(50, 30))
    save(tmp_path / "a.png", RED, size=(16, 90))
    save(tmp_path / "sub" / "c.png", WHITE)
    (tmp_path / "a.txt").write_text("a  cat\nasleep\n", encoding="utf-8")
    (tmp_path / "sub" / "c.txt").write_text("\ufeff一只猫", encoding="utf-8")
    found = folder(tmp_path, 16)
    assert found.images.shape == (3, 16, 16, 3)
    assert found.images.dtype == np.uint8
    assert [image[8, 8].tolist() for image in found.images] == [list(RED), list(GREEN), list(WHITE)]
    assert found.captions == ["a cat asleep", "", "一只猫"]
    assert [path.name for path in found.paths] == ["a.png", "b.png", "c.png"]


def test_hidden_files_and_other_endings_are_left_out(tmp_path):
    save(tmp_path / "A.PNG")
    save(tmp_path / ".b.png")
    (tmp_path / ".git").mkdir()
    save(tmp_path / ".git" / "c.png")
    (tmp_path / "notes.md").write_text("hello")
    assert [path.name for path in folder(tmp_path, 8).paths] == ["A.PNG"]


@pytest.mark.parametrize("ending", [e for e in ENDINGS if e != ".webp"])
def test_every_ending_is_read(ending, tmp_path):
    save(tmp_path / f"a{ending}")
    assert near(folder(tmp_path, 8).images[0, 4, 4], RED)


def test_the_middle_is_cut_out(tmp_path):
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = RED
    Image.fromarray(wide).save(tmp_path / "a.png")
    assert (folder(tmp_path, 10).images[0] == RED).all()


def test_shrinking_averages(tmp_path):
    board = np.kron(np.indices((64, 64)).sum(0) % 2, np.ones((1, 1))) * 255
    Image.fromarray(board.astype(np.uint8)).save(tmp_path / "a.png")
    inner = folder(tmp_path, 8).images[0, 1:-1, 1:-1]
    assert abs(inner.astype(int) - 127).max() <= 2


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK", "LAB", "YCbCr"])
def test_every_kind_of_pixel_becomes_rgb(mode, tmp_path):
    colour = WHITE if mode in ("1", "L") else RED
    name = "a.jpg" if mode == "YCbCr" else "a.tif" if mode in ("CMYK", "LAB") else "a.png"
    if mode == "LAB":
        Image.new("LAB", (8, 8), (255, 128, 128)).save(tmp_path / name)
        colour = WHITE
    else:
        save(tmp_path / name, colour, mode=mode)
    found = load_image(tmp_path / name)
    assert found.shape[2] == 3
    assert near(found[4, 4], colour, 40 if mode == "P" else 6)


def test_sixteen_bits_of_grey_become_eight(tmp_path):
    grey = (np.arange(256, dtype=np.uint32) * 257).astype(np.uint16).reshape(16, 16)
    Image.fromarray(grey).save(tmp_path / "a.png")
    assert np.array_equal(load_image(tmp_path / "a.png")[..., 1].ravel(), np.arange(256))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_lies_over_white(mode, tmp_path):
    clear = np.zeros((8, 8, 4), np.uint8)
    clear[:, 4:] = (0, 0, 0, 255)
    image = Image.fromarray(clear)
    if mode == "P":
        image = Image.fromarray(clear[..., 3] // 255, "L").convert("P")
        image.putpalette([200, 10, 10, 0, 0, 0])
        image.save(tmp_path / "a.png", transparency=0)
    else:
        image.convert(mode).save(tmp_path / "a.png")
    found = load_image(tmp_path / "a.png")
    assert (found[:, :4] == 255).all()
    assert (found[:, 4:] == 0).all()


def test_a_photo_is_turned_as_the_camera_says(tmp_path):
    picture = np.zeros((8, 16, 3), np.uint8)
    picture[:, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to the right
    Image.fromarray(picture).save(tmp_path / "a.png", exif=exif)
    found = load_image(tmp_path / "a.png")
    assert found.shape == (16, 8, 3)
    assert found[0, 0, 0] == 255
    assert found[-1, 0, 0] == 0


def png():
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, "PNG")
    return file.getvalue()


BAD_FILES = {
    "text": (b"this is no picture", "is not a picture"),
    "empty": (b"", "is not a picture"),
    "cut short": (png()[:2000], "cannot be used"),
    "one byte wrong": (png()[:1000] + b"\0\0\0\0" + png()[1004:], "cannot be used"),
}


@pytest.mark.parametrize(("content", "message"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_named(content, message, tmp_path):
    save(tmp_path / "a.png")
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(ValueError, match=rf"bad\.png {message}") as info:
        folder(tmp_path, 8)
    assert "\n" not in str(info.value)


@pytest.mark.parametrize("limit", [1000, 400], ids=["warned of", "refused"])
def test_a_decompression_bomb_is_named(limit, tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    save(tmp_path / "bomb.png", size=(40, 40))
    with pytest.raises(ValueError, match=r"bomb\.png is too large: expected at most"):
        folder(tmp_path, 8)


def test_a_folder_without_pictures_says_what_it_looked_for(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(ValueError, match=r"no pictures in .*\.png \.jpg"):
        folder(tmp_path, 8)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*none"):
        folder(tmp_path / "none", 8)
    save(tmp_path / "a.png")
    with pytest.raises(NotADirectoryError, match=r"a\.png is a file, expected a folder"):
        folder(tmp_path / "a.png", 8)


def test_a_caption_that_is_no_text_is_named(tmp_path):
    save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"the caption .*a\.txt is not UTF-8"):
        folder(tmp_path, 8)


def test_a_size_of_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="size = 0"):
        folder(tmp_path, 0)

"""Pictures at the edges: numbers, sheets and PNG files."""

import io
import json
import pkgutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import minigen.data
from minigen.data import pixels

EVERY_BYTE = np.arange(256, dtype=np.uint8)


@pytest.fixture
def picture(rng):
    return rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)


def test_every_byte_survives_the_way_through_floats():
    floats = pixels.to_float(EVERY_BYTE)
    assert floats.dtype == np.float32
    assert (floats[0], floats[-1]) == (-1, 1)
    assert np.array_equal(pixels.to_uint8(floats), EVERY_BYTE)


def test_floats_are_rounded_and_clipped():
    floats = np.array([-1.7, -1, -0.998, 0.0, 0.9921, 1.0, np.inf, -np.inf])
    assert pixels.to_uint8(floats).tolist() == [0, 0, 0, 128, 254, 255, 255, 0]


@pytest.mark.parametrize(
    ("convert", "value", "message"),
    [
        (pixels.to_uint8, np.array([np.nan]), "got NaN"),
        (pixels.to_uint8, EVERY_BYTE, "got uint8, expected floats"),
        (pixels.to_float, np.zeros(3), "got float64, expected uint8"),
    ],
)
def test_numbers_of_the_wrong_kind_are_refused(convert, value, message):
    with pytest.raises(ValueError, match=message):
        convert(value)


def test_a_pixel_is_drawn_white_with_the_probability_of_its_grey(rng):
    drawn = pixels.binarise(np.broadcast_to(EVERY_BYTE, (4000, 256)), rng)
    grey = EVERY_BYTE / 255
    assert drawn.dtype == np.float32
    assert set(np.unique(drawn)) == {0, 1}
    assert np.all(np.abs(drawn.mean(0) - grey) <= 5 * np.sqrt(grey * (1 - grey) / 4000))


def test_a_seed_draws_the_same_black_and_white_pictures(picture):
    first, second = (pixels.binarise(picture, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(first, second)
    with pytest.raises(ValueError, match="binarise: got float64, expected uint8"):
        pixels.binarise(picture / 255, np.random.default_rng(3))


@pytest.mark.parametrize("gap", [0, 2])
@pytest.mark.parametrize(("n", "columns", "rows"), [(1, None, 1), (5, 3, 2), (4, 9, 1), (7, 2, 4)])
def test_a_grid_has_every_picture_in_its_place(n, columns, rows, gap, rng):
    images = rng.integers(0, 256, (n, 4, 6, 3), dtype=np.uint8)
    sheet = pixels.grid(images, columns, gap)
    across = min(columns or 1, n)
    assert sheet.shape == (rows * (4 + gap) - gap, across * (6 + gap) - gap, 3)
    for k, image in enumerate(images):
        top, left = k // across * (4 + gap), k % across * (6 + gap)
        assert np.array_equal(sheet[top : top + 4, left : left + 6], image)


def test_a_grid_is_about_square_and_white_where_nothing_is():
    sheet = pixels.grid(np.zeros((7, 4, 4, 1), np.float32))
    assert sheet.shape == (12, 12, 1)
    assert sheet[8:, 4:].min() == 1
    assert sheet.dtype == np.float32


@pytest.mark.parametrize(
    ("shape", "options"), [((0, 4, 4, 3), {}), ((4, 4, 3), {}), ((1, 4, 4, 3), {"columns": 0})]
)
def test_a_grid_of_nothing_is_refused(shape, options):
    with pytest.raises(ValueError, match="grid: got"):
        pixels.grid(np.zeros(shape), **options)


def test_enlarging_makes_squares_of_pixels(picture):
    large = pixels.enlarge(picture, 3)
    assert large.shape == (15, 21, 3)
    assert np.array_equal(large[1::3, 2::3], picture)
    with pytest.raises(ValueError, match="factor = 0"):
        pixels.enlarge(picture, 0)


def test_a_png_keeps_pixels_and_texts(picture, tmp_path):
    metadata = {"prompt": "a red circle, 一个圆\nsecond line", "settings": json.dumps({"seed": 1})}
    pixels.save_png(tmp_path / "a.png", picture, metadata)
    assert np.array_equal(pixels.load_image(tmp_path / "a.png"), picture)
    assert pixels.read_metadata(tmp_path / "a.png") == metadata


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1)])
def test_grey_pictures_are_written_as_grey(shape, rng, tmp_path):
    grey = rng.integers(0, 256, shape, dtype=np.uint8)
    pixels.save_png(tmp_path / "a.png", grey)
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "L"
    assert np.array_equal(pixels.load_image(tmp_path / "a.png")[..., 0], grey.reshape(5, 7))


def test_the_same_picture_gives_the_same_bytes(picture):
    assert pixels.png_bytes(picture, {"a": "b"}) == pixels.png_bytes(picture.copy(), {"a": "b"})


@pytest.mark.parametrize("bad", [np.zeros((4, 4, 3)), np.zeros((4, 4, 2), np.uint8)])
def test_what_is_no_picture_is_not_written(bad, tmp_path):
    with pytest.raises(ValueError, match="save_png: got"):
        pixels.save_png(tmp_path / "a.png", bad)
    assert not list(tmp_path.iterdir())


def test_reading_the_metadata_of_no_picture_is_explained(tmp_path):
    (tmp_path / "a.png").write_bytes(b"hello")
    with pytest.raises(ValueError, match=r"a\.png is not a picture"):
        pixels.read_metadata(tmp_path / "a.png")
    with pytest.raises(FileNotFoundError, match=r"cannot read .*b.png: No such file"):
        pixels.read_metadata(tmp_path / "b.png")


def test_the_data_room_imports_no_pillow_matplotlib_or_tqdm():
    rooms = [room.name for room in pkgutil.iter_modules(minigen.data.__path__)]
    imports = "; ".join(f"import minigen.data.{room}" for room in rooms)
    heavy = "print({'PIL', 'matplotlib', 'tqdm', 'scipy', 'numba'} & set(sys.modules))"
    command = [sys.executable, "-c", f"import sys; {imports}; {heavy}"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "set()\n"


# ------------------------------------------------------------------------------------ grey, films


def test_grey_is_as_bright_as_the_colour_looks():
    colours = np.array(
        [[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8
    )
    assert pixels.to_grey(colours).ravel().tolist() == [255, 0, 76, 150, 29]
    with pytest.raises(ValueError, match="to_grey: got uint8"):
        pixels.to_grey(colours[:, :2])


def test_a_gif_has_all_frames_and_begins_again():
    frames = np.stack([np.full((3, 4, 3), k, np.uint8) for k in (0, 100, 200)])
    with Image.open(io.BytesIO(pixels.gif_bytes(frames, milliseconds=50))) as film:
        assert (film.n_frames, film.size, film.info["loop"]) == (3, (4, 3), 0)
        for k in range(3):
            film.seek(k)
            assert film.info["duration"] == 50
            assert np.abs(np.asarray(film.convert("RGB")).astype(int) - frames[k]).max() <= 1


@pytest.mark.parametrize("shape", [(0, 3, 4, 3), (3, 4, 3), (2, 3, 4, 1)])
def test_what_is_no_film_is_refused(shape):
    with pytest.raises(ValueError, match="gif_bytes: got uint8"):
        pixels.gif_bytes(np.zeros(shape, np.uint8))

"""The steps of the preparation, each by its law."""

import importlib.util
import re

import numpy as np
import pytest
from PIL import Image

from minigen.data import openmoji
from minigen.data.pixels import to_grey
from minigen.data.prepare.augment import KINDS, augmented, generator
from minigen.data.prepare.captions import caption, words_of
from minigen.data.prepare.decode import DroppedError, decode
from minigen.data.prepare.denoise import denoise, noise_of
from minigen.data.prepare.duplicates import fingerprint, originals
from minigen.data.prepare.normalise import normalised
from minigen.data.prepare.reshape import cropped, reduced, resized
from minigen.data.prepare.settings import METHODS
from minigen.data.scenes import sample_batch

needs_data = pytest.mark.skipif(
    importlib.util.find_spec("skimage") is None, reason='needs pip install "minigen[data]"'
)


def smooth(seed, size=96):
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC))


def noisy(picture, sigma, rng):
    return np.clip(picture + rng.normal(0, sigma, picture.shape), 0, 255).astype(np.uint8)


# Decode ------------------------------------------------------------------------------------------


def test_a_decompression_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    Image.new("RGB", (40, 40)).save(tmp_path / "bomb.png")
    Image.new("RGB", (90, 90)).save(tmp_path / "larger.png")
    for name in ("bomb.png", "larger.png"):
        with pytest.raises(DroppedError, match="it is too large"):
            decode(tmp_path / name, 1)


def test_a_picture_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the top is on the right
    Image.fromarray(smooth(1)[:, :48]).save(tmp_path / "a.png", exif=exif)
    assert decode(tmp_path / "a.png", 1)[0].shape == (48, 96, 3)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
@pytest.mark.parametrize("kind", ["png", "jpg", "gif", "tif"])
def test_a_truncated_picture_is_dropped(kind, share, tmp_path):
    path = tmp_path / f"a.{kind}"
    Image.fromarray(smooth(1)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DroppedError):
        decode(path, 1)


# Duplicates --------------------------------------------------------------------------------------


def copies(picture):
    image = Image.fromarray(picture)
    yield np.asarray(image.resize((50, 50), Image.Resampling.BICUBIC))
    yield np.asarray(image.resize((200, 180), Image.Resampling.BICUBIC))
    yield noisy(picture, 6, np.random.default_rng(0))
    yield np.clip(picture * 1.03, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("seed", range(5))
def test_copies_are_found_however_they_were_saved(seed):
    first = smooth(seed)
    for copy in copies(first):
        prints = [fingerprint(first), fingerprint(copy)]
        assert originals(prints, [2, 1], most=6) == [None, 0]


def test_different_pictures_are_no_copies(rng):
    pictures = [smooth(seed) for seed in range(60)]
    pictures += list(sample_batch(60, rng, pairs=1.0)[0])
    found = originals([fingerprint(one) for one in pictures], [1] * 120, most=6)
    assert sum(of is not None for of in found) == 0


def test_of_copies_the_largest_is_kept_and_of_those_the_first():
    prints = [fingerprint(smooth(1))] * 3
    assert originals(prints, [5, 9, 9], most=0) == [1, None, 1]


def test_pictures_of_one_colour_differ_by_their_colour():
    flat = [np.full((40, 40, 3), grey, np.uint8) for grey in (0, 128, 255, 128)]
    assert originals([fingerprint(one) for one in flat], [1] * 4, most=64) == [None, None, None, 1]


# Denoise -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [5, 10, 20])
def test_the_noise_is_estimated(sigma, rng):
    grey = np.full((96, 96, 3), 128, np.uint8)
    assert abs(noise_of(noisy(grey, sigma, rng)) - sigma) < 0.1 * sigma


@needs_data
@pytest.mark.parametrize("sigma", [8, 16])
def test_noise_is_removed_and_edges_stay(sigma, rng):
    clean = np.full((64, 64, 3), 60, np.uint8)
    clean[:, 32:] = 200
    seen = noisy(clean, sigma, rng)
    found, notes = denoise(seen)
    error = [np.sqrt(((one - clean.astype(float)) ** 2).mean()) for one in (found, seen)]
    assert error[0] < 0.4 * error[1]
    edge = np.diff(found[..., 1].astype(int), axis=1)[:, 31]
    assert edge.mean() > 0.95 * 140
    assert "noise of" in notes[0]


def test_a_clean_picture_stays_as_it_is():
    assert denoise(smooth(1))[0] is not None
    assert np.array_equal(denoise(smooth(1))[0], smooth(1))


# Reshape -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(90, 60), (60, 90), (1, 7)])
def test_the_centre_and_the_padded_whole_are_squares(shape):
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert cropped(picture, "centre", None).shape == (min(shape), min(shape), 3)
    padded = cropped(picture, "pad", None)
    assert padded.shape == (max(shape), max(shape), 3)
    assert {tuple(p) for p in picture.reshape(-1, 3)} <= {tuple(p) for p in padded.reshape(-1, 3)}


def test_the_foreground_is_in_the_middle_with_a_margin():
    picture, mask = np.full((60, 90, 3), 255, np.uint8), np.zeros((60, 90), bool)
    picture[10:30, 60:80], mask[10:30, 60:80] = 0, True
    found = cropped(picture, "foreground", mask)
    assert found.shape == (24, 24, 3)
    assert (found[2:22, 2:22] == 0).all()
    assert (found == 0).all(2).sum() == 400


def test_without_a_foreground_it_is_the_centre():
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    empty = cropped(picture, "foreground", np.zeros((20, 30), bool))
    assert np.array_equal(empty, picture[:, 5:25])


def test_shrinking_shows_nothing_that_was_not_there():
    fine = np.zeros((256, 256, 3), np.uint8)
    fine[:, ::2] = 255  # lines of one pixel: at 1/2.1 of the size they cannot be shown
    assert np.ptp(resized(fine, 120)[10:-10, 10:-10].astype(int)) < 16
    assert (
        np.ptp(fine[::2, (np.arange(120) * 2.13).astype(int)].astype(int)) == 255
    )  # by leaving out


def test_large_pictures_are_reduced_and_small_ones_are_not():
    assert reduced(np.zeros((1000, 1500, 3), np.uint8), 64).shape == (256, 384, 3)
    assert reduced(np.zeros((100, 150, 3), np.uint8), 64).shape == (100, 150, 3)


# Normalise, augment, captions --------------------------------------------------------------------


def test_a_pale_picture_gets_the_whole_range():
    pale = (smooth(1).astype(float) * 0.5 + 90).astype(np.uint8)
    found, notes = normalised(pale)
    low, high = np.quantile(to_grey(found), [0.02, 0.98])
    assert low < 25
    assert high > 230
    assert re.match(r"contrast times [12]\.\d", notes[0])


def test_what_has_the_range_or_no_contrast_at_all_stays():
    black_and_white = np.zeros((20, 20, 3), np.uint8)
    black_and_white[:10] = 255
    for picture in (black_and_white, np.full((20, 20, 3), 77, np.uint8)):
        assert normalised(picture) == (picture, []) or normalised(picture)[0] is picture


def test_hardly_any_contrast_is_not_blown_up(rng):
    grey = noisy(np.full((40, 40, 3), 180, np.uint8), 2, rng)
    assert abs(normalised(grey)[0].mean() - grey.mean()) < 2
    assert normalised(grey)[0].std() < 3.2 * grey.std()


@pytest.mark.parametrize("kind", KINDS)
def test_a_variant_is_like_its_picture_and_drawn_from_its_name(kind):
    picture = smooth(3, size=64)
    one, again, other = (
        augmented(picture, (kind,), generator(0, name, 1)) for name in ("a", "a", "b")
    )
    assert one.shape == picture.shape
    assert one.dtype == np.uint8
    assert np.array_equal(one, again)
    several = [augmented(picture, (kind,), generator(0, "a", k)) for k in range(12)]
    assert any(not np.array_equal(picture, variant) for variant in [other, *several])


def test_no_kinds_change_nothing():
    assert np.array_equal(augmented(smooth(1), (), generator(0, "a", 1)), smooth(1))


def test_a_hole_is_a_quarter_of_the_side():
    variants = [augmented(smooth(1), ("cutout",), generator(0, "a", k)) for k in range(20)]
    holes = {int((one != smooth(1)).any(2).sum()) for one in variants}
    assert max(holes) in range(540, 24 * 24 + 1)
    assert 0 in holes


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("red_apple-02", "red apple"), ("RedApple (3)", "red apple"), ("IMG_20240131", ""),
        ("DSC01234", "dsc01234"), ("0001", ""), ("红苹果", "红苹果"), ("van-gogh 1889", "van gogh"),
    ],
)  # fmt: skip
def test_names_become_words(name, words):
    assert words_of(name) == words


def test_captions_come_from_texts_then_names_then_folders(tmp_path):
    path = tmp_path / "x.png"
    assert caption(path, "still life/apple.png", "names") == "apple"
    assert caption(path, "still life/apple.png", "folders") == "still life"
    assert caption(path, "fruit/2024/IMG_1.png", "names") == "fruit"
    assert caption(path, "apple.png", "none") == ""
    path.with_suffix(".txt").write_text("my  own words\n", encoding="utf-8")
    assert caption(path, "still life/apple.png", "folders") == "my own words"
    path.with_suffix(".txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ValueError, match="not UTF-8"):
        caption(path, "apple.png", "names")


# Segment -----------------------------------------------------------------------------------------


def far_from(ground, rng):
    """A colour that nobody takes for `ground`."""
    while True:
        colour = rng.integers(0, 256, 3)
        if np.linalg.norm(colour - ground) > 110:
            return colour


def composites(n, kind, rng):
    """Objects of two colours over a background that is no single colour, with their masks."""
    y, x = np.mgrid[:64, :64]
    for _ in range(n):
        a, b = rng.integers(40, 216, (2, 3))
        rim, inside = (far_from(a, rng) for _ in range(2))
        cx, cy, r = rng.uniform(26, 38), rng.uniform(26, 38), rng.uniform(12, 20)
        distance = np.hypot(x - cx, y - cy) if rng.random() < 0.5 else abs(x - cx) + abs(y - cy)
        mask = distance < r
        ground = np.broadcast_to(a, (64, 64, 3)).astype(float)
        if kind == "light from one side":
            ground = ground + 0.3 * (b - a) * ((x + y) / 126)[..., None]
        for part, colour in ((mask, rim), (distance < 0.8 * r, inside)):
            ground = np.where(part[..., None], colour, ground)
        sigma = 8 if kind == "noise" else 2
        yield noisy(ground, sigma, rng), mask


def overlap(a, b):
    return (a & b).sum() / (a | b).sum()


@needs_data
@pytest.mark.parametrize("kind", ["flat", "light from one side", "noise"])
@pytest.mark.parametrize("method", METHODS)
def test_the_foreground_is_found(method, kind, rng):
    from minigen.data.prepare.segment import foreground

    found = [overlap(foreground(p, method), mask) for p, mask in composites(12, kind, rng)]
    assert np.mean(found) > (0.85 if method == "threshold" else 0.93)


def drawings(n, rng):
    """Pieces of OpenMoji in the light of one side, on a rough ground, with their masks."""
    from scipy.ndimage import gaussian_filter, label

    pieces = openmoji.openmoji(64, "test", variants=False).colour
    y, x = np.mgrid[:64, :64]
    for piece in pieces[rng.permutation(len(pieces))[:n]]:
        white, _ = label(piece.min(2) > 250)
        mask = white != white[0, 0]
        a, b = rng.integers(60, 256, (2, 3))
        ground = a + (b - a) * ((x + y) / 126)[..., None]
        ground = ground + 60 * gaussian_filter(rng.normal(0, 1, (64, 64)), 1)[..., None]
        yield noisy(np.where(mask[..., None], piece, ground), 4, rng), mask


@needs_data
@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in openmoji.NEEDS),
    reason='needs pip install "minigen[art]"',
)
@pytest.mark.slow
def test_on_drawings_the_graph_cut_is_best():
    from minigen.data.prepare.segment import foreground

    mean = {
        method: np.mean(
            [
                overlap(foreground(picture, method), mask)
                for picture, mask in drawings(100, np.random.default_rng(0))
            ]
        )
        for method in METHODS
    }
    assert mean["graph_cut"] > 0.93
    assert mean["graph_cut"] > mean["watershed"] > mean["threshold"]


@needs_data
def test_a_smallest_cut_is_the_smallest(rng):
    from itertools import product

    from minigen.data.prepare.segment import _smallest_cut

    cost = rng.uniform(0, 2, (6, 2))
    pairs = np.array([(i, j) for i in range(6) for j in range(i) if rng.random() < 0.6])
    bond = rng.uniform(0, 1, len(pairs))

    def energy(labels):
        labels = np.array(labels, int)
        apart = labels[pairs[:, 0]] != labels[pairs[:, 1]]
        return cost[np.arange(6), labels].sum() + bond[apart].sum()

    best = min(product((0, 1), repeat=6), key=energy)
    assert energy(_smallest_cut(cost, pairs, bond)) <= energy(best) + 0.02


@needs_data
@pytest.mark.parametrize("method", METHODS)
def test_a_picture_of_one_colour_has_no_foreground(method, rng):
    from minigen.data.prepare.segment import foreground

    assert not foreground(np.full((40, 50, 3), 90, np.uint8), method).any()
    assert foreground(noisy(np.full((40, 50, 3), 90, np.uint8), 4, rng), method).mean() < 0.02


@needs_data
def test_an_unknown_method_is_refused():
    from minigen.data.prepare.segment import METHODS as KNOWN
    from minigen.data.prepare.segment import foreground

    assert tuple(KNOWN) == METHODS[::-1]
    with pytest.raises(ValueError, match="expected one of threshold, watershed, graph_cut"):
        foreground(smooth(1), "magic")

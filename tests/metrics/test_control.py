"""Distances to a palette and to a mask, of pictures where they are known."""

import sys

import numpy as np
import pytest

from minigen.metrics.control import mask_iou, palette_distance

RED, WHITE, BLACK = [255, 0, 0], [255, 255, 255], [0, 0, 0]


def test_a_picture_in_the_palette_is_at_no_distance_and_black_is_100_from_white():
    pytest.importorskip("skimage")
    images = np.array([[[RED, WHITE]], [[BLACK, WHITE]]], np.uint8)
    found = palette_distance(images, np.array([WHITE, RED], np.uint8))
    assert found[0] < 1e-9
    black_from_white = palette_distance(images[1:], np.array([WHITE], np.uint8))
    assert black_from_white[0] == pytest.approx(50, abs=0.01)  # one of two pixels
    assert found[1] == pytest.approx(50, abs=0.01)  # red is further from black


def test_without_scikit_image_it_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.color", None)
    with pytest.raises(ValueError, match=r'needs pip install "minigen\[data\]"'):
        palette_distance(np.zeros((1, 1, 1, 3), np.uint8), np.zeros((1, 3), np.uint8))


def painted(rows, columns):
    """White, with a red block."""
    image = np.full((1, 8, 8, 3), 255, np.uint8)
    image[:, rows, columns] = RED
    return image


@pytest.mark.parametrize(
    ("rows", "iou"),
    [(slice(2, 6), 1.0), (slice(4, 8), 1 / 3), (slice(6, 8), 0.0), (slice(0, 0), 0.0)],
)
def test_the_overlap_by_hand(rows, iou):
    mask = np.zeros((1, 8, 8), bool)
    mask[:, 2:6, 2:6] = True
    found = mask_iou(painted(rows, slice(2, 6)), mask, np.array([WHITE], np.uint8))
    assert found == pytest.approx([iou])


def test_nothing_asked_and_nothing_painted_agree():
    nothing = np.zeros((1, 8, 8), bool)
    ground = np.array([WHITE], np.uint8)
    assert mask_iou(painted(slice(0, 0), slice(0, 0)), nothing, ground) == 1
    assert mask_iou(painted(slice(0, 2), slice(0, 2)), nothing, ground) == 0

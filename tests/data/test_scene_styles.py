"""The second style: the same scenes, read as surely as the first."""

import numpy as np
import pytest
from test_scene_parser import SEEN_THROUGH, content, noisy

from minigen.data import scenes
from minigen.data.scene_judge import canonical
from minigen.data.scene_parser import judge, judge_many, parse, parse_many
from minigen.data.scene_styles import OUTLINED, PLAIN, STYLES, draw_styled

LOOKS = ("clean", "noise of sigma 8", "blur of 0.5 and noise of 5")


def drawn(n, rng, style=OUTLINED):
    """True scenes and their pictures."""
    columns = scenes.sample_columns(n, rng, held_out="any")
    return scenes.to_scenes(columns), draw_styled(columns, style)


def share_read(n, rng, look, nearest=False):
    true, pictures = drawn(n, rng)
    read = parse_many(SEEN_THROUGH[look](pictures), nearest=nearest, style=OUTLINED)
    right = [content(a) == content(canonical(b)) for a, b in zip(read, true, strict=True)]
    return np.mean(right), sum(a is not None for a in read) - sum(right)


def test_the_plain_style_is_that_of_the_scenes(rng):
    columns = scenes.sample_columns(130, rng)
    assert np.array_equal(draw_styled(columns, PLAIN), scenes.draw_columns(columns))
    assert draw_styled(scenes.sample_columns(0, rng), OUTLINED).shape == (0, 32, 32, 3)


@pytest.mark.parametrize("look", LOOKS)
def test_the_parser_reads_outlined_scenes(look, rng):
    right, misread = share_read(300, rng, look)
    assert right >= (0.98 if "blur" in look else 0.995)
    assert misread == 0


@pytest.mark.slow
@pytest.mark.parametrize("look", LOOKS)
def test_the_parser_reads_five_thousand_outlined_scenes(look, rng):
    right, misread = share_read(5000, rng, look)
    assert right >= (0.98 if "blur" in look else 0.995)
    assert misread == 0


@pytest.mark.parametrize("look", LOOKS)
def test_the_nearest_scene_to_an_outlined_scene_is_that_scene(look, rng):
    assert share_read(300, rng, look, nearest=True)[0] >= 0.995


@pytest.mark.parametrize("nearest", [False, True], ids=["exactly", "nearest"])
def test_a_caption_of_another_scene_is_never_accepted(nearest, rng):
    true, pictures = drawn(300, rng)
    captions = [scenes.caption(scene) for scene in true]
    right = judge_many(pictures, captions, nearest=nearest, style=OUTLINED)
    assert sum(one.all_right for one in right) >= 299
    shuffled = captions[1:] + captions[:1]
    wrong = judge_many(pictures, shuffled, nearest=nearest, style=OUTLINED)
    accepted = [a for a, b, one in zip(captions, shuffled, wrong, strict=True) if one.all_right]
    same = [a for a, b in zip(captions, shuffled, strict=True) if a == b]
    assert accepted == same


def test_places_are_read_to_a_tenth_of_a_pixel(rng):
    true, pictures = drawn(200, rng)
    for scene, seen in zip(true, parse_many(pictures, style=OUTLINED), strict=True):
        for one, other in zip(canonical(scene).objects, seen.objects, strict=True):
            assert np.hypot(one.x - other.x, one.y - other.y) < 0.3


@pytest.mark.parametrize(("style", "other"), [(PLAIN, OUTLINED), (OUTLINED, PLAIN)])
def test_a_picture_in_the_other_style_is_not_read_exactly(style, other, rng):
    _, pictures = drawn(100, rng, style)
    assert parse_many(pictures, style=other) == [None] * 100


def without(part):
    style = OUTLINED
    if part == "hatching":
        style = style._replace(hatching=0 * style.hatching)
    elif part == "ink":
        style = style._replace(outline=0.0)
    else:
        style = style._replace(palette=style.palette[[1, 2, 3, 4, 5, 6, 7, 0]] * 0.7)
    return style


@pytest.mark.parametrize("part", ["hatching", "ink", "palette"])
def test_a_picture_that_lacks_a_part_of_the_style_is_not_read_exactly(part, rng):
    _, pictures = drawn(50, rng, without(part))
    assert parse_many(pictures, style=OUTLINED) == [None] * 50


@pytest.mark.parametrize("dark", [0.0, 21.0])
def test_weak_and_strong_hatching_do_not_hide_what_is_there(dark, rng):
    true, _ = drawn(100, rng)
    style = OUTLINED._replace(hatching=OUTLINED.hatching * np.float32(dark / 14))
    pictures = draw_styled(scenes.to_columns(true), style)
    read = parse_many(noisy(pictures, 8), nearest=True, style=OUTLINED)
    assert [content(a) for a in read] == [content(canonical(b)) for b in true]


def test_the_hatching_is_invisible_through_a_blur():
    windows = np.lib.stride_tricks.sliding_window_view(OUTLINED.hatching, (3, 3))
    assert abs(windows.sum((2, 3))).max() == 0


def test_an_extra_blob_is_not_overlooked(rng):
    _, pictures = drawn(40, rng)
    pictures[:, 1:5, 14:18] = OUTLINED.ink
    assert parse_many(pictures, style=OUTLINED) == [None] * 40


def test_one_picture_is_read_as_many_are(rng):
    true, pictures = drawn(1, rng)
    assert content(parse(pictures[0], style=STYLES["outlined"])) == content(canonical(true[0]))
    assert judge(pictures[0], scenes.caption(true[0]), style=OUTLINED).all_right

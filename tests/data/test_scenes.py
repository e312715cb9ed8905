"""The scenes: geometry, captions, and how they are drawn at random."""

import math
import time

import numpy as np
import pytest

from minigen.data import scenes
from minigen.data.scenes import (
    COLOURS,
    HELD_OUT_PAIRS,
    RELATIONS,
    SHAPES,
    SIZES,
    Scene,
    SceneObject,
)

BALL = SceneObject("large", "red", "circle", 16.0, 16.0)


def definition_of_distance(shape, x, y, r):
    """The signed distances again, one point at a time."""
    p = math.hypot(x, y)
    return {
        "circle": p - r,
        "square": max(abs(x), abs(y)) - 0.88 * r,
        "diamond": abs(x) + abs(y) - 1.15 * r,
        "ring": abs(p - 0.8 * r) - 0.25 * r,
        "cross": min(max(abs(x) - 0.33 * r, abs(y) - r), max(abs(y) - 0.33 * r, abs(x) - r)),
        "triangle": max(y - 0.75 * r, 0.894 * abs(x) - 0.447 * (y + r)),
    }[shape]


def definition_of_picture(scene):
    picture = np.empty((32, 32, 3), np.uint8)
    scale = 1.25 if scene.relation is None else 1.0
    for i in range(32):
        for j in range(32):
            pixel = np.array(COLOURS[scene.background], float)
            for thing in scene.objects:
                r = scale * {"small": 4.2, "large": 6.8}[thing.size]
                at = (j + 0.5 - thing.x, i + 0.5 - thing.y)
                covered = min(max(0.5 - definition_of_distance(thing.shape, *at, r), 0.0), 1.0)
                pixel += covered * (np.array(COLOURS[thing.colour]) - pixel)
            picture[i, j] = np.floor(pixel + 0.5)
    return picture


def off_by(a, b):
    return abs(a.astype(int) - b.astype(int)).max()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", SIZES)
def test_a_picture_is_its_definition(shape, size):
    alone = Scene("blue", (SceneObject(size, "yellow", shape, 14.3, 17.9),))
    assert off_by(scenes.draw_one(alone), definition_of_picture(alone)) <= 1


def test_later_objects_lie_over_earlier_ones():
    left = SceneObject("large", "red", "square", 10.0, 16.0)
    right = SceneObject("large", "green", "diamond", 22.0, 16.0)
    scene = Scene("white", (left, right), "left of")
    swapped = Scene("white", (right, left), "right of")
    assert off_by(scenes.draw_one(scene), definition_of_picture(scene)) <= 1
    assert (scenes.draw_one(scene) != scenes.draw_one(swapped)).any()


def test_many_scenes_are_drawn_as_one_by_one(rng):
    many = scenes.sample_scenes(150, rng)  # more than two chunks
    one_by_one = np.stack([scenes.draw_one(scene) for scene in many])
    assert np.array_equal(scenes.draw(many), one_by_one)


def test_no_scenes_make_no_pictures(rng):
    assert scenes.draw([]).shape == (0, 32, 32, 3)
    images, captions = scenes.sample_batch(0, rng)
    assert images.shape == (0, 32, 32, 3)
    assert captions == []


def test_scenes_survive_the_way_through_columns(rng):
    before = scenes.sample_scenes(100, rng)
    assert scenes.to_scenes(scenes.to_columns(before)) == before


@pytest.mark.parametrize(
    ("with_size", "with_background", "text"),
    [
        (True, True, "a large red circle above a small blue ring on a white background"),
        (False, True, "a red circle above a blue ring on a white background"),
        (True, False, "a large red circle above a small blue ring"),
        (False, False, "a red circle above a blue ring"),
    ],
)
def test_captions_leave_out_what_they_are_told_to(with_size, with_background, text):
    ring = SceneObject("small", "blue", "ring", 16.0, 23.5)
    scene = Scene("white", (BALL, ring), "above")
    assert scenes.caption(scene, with_size, with_background) == text


def test_a_batch_is_its_scenes_and_their_captions():
    images, captions = scenes.sample_batch(
        80, np.random.default_rng(3), drop_size=0, drop_background=0
    )
    same = scenes.sample_scenes(80, np.random.default_rng(3))
    assert np.array_equal(images, scenes.draw(same))
    assert captions == [scenes.caption(scene) for scene in same]


def test_captions_drop_sizes_and_backgrounds_as_often_as_asked(rng):
    _, captions = scenes.sample_batch(4000, rng, pairs=0, drop_size=0.3, drop_background=0.2)
    sized = np.mean([text.split()[1] in SIZES for text in captions])
    backed = np.mean([text.endswith("background") for text in captions])
    assert abs(sized - 0.7) < 0.04
    assert abs(backed - 0.8) < 0.04


def test_the_first_object_stands_where_the_relation_says(rng):
    for scene in scenes.sample_scenes(300, rng, pairs=1):
        first, second = scene.objects
        dx, dy = second.x - first.x, second.y - first.y
        ahead = {"left of": dx, "right of": -dx, "above": dy, "below": -dy}[scene.relation]
        assert 12 <= ahead <= 18
        assert min(abs(dx), abs(dy)) <= 3


def test_an_object_alone_is_near_the_middle(rng):
    for scene in scenes.sample_scenes(200, rng, pairs=0):
        (thing,) = scene.objects
        assert scene.relation is None
        assert max(abs(thing.x - 16), abs(thing.y - 16)) <= 4


@pytest.mark.parametrize("held_out", ["never", "only", "any"])
def test_colours_of_a_scene_differ(held_out, rng):
    for scene in scenes.sample_scenes(300, rng, held_out=held_out):
        colours = [scene.background, *(thing.colour for thing in scene.objects)]
        assert len(set(colours)) == len(colours)


def test_attributes_are_drawn_evenly(rng):
    columns = scenes.sample_columns(20_000, rng, pairs=0.8, held_out="any")
    pair = columns.relation >= 0
    assert abs(pair.mean() - 0.8) < 0.02
    for column, kinds in [
        (columns.background, 8),
        (columns.colour, 8),
        (columns.shape, 6),
        (columns.size, 2),
        (columns.relation[pair], 4),
    ]:
        share = np.bincount(column.ravel(), minlength=kinds) / column.size
        assert abs(share * kinds - 1).max() < 0.1


def pairs_in(scene):
    return {(thing.colour, thing.shape) for thing in scene.objects}


def test_training_never_sees_a_held_out_pair(rng):
    seen = set().union(*(pairs_in(scene) for scene in scenes.sample_scenes(3000, rng)))
    assert not seen & set(HELD_OUT_PAIRS)
    assert len(seen) == len(COLOURS) * len(SHAPES) - len(HELD_OUT_PAIRS)


def test_the_test_of_composition_has_a_held_out_pair_in_every_scene(rng):
    many = scenes.sample_scenes(2000, rng, held_out="only")
    assert all(pairs_in(scene) & set(HELD_OUT_PAIRS) for scene in many)
    assert set().union(*map(pairs_in, many)) >= set(HELD_OUT_PAIRS)
    first = [
        (scene.objects[0].colour, scene.objects[0].shape) in HELD_OUT_PAIRS
        for scene in many
        if scene.relation
    ]
    assert 0.4 < np.mean(first) < 0.7  # it is the first object as often as the second


def test_one_pair_of_every_shape_is_held_out():
    assert sorted(shape for _, shape in HELD_OUT_PAIRS) == sorted(SHAPES)
    assert len({colour for colour, _ in HELD_OUT_PAIRS}) == len(SHAPES)


def test_shapes_of_a_colour_stay_evenly_drawn_without_the_held_out_one(rng):
    columns = scenes.sample_columns(20_000, rng, pairs=0)
    red = columns.shape[columns.colour[:, 0] == list(COLOURS).index("red"), 0]
    share = np.bincount(red, minlength=6) / len(red)
    assert share[SHAPES.index("square")] == 0
    assert abs(np.delete(share, SHAPES.index("square")) - 0.2).max() < 0.04


def test_the_same_seed_draws_the_same_batch():
    first = scenes.sample_batch(20, np.random.default_rng(5))
    again = scenes.sample_batch(20, np.random.default_rng(5))
    assert np.array_equal(first[0], again[0])
    assert first[1] == again[1]


def test_twenty_thousand_scenes_take_a_second(rng):
    """The best of five short runs, in time of this process: other programs do not count."""
    rates = []
    for _ in range(5):
        start = time.process_time()
        scenes.sample_batch(1000, rng)
        rates.append(1000 / (time.process_time() - start))
    assert max(rates) > 20_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"held_out": True}, "expected 'never', 'only' or 'any'"),
        ({"pairs": 1.5}, "expected a share between 0 and 1"),
        ({"drop_size": -0.1}, "got drop_size = -0.1"),
    ],
)
def test_bad_arguments_are_named(arguments, message, rng):
    with pytest.raises(ValueError, match=message):
        scenes.sample_batch(4, rng, **arguments)


@pytest.mark.parametrize(
    ("scene", "message"),
    [
        (Scene("pink", (BALL,)), "got background 'pink', expected one of red"),
        (Scene("white", (SceneObject("huge", "red", "ring", 16, 16),)), "got size 'huge'"),
        (Scene("white", (BALL, BALL)), "has 2 objects, expected 1"),
        (Scene("white", (BALL, BALL), "behind"), f"expected one of {', '.join(RELATIONS)}"),
    ],
)
def test_scenes_that_cannot_be_drawn_are_explained(scene, message):
    with pytest.raises(ValueError, match=message):
        scenes.draw([scene])

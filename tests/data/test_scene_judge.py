"""Judging: attribute by attribute, and only what the caption says."""

import numpy as np
import pytest

from minigen.data import scenes
from minigen.data.scene_judge import compare, read_caption, summary
from minigen.data.scene_parser import judge, judge_many, parse
from minigen.data.scenes import Scene, SceneObject

BALL = SceneObject("large", "red", "circle", 16.0, 16.0)
ALONE = Scene("white", (BALL,))
PAIR = Scene(
    "white",
    (
        SceneObject("large", "red", "circle", 8.5, 16.0),
        SceneObject("small", "blue", "square", 23.5, 16.0),
    ),
    "left of",
)


@pytest.mark.parametrize(
    "text",
    [
        "a large red circle on a white background",
        "A RED CIRCLE.",
        "a circle",
        "a large circle on a white background",
    ],
)
def test_what_a_caption_leaves_out_is_not_judged(text):
    judgement = judge(scenes.draw_one(ALONE), text)
    assert judgement.all_right
    assert judgement.relation is None
    assert (judgement.background is None) == ("background" not in text)
    assert (judgement.colour is None) == ("red" not in text.lower())


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("a small red circle on a white background", "size"),
        ("a large blue circle on a white background", "colour"),
        ("a large red ring on a white background", "shape"),
        ("a large red circle on a black background", "background"),
    ],
)
def test_one_wrong_attribute_is_found(text, wrong):
    judgement = compare(ALONE, text)
    assert not judgement.all_right
    for name in ("size", "colour", "shape", "background"):
        assert getattr(judgement, name) is (name != wrong)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("a red circle left of a blue square", True),
        ("a blue square right of a red circle", True),
        ("a red circle right of a blue square", False),
        ("a blue square left of a red circle", False),
        ("a red circle above a blue square", False),
        ("a red circle below a blue square", False),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_a_relation_is_judged_in_both_wordings(text, holds, turned):
    scene = Scene("white", PAIR.objects[::-1], "right of") if turned else PAIR
    judgement = compare(scene, text)
    assert judgement.relation is holds
    assert judgement.all_right is holds
    assert judgement.colour
    assert judgement.shape


def test_colours_that_changed_places_are_wrong():
    judgement = compare(PAIR, "a blue circle left of a red square")
    assert not judgement.all_right
    assert (judgement.colour, judgement.shape, judgement.relation) == (False, True, True)


@pytest.mark.parametrize(
    ("scene", "text"), [(PAIR, "a red circle"), (ALONE, "a red circle left of a blue square")]
)
def test_a_wrong_number_of_objects_is_wrong(scene, text):
    judgement = compare(scene, text)
    assert not judgement.count
    assert not judgement.all_right


def test_a_picture_without_a_scene_has_everything_wrong():
    judgement = judge(np.zeros((32, 32, 3), np.uint8), "a red circle on a white background")
    assert judgement.seen is None
    assert not judgement.all_right
    assert judgement.colour is judgement.shape is judgement.background is False
    assert judgement.size is None


def test_true_captions_are_right_whatever_they_leave_out(rng):
    images, captions = scenes.sample_batch(
        200, rng, held_out="any", drop_size=0.5, drop_background=0.5
    )
    assert all(judgement.all_right for judgement in judge_many(images, captions))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "red circle",
        "a red",
        "a pink circle",
        "a red circle near a ring",
        "a circle a ring",
    ],
)
def test_texts_that_are_no_captions_are_refused(text):
    with pytest.raises(ValueError, match="expected a caption like"):
        read_caption(text)


def test_the_summary_counts_what_was_judged():
    judgements = [
        compare(ALONE, "a large red circle"),
        compare(ALONE, "a blue circle"),
        compare(None, "a ring"),
        compare(PAIR, "a red circle left of a ring"),
    ]
    assert summary(judgements) == {
        "all_right": 0.25,
        "readable": 0.75,
        "count": 0.75,
        "colour": 2 / 3,
        "shape": 0.5,
        "size": 1.0,
        "relation": 1.0,
    }


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="got 1 pictures and 2 captions"):
        judge_many(scenes.draw([ALONE]), ["a ring", "a ring"])
    with pytest.raises(ValueError, match="expected at least one"):
        summary([])


def test_a_reading_compares_like_the_scene_it_was_drawn_from():
    text = "a small blue square right of a large red circle on a white background"
    assert compare(parse(scenes.draw_one(PAIR)), text).all_right

"""A scene is the same by count, shape and place; its colours are told beside."""

from dataclasses import replace

import numpy as np
import pytest

from minigen.data.scene_parser import parse_many
from minigen.data.scene_styles import STYLES, draw_styled
from minigen.data.scenes import Scene, SceneObject, sample_columns, to_scenes
from minigen.metrics.scene_agreement import WITHIN, scene_agreement

ONE = SceneObject("small", "red", "circle", 8.5, 16.0)
TWO = SceneObject("large", "blue", "ring", 23.5, 16.0)
PAIR = Scene("white", (ONE, TWO), "left of")


def of(seen, true=PAIR):
    found = scene_agreement([seen], [true])
    return "".join(name[0] for name in ("count", "shape", "place") if found[name][0]), bool(
        found["colour"][0]
    )


@pytest.mark.parametrize(
    ("seen", "right"),
    [
        (PAIR, ("csp", True)),
        (Scene("white", (TWO, ONE), "right of"), ("csp", True)),
        (Scene("white", (replace(ONE, size="large"), TWO), "left of"), ("csp", True)),
        (Scene("black", (ONE, TWO), "left of"), ("csp", False)),
        (Scene("white", (replace(ONE, colour="green"), TWO), "left of"), ("csp", False)),
        (Scene("white", (replace(ONE, shape="square"), TWO), "left of"), ("cp", True)),
        (Scene("white", (replace(ONE, x=8.5 + WITHIN), TWO), "left of"), ("csp", True)),
        (Scene("white", (replace(ONE, y=16.1 + WITHIN), TWO), "left of"), ("cs", True)),
        (Scene("white", (ONE, TWO), "above"), ("cs", True)),
        (Scene("white", (TWO, ONE), "left of"), ("c", False)),
        (Scene("white", (ONE,)), ("", False)),
        (None, ("", False)),
    ],
)
def test_what_agrees_is_what_is_alike(seen, right):
    assert of(seen) == right


def test_all_is_count_and_shape_and_place():
    seen = [PAIR, Scene("white", (ONE,)), replace(PAIR, background="red")]
    assert list(scene_agreement(seen, [PAIR] * 3)["all"]) == [True, False, True]


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
def test_true_scenes_of_each_style_agree_and_no_style_is_the_other(style, rng):
    columns = sample_columns(24, rng)
    true = to_scenes(columns)
    for other in STYLES.values():
        seen = parse_many(draw_styled(columns, other), nearest=True, style=style)
        right = scene_agreement(seen, true)
        assert right["all"].mean() == 1 if other is style else right["all"].mean() < 0.7
        assert right["colour"].mean() == 1 if other is style else right["colour"].mean() < 0.4


def test_as_many_were_seen_as_there_are():
    with pytest.raises(ValueError, match="1 scenes were seen in 2 pictures"):
        scene_agreement([PAIR], [PAIR, PAIR])
    assert np.array_equal(scene_agreement([], [])["all"], np.zeros(0, bool))

"""Twins of scenes: each caption is true of its own picture and not of its twin's."""

from collections import Counter

import numpy as np
import pytest

from minigen.data.scene_parser import judge_many
from minigen.data.scene_twins import CHANGES, sample_with_twins, turned, twins_of
from minigen.data.scenes import HELD_OUT_PAIRS, sample_batch, sample_columns, to_scenes


def test_a_caption_is_true_of_its_picture_and_not_of_the_twin(rng):
    pictures, captions = sample_with_twins(120, rng)
    assert pictures.shape == (120, 32, 32, 3)
    assert all(judgement.all_right for judgement in judge_many(pictures, captions))
    order = np.arange(120) ^ 1  # 1, 0, 3, 2, ...
    assert not any(judgement.all_right for judgement in judge_many(pictures[order], captions))


def test_twins_differ_in_one_thing(rng):
    columns = sample_columns(400, rng)
    twins, change, slot = twins_of(columns, rng)
    for name in ("background", "relation", "colour", "shape", "size"):
        here = getattr(columns, name) != getattr(twins, name)
        np.testing.assert_array_equal(
            here.reshape(400, -1).sum(axis=1), change == CHANGES.index(name)
        )
    moved = (columns.x != twins.x).any(axis=1)
    np.testing.assert_array_equal(moved, change == CHANGES.index("relation"))
    assert set(slot[columns.relation < 0]) == {0}


def test_everything_is_changed_now_and_then(rng):
    changes = Counter(twins_of(sample_columns(2000, rng, pairs=1), rng)[1].tolist())
    assert all(changes[k] > 200 for k in range(len(CHANGES)))


def test_no_twin_is_of_a_pair_that_training_never_shows(rng):
    twins = twins_of(sample_columns(3000, rng), rng)[0]
    shown = {(thing.colour, thing.shape) for scene in to_scenes(twins) for thing in scene.objects}
    assert not shown & set(HELD_OUT_PAIRS)
    assert len(shown) == 42


def test_twins_have_three_colours_that_differ(rng):
    for scene in to_scenes(twins_of(sample_columns(500, rng), rng)[0]):
        colours = [scene.background, *(thing.colour for thing in scene.objects)]
        assert len(set(colours)) == len(colours)


def test_a_caption_turned_twice_is_the_caption(rng):
    for caption in sample_batch(100, rng, pairs=1)[1]:
        assert turned(turned(caption)) == caption != turned(caption)
    assert turned("a red circle") is None


@pytest.mark.parametrize("n", [1, 2, 7])
def test_there_are_as_many_as_asked(n, rng):
    pictures, captions = sample_with_twins(n, rng)
    assert len(pictures) == len(captions) == n

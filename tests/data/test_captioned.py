"""Captioned pictures from one place, and the null prompt."""

import numpy as np
import pytest

from minigen.data.captioned import captioned, drop_prompts


def test_pictures_come_with_the_captions_that_are_true_of_them(rng):
    from minigen.data.scene_parser import judge_many

    pictures, captions = captioned("scenes").draw(50, rng)
    assert (pictures.shape, pictures.dtype) == ((50, 32, 32, 3), np.uint8)
    assert all(judgement.all_right for judgement in judge_many(pictures, captions))


def test_captions_become_rows_of_one_length(rng):
    data = captioned("scenes")
    words = data.encode(data.draw(20, rng)[1])
    assert words.shape == (20, data.caption_length)
    assert words.max() < len(data.words)
    assert data.encode(data.shown).any(axis=1).all()


def test_prompts_are_dropped_as_often_as_asked_and_whole(rng):
    words = np.full((4000, 3), 5)
    dropped = drop_prompts(words, 0.25, rng)
    assert set(dropped.sum(axis=1)) == {0, 15}
    assert np.mean(dropped[:, 0] == 0) == pytest.approx(0.25, abs=0.03)
    assert (words == 5).all()


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_that_is_none_is_refused(share, rng):
    with pytest.raises(ValueError, match=f"share is {share}, expected 0 to 1"):
        drop_prompts(np.ones((1, 2), int), share, rng)


def test_another_source_is_refused():
    with pytest.raises(ValueError, match="got 'photos', expected scenes or art"):
        captioned("photos")

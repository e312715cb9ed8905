"""Obedience to captions of scenes: true pictures are right, those of other captions are not."""

import numpy as np
import pytest

from minigen.data.scenes import sample_batch
from minigen.metrics.obedience import KINDS, scene_obedience


@pytest.mark.parametrize(("shift", "score"), [(0, 1.0), (1, 0.0)])
def test_true_pictures_score_one_and_those_of_other_captions_zero(shift, score):
    again, drawn = np.random.default_rng(5), {}
    for pairs, held_out in KINDS.values():
        pictures, captions = sample_batch(
            20, again, pairs=pairs, held_out=held_out, drop_size=0, drop_background=0
        )
        drawn |= dict(zip(captions, pictures))

    def paint(captions):
        return np.roll(np.stack([drawn[caption] for caption in captions]), shift, axis=0)

    scores = scene_obedience(paint, 20, np.random.default_rng(5))
    for share in ("exactly right", "named right"):
        assert [scores[f"{kind}: {share}"] for kind in KINDS] == [score] * 4

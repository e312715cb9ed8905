"""Novelty: copies are found, new pictures are not, and the closest pairs are shown."""

import numpy as np
import pytest

from minigen.metrics.novelty import closest_pairs, diversity, novelty

D = 16


def features(n, seed, mean=0.0):
    return mean + np.random.default_rng(seed).standard_normal((n, D))


TRAINING, HELD_OUT = features(2000, 0), features(500, 1)


def test_copies_are_memorised_and_new_pictures_are_not():
    copies = novelty(TRAINING[::5], TRAINING, HELD_OUT)
    assert (copies.memorised.value, copies.nearness) == (1.0, 0.0)
    new = novelty(features(400, 2), TRAINING, HELD_OUT)
    assert new.memorised.value <= 0.01
    assert new.floor.value <= 0.01
    assert new.nearness == pytest.approx(1, abs=0.05)


def test_the_share_of_copies_is_measured():
    mixed = np.concatenate([TRAINING[:100] + 1e-3, features(300, 2)])
    found = novelty(mixed, TRAINING, HELD_OUT)
    assert found.memorised.value == pytest.approx(0.25, abs=0.01)
    assert found.memorised.error == pytest.approx((0.25 * 0.75 / 400) ** 0.5, rel=0.05)


def test_strange_pictures_are_far_from_the_training_set():
    assert novelty(features(100, 2, mean=5.0), TRAINING, HELD_OUT).nearness > 3


def test_held_out_pictures_measured_by_themselves_are_at_the_floor():
    found = novelty(HELD_OUT, TRAINING, HELD_OUT)
    assert found.memorised.value == found.floor.value
    assert found.nearness == 1


def test_nearest_training_pictures_are_told():
    found = novelty(TRAINING[[7, 3]] + 1e-6, TRAINING, HELD_OUT)
    assert list(found.places) == [7, 3]
    np.testing.assert_allclose(found.distances, 1e-6 * D**0.5, rtol=1e-2)


def test_only_memorising_is_remarked():
    (remark,) = novelty(TRAINING[::2], TRAINING, HELD_OUT).remarks()
    assert remark.startswith("memorising: 100.0 % of the samples are copies")
    assert novelty(features(400, 2), TRAINING, HELD_OUT).remarks() == ()


def test_diversity_is_the_spread_beside_that_of_real_pictures():
    assert diversity(3 * TRAINING, TRAINING) == pytest.approx(3)
    assert diversity(features(2000, 5), TRAINING) == pytest.approx(1, abs=0.03)
    assert diversity(np.ones((10, D)), TRAINING) == 0


def test_diversity_is_measured_by_the_distance_of_pairs():
    pairs = np.linalg.norm(HELD_OUT[:, None] - HELD_OUT, axis=-1)[np.triu_indices(500, 1)]
    two = np.zeros((2, D))
    two[0, 0] = 5.0  # the only distance between real pictures
    assert diversity(HELD_OUT, two) == pytest.approx((pairs**2).mean() ** 0.5 / 5)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_closest_pairs_stand_above_each_other(channels):
    rng = np.random.default_rng(0)
    training = rng.integers(0, 256, (2000, 4, 5, channels)).astype(np.uint8)
    samples = np.stack([training[9] + 1, training[8], training[7] + 1])
    found = novelty(TRAINING[[9, 8, 7]] + np.array([[0.3], [0.0], [0.1]]), TRAINING, HELD_OUT)
    sheet = closest_pairs(samples, training, found, n=2)
    assert sheet.shape == (2 * 4 + 2, 2 * 5 + 2, 3)
    shown = [sheet[:4, :5], sheet[6:, :5], sheet[:4, 7:], sheet[6:, 7:]]
    for tile, picture in zip(shown, [samples[1], training[8], samples[2], training[7]]):
        assert np.array_equal(tile, np.broadcast_to(picture, (4, 5, 3)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: novelty(TRAINING[:0], TRAINING, HELD_OUT), "0, 2000 and 500 pictures"),
        (lambda: novelty(HELD_OUT, TRAINING, HELD_OUT, ratio=0), "ratio is 0"),
        (lambda: novelty(HELD_OUT, TRAINING, TRAINING[:50]), "are in the training set"),
        (lambda: diversity(HELD_OUT[:1], HELD_OUT), r"\(1, 16\) and \(500, 16\)"),
        (lambda: diversity(HELD_OUT, np.ones((5, D))), "all alike"),
        (
            lambda: closest_pairs(
                np.zeros((1, 2, 2, 1)), None, novelty(HELD_OUT, TRAINING, HELD_OUT)
            ),
            "1 samples, but 500 distances",
        ),
    ],
)
def test_wrong_sets_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""Distances of translated pictures, and the guesses beside them, by hand."""

import numpy as np
import pytest

from minigen.metrics.translated import guesses, judge_pairs


def flat(*greys, colours=1):
    """Pictures of 2 x 2 pixels of one grey each."""
    return np.float32(greys).reshape(-1, 1, 1, 1) * np.ones((1, 2, 2, colours), np.float32)


TRAIN = flat(-1, 0, 1), flat(-0.6, 0.3, 0.9, colours=3)


def test_the_guesses_are_what_they_are_called():
    found = guesses(flat(0.2, 0.9), TRAIN)
    greys = {name: list(np.round(x[:, 0, 0, 0], 6)) for name, x in found.items()}
    assert greys == {
        "input": [0.2, 0.9],
        "mean": [0.2, 0.2],
        "nearest": [0.3, 0.9],
        "nearest, under the lines": [0.2, 0.9],
    }
    assert {x.shape for x in found.values()} == {(2, 2, 2, 3)}


def test_coloured_inputs_are_no_lines_over_a_guess():
    train = TRAIN[0].repeat(3, axis=-1), TRAIN[1]
    found = guesses(flat(-0.9, colours=3), train)
    assert {name: round(float(x.mean()), 6) for name, x in found.items()} == {
        "input": -0.9,
        "mean": 0.2,
        "nearest": -0.6,
    }


def doubled(x):
    return 2 * x.reshape(len(x), -1)


def test_distances_are_their_formulas():
    made, test = flat(0.5, -0.5, colours=3), (flat(0, 0), flat(0.1, -0.2, colours=3))
    report = judge_pairs(made, test, TRAIN, {"features": doubled})
    assert float(report.numbers["L1"]) == pytest.approx((0.4 + 0.3) / 2)
    assert float(report.numbers["features"]) == pytest.approx(0.4 + 0.3)
    assert float(report.numbers["L1, input"]) == pytest.approx((0.1 + 0.2) / 2)
    assert float(report.numbers["features, nearest"]) == pytest.approx(0.2 + 0.5)
    assert float(report.numbers["L1 over the best guess"]) == pytest.approx(0.35 / 0.15)
    assert len(report.remarks) == 2


def test_the_truth_is_at_no_distance_and_calls_for_no_remark():
    test = flat(0, 0.5), flat(0.1, -0.2, colours=3)
    report = judge_pairs(test[1], test, TRAIN, {"features": doubled})
    assert float(report.numbers["L1"]) == float(report.numbers["features"]) == 0
    assert report.remarks == ()


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 2, 2, 3\) were made, true ones are \(1, 2, 2, 3\)"):
        judge_pairs(flat(1, 2, colours=3), (flat(0), flat(0, colours=3)), TRAIN, {})

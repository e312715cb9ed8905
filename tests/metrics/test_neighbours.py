"""Precision, recall, density and coverage count what their formulas say, and see what is wrong."""

import numpy as np
import pytest

from minigen.metrics.neighbours import (
    density_coverage,
    expected_coverage,
    nearest,
    precision_recall,
    radii,
)


def modes(rng, n, centres=10, width=8):
    """n samples of a mixture: every centre in turn, far from the others."""
    places = 20 * np.random.default_rng(5).standard_normal((10, width))
    return places[np.arange(n) % centres] + rng.standard_normal((n, width))


def scores(real, painted):
    found = precision_recall(real, painted) | density_coverage(real, painted)
    return {name: measured.value for name, measured in found.items()}


def test_the_nearest_are_those_with_the_smallest_distances(rng):
    x, among = rng.standard_normal((300, 4)), rng.standard_normal((50, 4))
    places, distances = nearest(x, among, k=3)
    true = np.linalg.norm(x[:, None] - among, axis=2)
    assert np.array_equal(places, np.argsort(true, axis=1)[:, :3])
    assert np.allclose(distances, np.sort(true, axis=1)[:, :3])


def test_a_copy_is_its_own_nearest_neighbour(rng):
    x = rng.standard_normal((20, 4))
    places, distances = nearest(x[:5], x)
    assert places[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert distances.max() < 1e-6


def test_all_four_are_what_their_formulas_say(rng):
    x, y, k = rng.standard_normal((30, 2)), rng.standard_normal((20, 2)) + 0.5, 3
    r, s = (
        [sorted(np.linalg.norm(z - a, axis=1))[k] ** 2 for a in z] for z in (x, y)
    )  # place 0 is a itself
    assert np.allclose(radii(x, k), r)
    in_x = [[((a - b) ** 2).sum() <= r[i] for i, a in enumerate(x)] for b in y]  # (M, N)
    in_y = [[((a - b) ** 2).sum() <= s[j] for j, b in enumerate(y)] for a in x]  # (N, M)
    found = precision_recall(x, y, k) | density_coverage(x, y, k)
    assert found["precision"].value == np.mean([any(row) for row in in_x])
    assert found["recall"].value == np.mean([any(row) for row in in_y])
    assert found["density"].value == pytest.approx(np.sum(in_x) / (k * 20))
    assert found["coverage"].value == np.mean([any(column) for column in zip(*in_x)])
    assert found["coverage"].of == "n = 30, k = 3"


@pytest.mark.parametrize(("n", "m"), [(40, 40), (30, 60)])
def test_of_one_distribution_density_is_one_and_coverage_as_expected(rng, n, m):
    found = [
        density_coverage(rng.standard_normal((n, 3)), rng.standard_normal((m, 3)))
        for _ in range(300)
    ]
    for name, expected in {"density": 1.0, "coverage": expected_coverage(n, m)}.items():
        values = [f[name].value for f in found]
        assert abs(np.mean(values) - expected) < 4 * np.std(values) / 300**0.5


def test_another_draw_of_the_same_modes_is_near_perfect(rng):
    found = scores(modes(rng, 600), modes(rng, 600))
    assert min(found["precision"], found["recall"]) > 0.8
    assert found["coverage"] == pytest.approx(expected_coverage(600, 600), abs=0.03)
    assert found["density"] == pytest.approx(1, abs=0.1)


def test_dropped_modes_cost_recall_and_coverage_not_precision(rng):
    all_modes = scores(modes(rng, 600), modes(rng, 600))
    half = scores(modes(rng, 600), modes(rng, 600, centres=5))
    assert half["precision"] > all_modes["precision"] - 0.05
    assert half["recall"] < 0.55
    assert half["coverage"] < 0.55


def test_junk_costs_precision_and_density_not_recall_or_coverage(rng):
    real, painted = modes(rng, 600), modes(rng, 600)
    junk = np.concatenate([painted, 200 * rng.standard_normal((200, 8)) + 500])
    clean, dirty = scores(real, painted), scores(real, junk)
    for name in ("precision", "density"):
        assert dirty[name] == pytest.approx(0.75 * clean[name], rel=0.02)
    assert dirty["recall"] >= clean["recall"]
    assert dirty["coverage"] == clean["coverage"]


def test_one_true_stray_vouches_for_junk_in_precision_but_hardly_in_density(rng):
    real = np.concatenate([modes(rng, 600), np.full((1, 8), 300.0)])
    painted = rng.standard_normal((100, 8)) * 20 + 250
    found = scores(real, painted)
    assert found["precision"] > 0.9
    assert found["density"] < 0.25


def test_wrong_numbers_are_refused(rng):
    x = np.zeros((5, 3))
    with pytest.raises(ValueError, match="k is 6, expected 1 to 5"):
        nearest(x, x, k=6)
    with pytest.raises(ValueError, match="k is 5, expected 1 to 4"):
        precision_recall(x, x, k=5)
    with pytest.raises(ValueError, match=r"features are \(5, 3\) and \(5, 2\)"):
        density_coverage(x, x[:, :2])

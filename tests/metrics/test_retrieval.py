"""Retrieval among many: right answers both ways, ties, chance; a loss that stands at a guess."""

import numpy as np
import pytest

from minigen.metrics.retrieval import AT_GUESS, PATIENCE, AtGuess, found, names_found, retrieval


def by_the_definition(similarity):
    right = []
    for n, row in enumerate(similarity):
        others = [s for m, s in enumerate(row) if m != n]
        right.append(all(row[n] > s for s in others))
    return right


def test_found_is_larger_than_all_others(rng):
    similarity = rng.integers(0, 12, (40, 40)).astype(float)
    similarity[np.diag_indices(40)] += 4
    assert found(similarity).tolist() == by_the_definition(similarity)
    assert 0 < found(similarity).sum() < 40


def test_a_network_that_says_the_same_to_everything_finds_nothing():
    scores = retrieval([np.ones((100, 100))])
    assert float(scores["caption of a picture found"]) == 0
    assert float(scores["picture of a caption found"]) == 0


def test_noise_finds_as_many_as_chance(rng):
    scores = retrieval([rng.standard_normal((100, 100)) for _ in range(60)])
    chance = scores["chance"]
    assert float(chance) == 1
    for way in ("caption of a picture", "picture of a caption"):
        score = scores[f"{way} found"]
        assert abs(float(score) - 1) < 4 * score.error


def test_both_ways_are_told_apart():
    similarity = np.array([[1.0, 0.0, 0.0], [2.0, 1.5, 0.0], [0.0, 0.0, 1.0]])
    scores = retrieval([similarity], "a kind")
    assert float(scores["a kind: caption of a picture found"]) == pytest.approx(200 / 3)
    assert float(scores["a kind: picture of a caption found"]) == pytest.approx(200 / 3)
    assert found(similarity).tolist() == [True, False, True]
    assert found(similarity.T).tolist() == [False, True, True]


def test_a_matrix_that_is_not_square_is_refused():
    with pytest.raises(ValueError, match=r"similarity is \(2, 3\), expected \(N, N\)"):
        found(np.zeros((2, 3)))


def test_a_name_is_found_where_its_picture_fits_it_best():
    def paint(names):  # a painter that knows even numbers only
        return np.array([int(name) // 2 * 2 for name in names])

    def score(pictures, names):
        return -abs(pictures[:, None] - np.array([int(name) for name in names])[None]).astype(float)

    right = names_found(paint, score, [str(k) for k in range(25)], among=10)
    assert right.tolist() == [k % 2 == 0 for k in range(20)]
    assert names_found(paint, score, ["4", "2", "3"], among=10).tolist() == [True, True, False]


def test_a_loss_that_stands_at_a_guess_is_told_after_a_while():
    diagnose, guess = AtGuess(), np.log(64)
    said = [diagnose({"loss": guess, "guess": guess}, None) for _ in range(PATIENCE)]
    assert not any(said[:-1])
    assert "ln(batch)" in said[-1][0]
    assert diagnose({"loss": 0.9 * AT_GUESS * guess, "guess": guess}, None) == []


def test_a_loss_that_falls_or_no_loss_is_not_told():
    diagnose, guess = AtGuess(), np.log(64)
    losses = [guess] * (PATIENCE - 1) + [0.5 * guess] + [guess] * (PATIENCE - 1)
    assert not any(diagnose({"loss": loss, "guess": guess}, None) for loss in losses)
    assert not any(diagnose({}, np.zeros((2, 4, 4, 3), np.uint8)) for _ in range(2 * PATIENCE))


def test_captions_of_other_pictures_are_noticed(rng):
    """The planted case: pictures that have nothing to do with their captions."""
    from minigen.models.text_to_image.clip import CLIP, CLIPConfig, loss
    from minigen.optim import Adam

    model = CLIP(CLIPConfig(50, 1, 8, 4, 8, 16, 1, 1, 2, 8), rng=rng)
    adam, diagnose, said = Adam(model.named_parameters(), 1e-3), AtGuess(), []
    for _ in range(5 * PATIENCE):
        adam.zero_grad()
        x = rng.standard_normal((16, 8, 8, 3)).astype(np.float32)
        value, numbers = loss(model, x, rng.permutation(49)[:16, None] + 1)
        value.backward()
        adam.step()
        said += diagnose({"loss": value.item(), **numbers}, None)
    assert said

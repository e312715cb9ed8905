"""Parti: codes after codes that see the caption, and the best of several pictures."""

import itertools

import numpy as np
import pytest
from every_picture import fit, shaken

from minigen import Tensor
from minigen.autograd import no_grad
from minigen.models.text_to_image.parti import (
    Parti,
    PartiConfig,
    best_of,
    log_prob,
    loss,
    sample,
)
from minigen.parallel import one_blas_thread

TINY = PartiConfig(3, 2, 8, 1, grid=(2, 2), codes=3, width=8, layers=2, heads=2)


class Table:
    """A tokeniser without weights: each code is a grey, and back."""

    def tokenise(self, x):
        return np.rint(x[..., 0] + 1).astype(np.int64)

    def decode(self, codes):
        return Tensor((codes[..., None] - 1).astype(np.float32))


def tiny(config=TINY, seed=0):
    return Parti(config, Table(), rng=np.random.default_rng(seed))


def rows(n, choices):
    """All rows of n numbers below `choices`."""
    return np.array(list(itertools.product(range(choices), repeat=n)))


def test_probabilities_of_all_pictures_sum_to_1_whatever_the_caption():
    model, codes = shaken(tiny()), rows(4, 3).reshape(-1, 2, 2)
    for words in ([0, 0], [1, 0], [2, 1]):
        p = np.exp(log_prob(model, np.tile(words, (81, 1)), codes).numpy())
        assert p.sum() == pytest.approx(1, abs=1e-10)


def test_a_code_changes_all_logits_after_it_and_none_before():
    model, codes = shaken(tiny()), np.array([0, 1, 2, 1])
    words = np.array([[1, 2]])
    with no_grad():
        before = model(words, codes[None]).numpy()[0]
        for place in range(4):
            other = codes.copy()
            other[place] = (codes[place] + 1) % 3
            moved = np.abs(model(words, other[None]).numpy()[0] - before).max(axis=-1)
            assert (moved[: place + 1] == 0).all()
            assert (moved[place + 1 :] > 1e-9).all()


@pytest.mark.parametrize("other", [[2, 1], [1, 1], [1, 0], [0, 0]], ids=str)
def test_each_word_and_its_place_reach_each_code(other):
    model, codes = shaken(tiny()), np.array([[0, 1, 2, 1]])
    with no_grad():
        moved = model(np.array([[1, 2]]), codes).numpy() - model(np.array([other]), codes).numpy()
    assert (np.abs(moved).max(axis=-1) > 1e-6).all()


def test_the_cache_changes_no_bit_and_is_the_forward_pass(rng):
    model = shaken(tiny(), size=0.1)
    words, codes = rng.integers(0, 3, (5, 2)), rng.integers(0, 3, (5, 4))
    cache = model.cache(words)
    with no_grad():
        at_once = model(words, codes).numpy()
        for i in range(4):
            kept = model.next_logits(codes[:, :i], cache).numpy()
            anew = model.next_logits(codes[:, :i], model.cache(words)).numpy()
            assert kept.tobytes() == anew.tobytes()
            np.testing.assert_allclose(kept, at_once[:, i], rtol=0, atol=1e-12)


def test_the_loss_is_the_probability_a_code(rng):
    model = shaken(tiny())
    words, codes = rng.integers(0, 3, (4, 2)), rng.integers(0, 3, (4, 2, 2))
    total, numbers = loss(model, model.autoencoder.decode(codes).data, words)
    expected = -log_prob(model, words, codes).numpy().mean() / 4
    assert total.item() == pytest.approx(expected)
    assert numbers["codes_loss"] == total.item()


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_pictures_are_drawn_as_often_as_their_probability_says(scale):
    """With guidance: token by token, with the product of powers."""
    config = PartiConfig(3, 2, 8, 1, grid=(1, 2), codes=3, width=8, layers=2, heads=2)
    model, n = shaken(tiny(config)), 6_000
    words, codes = np.array([[2, 1]]), rows(2, 3)
    pictures = sample(model, np.tile(words, (n, 1)), np.random.default_rng(0), guidance_scale=scale)
    drawn = model.autoencoder.tokenise(pictures).reshape(n, 2)
    found = np.bincount(drawn @ [3, 1], minlength=9) / n
    with no_grad():
        told = model(np.tile(words, (9, 1)), codes).numpy()
        untold = model(np.zeros((9, 2), int), codes).numpy()
    logits = untold + scale * (told - untold)
    p = np.exp(logits - logits.max(axis=-1, keepdims=True))
    p = np.take_along_axis(p / p.sum(-1, keepdims=True), codes[..., None], 2)[..., 0].prod(axis=1)
    assert (np.abs(found - p) <= 4.5 * np.sqrt(p * (1 - p) / n) + 3 / n).all()


def test_it_learns_eight_captioned_pictures_and_reads_the_captions():
    rng = np.random.default_rng(0)
    config = PartiConfig(3, 3, 16, 1, grid=(4, 4), codes=3, width=32, layers=2, heads=2)
    model, words = tiny(config), rows(3, 2) + 1
    x = model.autoencoder.decode(rng.integers(0, 3, (8, 4, 4))).data
    with one_blas_thread():
        fit(model, lambda: loss(model, x, words)[0], steps=120, lr=0.01)
    assert loss(model, x, words)[0].item() < 0.02
    assert loss(model, x, words[::-1])[0].item() > 0.5  # another's captions
    np.testing.assert_array_equal(sample(model, words, rng), x)


def test_every_weight_gets_a_gradient(rng):
    model = shaken(tiny())
    x = model.autoencoder.decode(rng.integers(0, 3, (8, 2, 2))).data
    loss(model, x, rng.integers(0, 3, (8, 2)))[0].backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.data.any()] == []


# ---------------------------------------------------------------------------------- the best of few


def test_the_best_of_few_is_the_one_with_the_highest_score(rng):
    drawn = rng.integers(0, 256, (5, 3, 2, 2, 1)).astype(np.uint8)  # 5 candidates of 3 captions
    calls = iter(drawn)
    best = best_of(lambda captions: next(calls), brightness, ["a", "b", "c"], 5)
    expected = drawn[brightness(drawn.reshape(15, 2, 2, 1)).reshape(5, 3).argmax(axis=0), range(3)]
    np.testing.assert_array_equal(best, expected)


def brightness(pictures, captions=None):
    return pictures.mean(axis=(1, 2, 3))


def test_one_candidate_is_not_judged():
    best_of(lambda captions: np.zeros((1, 2, 2, 1)), lambda *_: pytest.fail("judged"), ["a"], 1)


def test_a_judge_that_gives_no_score_for_each_picture_is_told():
    paint = lambda captions: np.zeros((2, 2, 2, 1))  # noqa: E731
    with pytest.raises(ValueError, match=r"scores of shape \(1,\), expected 2 finite numbers"):
        best_of(paint, lambda x, c: np.zeros(1), ["a", "b"], 2)
    with pytest.raises(ValueError, match="candidates is 0, expected 1 or more"):
        best_of(paint, brightness, ["a", "b"], 0)

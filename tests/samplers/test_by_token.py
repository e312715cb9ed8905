"""Drawing tokens in turn: guidance on logits, temperature, the likeliest only."""

import numpy as np
import pytest

from minigen.samplers.by_token import doubled, draw_in_turn, guided_logits

N, V = 20_000, 4
WITH, WITHOUT = np.log([0.1, 0.2, 0.3, 0.4]), np.log([0.4, 0.3, 0.2, 0.1])


def constant(before):
    """The same logits at each place: in the lower half of a doubled batch others."""
    half = np.arange(len(before)) < N
    return np.where(half[:, None], WITH, WITHOUT)


def shares(**settings):
    tokens = draw_in_turn(constant, N, 1, np.random.default_rng(0), **settings)
    return np.bincount(tokens[:, 0], minlength=V) / N


def test_guidance_1_draws_from_the_conditional_and_asks_for_nothing_else():
    np.testing.assert_allclose(shares(), np.exp(WITH), atol=0.02)


def test_guidance_0_draws_without_the_prompt():
    np.testing.assert_allclose(shares(guidance_scale=0.0), np.exp(WITHOUT), atol=0.02)


@pytest.mark.parametrize("scale", [0.5, 2.0, 4.0])
def test_guidance_draws_from_the_product_of_powers(scale):
    p = np.exp(WITH) ** scale * np.exp(WITHOUT) ** (1 - scale)
    np.testing.assert_allclose(shares(guidance_scale=scale), p / p.sum(), atol=0.02)


def test_guidance_is_the_same_for_logits_that_are_shifted(rng):
    both, shift = rng.standard_normal((6, 5)), rng.standard_normal((6, 1))
    difference = guided_logits(both + shift, 3.0) - guided_logits(both, 3.0)
    np.testing.assert_allclose(difference, difference[:, :1].repeat(5, axis=1))


def test_a_low_temperature_and_top_1_draw_the_likeliest():
    assert shares(temperature=1e-3)[3] == 1
    assert shares(top_k=1)[3] == 1


def test_top_k_keeps_the_shares_of_the_likeliest():
    np.testing.assert_allclose(shares(top_k=2), [0, 0, 3 / 7, 4 / 7], atol=0.02)


def test_each_place_is_told_what_was_drawn_before():
    seen, told = [], []

    def count(before):
        seen.append(before.copy())
        return np.where(np.arange(V) == before.shape[1] % V, 0.0, -np.inf)[None].repeat(2, axis=0)

    tokens = draw_in_turn(count, 2, 5, np.random.default_rng(0), callback=told.append)
    np.testing.assert_array_equal(tokens, [[0, 1, 2, 3, 0]] * 2)
    assert [b.shape for b in seen] == [(2, i) for i in range(5)]
    assert told == [0.2, 0.4, 0.6, 0.8, 1.0]


def test_prompts_are_doubled_where_guidance_needs_both():
    words = np.array([[3, 1, 0]])
    np.testing.assert_array_equal(doubled(words, 1), words)
    np.testing.assert_array_equal(doubled(words, 2), [[3, 1, 0], [0, 0, 0]])


def test_what_does_not_fit_is_told(rng):
    with pytest.raises(ValueError, match="logits of 2 rows, expected 4"):
        draw_in_turn(lambda before: np.zeros((2, V)), 2, 1, rng, guidance_scale=2)
    with pytest.raises(ValueError, match="top_k is 5, expected 1 to 4"):
        draw_in_turn(lambda before: np.zeros((2, V)), 2, 1, rng, top_k=5)

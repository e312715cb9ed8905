"""DALL-E: the soft draw and the bound of its autoencoder, and one row of words and codes."""

import itertools

import numpy as np
import pytest
from close import assert_close
from every_picture import fit, shaken

from minigen import Tensor
from minigen.autograd import no_grad
from minigen.gradcheck import gradcheck
from minigen.models.text_to_image.dalle import (
    DALLE,
    Annealing,
    DALLEConfig,
    DiscreteVAE,
    DiscreteVAEConfig,
    annealing,
    autoencoder_loss,
    gumbel_softmax,
    log_prob,
    loss,
    sample,
)
from minigen.optim import AdamW
from minigen.parallel import one_blas_thread

TINY = DALLEConfig(vocabulary=3, caption_length=2, grid=(2, 2), codes=3, width=8, layers=2, heads=2)


class Table:
    """An autoencoder without weights: each code is a grey, and back."""

    def tokenise(self, x):
        return np.rint((x[..., 0] + 1) * 1).astype(np.int64)

    def decode(self, codes):
        return Tensor((codes[..., None] - 1).astype(np.float32))


def tiny(config=TINY, seed=0):
    return DALLE(config, Table(), rng=np.random.default_rng(seed))


def rows(n, choices):
    """All rows of n numbers below `choices`."""
    return np.array(list(itertools.product(range(choices), repeat=n)))


# ------------------------------------------------------------------------------------ one row


def test_probabilities_of_all_pictures_sum_to_1_whatever_the_caption():
    model, codes = shaken(tiny()), rows(4, 3).reshape(-1, 2, 2)
    for words in ([0, 0], [1, 0], [2, 1]):
        of_codes = log_prob(model, np.tile(words, (81, 1)), codes)[1]
        assert np.exp(of_codes.numpy()).sum() == pytest.approx(1, abs=1e-10)


def test_probabilities_of_all_captions_sum_to_1():
    words = rows(2, 3)
    of_words = log_prob(shaken(tiny()), words, np.zeros((9, 2, 2), int))[0]
    assert np.exp(of_words.numpy()).sum() == pytest.approx(1, abs=1e-10)


def test_a_token_changes_all_logits_after_it_and_none_before(rng):
    model = shaken(tiny())
    row = np.array([1, 2, 0, 1, 2, 1])  # two words, then four codes

    def logits(row):
        with no_grad():
            text, picture = model(row[None, :2], row[None, 2:])
        return [*text.numpy()[0], *picture.numpy()[0]]

    before = logits(row)
    for place in range(6):
        other = row.copy()
        other[place] = (row[place] + 1) % 3
        moved = [np.abs(a - b).max() for a, b in zip(logits(other), before)]
        assert max(moved[: place + 1]) == 0
        assert min(moved[place + 1 :], default=1) > 1e-9


def test_the_cache_changes_no_bit_and_is_the_forward_pass(rng):
    model = shaken(tiny(), size=0.1)
    words, codes = rng.integers(0, 3, (5, 2)), rng.integers(0, 3, (5, 4))
    cache = model.cache(5)
    with no_grad():
        at_once = model(words, codes)[1].numpy()
        for i in range(4):
            kept = model.next_logits(words, codes[:, :i], cache).numpy()
            anew = model.next_logits(words, codes[:, :i], model.cache(5)).numpy()
            assert kept.tobytes() == anew.tobytes()
            np.testing.assert_allclose(kept, at_once[:, i], rtol=0, atol=1e-12)


def test_words_that_are_not_there_are_tokens_of_their_own_at_each_place():
    model = shaken(tiny())
    with no_grad():
        read = model.read_words(np.array([[0, 0], [1, 0]])).numpy()
    weights = model.word.weight.numpy(), model.position.weight.numpy()
    np.testing.assert_allclose(read[0], weights[0][[5, 3, 4]] + weights[1])
    np.testing.assert_allclose(read[1], weights[0][[5, 1, 4]] + weights[1])


def test_the_loss_weighs_words_and_codes_by_1_and_7_eighths(rng):
    model = shaken(tiny())
    words, codes = rng.integers(0, 3, (4, 2)), rng.integers(0, 3, (4, 2, 2))
    total, numbers = loss(model, model.autoencoder.decode(codes).data, words)
    of_words, of_codes = (-p.numpy().mean() for p in log_prob(model, words, codes))
    assert numbers["words_loss"] == pytest.approx(of_words / 2)
    assert numbers["codes_loss"] == pytest.approx(of_codes / 4)
    assert total.item() == pytest.approx(of_words / 2 / 8 + 7 * of_codes / 4 / 8)


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_pictures_are_drawn_as_often_as_their_probability_says(scale):
    """With guidance: token by token, with the product of powers."""
    model, n = shaken(tiny(DALLEConfig(3, 2, (1, 2), 3, 8, 2, 2))), 6_000
    words, codes = np.array([[2, 1]]), rows(2, 3).reshape(-1, 1, 2)
    drawn = model.autoencoder.tokenise(
        sample(model, np.tile(words, (n, 1)), np.random.default_rng(0), guidance_scale=scale)
    )
    found = np.bincount(drawn.reshape(n, 2) @ [3, 1], minlength=9) / n
    with no_grad():
        told = model(np.tile(words, (9, 1)), codes)[1].numpy()
        untold = model(np.zeros((9, 2), int), codes)[1].numpy()
    logits = untold + scale * (told - untold)
    p = np.exp(logits - logits.max(axis=-1, keepdims=True))
    p = np.take_along_axis(p / p.sum(-1, keepdims=True), codes.reshape(9, 2, 1), 2)[..., 0].prod(1)
    assert (np.abs(found - p) <= 4.5 * np.sqrt(p * (1 - p) / n) + 3 / n).all()


def test_it_learns_eight_captioned_pictures_and_reads_the_captions():
    rng = np.random.default_rng(0)
    config = DALLEConfig(5, 3, (4, 4), 3, width=32, layers=2, heads=2)
    model, words = tiny(config), rows(3, 2)[:, ::-1] + 1
    x = model.autoencoder.decode(rng.integers(0, 3, (8, 4, 4))).data
    with one_blas_thread():
        fit(model, lambda: loss(model, x, words)[0], steps=120, lr=0.01)
    assert loss(model, x, words)[1]["codes_loss"] < 0.02
    assert loss(model, x, words[::-1])[1]["codes_loss"] > 0.5  # another's captions
    np.testing.assert_array_equal(sample(model, words, rng), x)


def test_captions_of_another_length_are_told():
    with pytest.raises(ValueError, match=r"words are \(1, 3\), expected \(N, 2\)"):
        loss(tiny(), np.zeros((1, 2, 2, 1), np.float32), np.zeros((1, 3), int))


# ----------------------------------------------------------------------------------- autoencoder


def test_the_argmax_of_a_soft_draw_is_a_draw_at_any_temperature(rng):
    logits = np.log([0.1, 0.2, 0.7])
    for tau in (1.0, 1 / 16):
        y = gumbel_softmax(Tensor(np.tile(logits, (20_000, 1))), tau, rng).numpy()
        np.testing.assert_allclose(y.sum(axis=1), 1, atol=1e-6)
        found = np.bincount(y.argmax(axis=1), minlength=3) / 20_000
        np.testing.assert_allclose(found, [0.1, 0.2, 0.7], atol=0.015)


def test_a_soft_draw_hardens_as_the_temperature_falls(rng):
    logits = Tensor(rng.standard_normal((1000, 8)))
    hard = [
        gumbel_softmax(logits, tau, np.random.default_rng(0)).numpy().max(axis=1).mean()
        for tau in (1.0, 0.25, 1 / 16)
    ]
    assert hard[0] < hard[1] < hard[2]
    assert hard[2] > 0.9


def test_the_soft_draw_has_the_gradient_of_its_formula(rng):
    def soft(logits):
        return gumbel_softmax(logits, 0.5, np.random.default_rng(3))

    gradcheck(soft, rng.standard_normal((4, 5)), rng=rng)


def test_the_annealing_goes_from_soft_and_free_to_hard_and_weighed():
    config = DiscreteVAEConfig(tau=1 / 16, beta=6.6, beta_share=0.1)
    assert annealing(config, 0.0) == pytest.approx((1.0, 0.0))
    assert annealing(config, 0.05)[1] == pytest.approx(3.3)
    assert annealing(config, 0.5) == pytest.approx(((1 + 1 / 16) / 2, 6.6))
    assert annealing(config, 1.0) == pytest.approx((1 / 16, 6.6))


def small(seed=0, **settings):
    settings = {"in_channels": 1, "channels": (8, 8), "codes": 6, "code_width": 5} | settings
    return DiscreteVAE(DiscreteVAEConfig(**settings), rng=np.random.default_rng(seed))


def test_the_loss_is_likelihood_and_kl_over_the_numbers_of_a_picture(rng):
    settings = {"beta": 6.6, "beta_share": 1e-9, "deviation": 0.5}
    model, x = shaken(small(**settings), size=0.1), rng.uniform(-1, 1, (2, 8, 8, 1))
    model.annealed.data[...] = 1.0
    total, numbers = autoencoder_loss(model, x, np.random.default_rng(1))
    logits = model.logits(Tensor(x))
    y = gumbel_softmax(logits, 1 / 16, np.random.default_rng(1))
    errors = (model.decoder(y @ model.codebook).numpy() - x) ** 2
    q = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(-1, keepdims=True)
    kl = (q * np.log(6 * q)).sum(-1)
    assert kl.min() >= 0
    assert numbers["kl"] == pytest.approx(kl.mean())
    assert total.item() == pytest.approx((6.6 * kl.sum() + errors.sum() / 0.5) / x.size)


def test_the_likeliest_code_is_the_nearest(rng):
    model, x = shaken(small()), rng.uniform(-1, 1, (2, 8, 8, 1))
    z, e = model.encoder(Tensor(x)).numpy()[..., None, :], model.codebook.numpy()
    distances = ((z - e) ** 2).sum(-1)
    np.testing.assert_array_equal(model.tokenise(x), distances.argmin(-1))
    differences = (model.logits(Tensor(x)).numpy() * 5**0.5 + distances).std(axis=-1)
    np.testing.assert_allclose(differences, 0, atol=1e-9)


def test_every_weight_but_the_annealing_gets_a_gradient(rng):
    model = shaken(small(beta_share=1e-9))
    model.annealed.data[...] = 0.5
    autoencoder_loss(model, rng.uniform(-1, 1, (2, 8, 8, 1)), rng)[0].backward()
    idle = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.data.any()]
    assert idle == ["annealed"]


def test_the_annealing_goes_on_where_it_stood():
    model, other = small(anneal_steps=4), small(anneal_steps=4)
    optimizer = Annealing(model)
    found = [optimizer.step() or float(model.annealed.data) for _ in range(6)]
    assert found == [0.25, 0.5, 0.75, 1, 1, 1]
    again = Annealing(other)
    again.load_state_dict({**optimizer.state_dict(), "steps": np.array(1)})
    again.step()
    assert float(other.annealed.data) == 0.5


def test_the_decoder_of_hard_codes_is_what_stage_two_draws(rng):
    model = small()
    codes = model.tokenise(rng.uniform(-1, 1, (2, 8, 8, 1)).astype(np.float32))
    assert codes.shape == (2, 2, 2)
    x = model.decode(codes).data
    hard = Tensor(np.eye(6, dtype=np.float32)[codes]) @ model.codebook
    assert_close(x, model.decoder(hard).data, terms=100)
    with pytest.raises(ValueError, match="integers from 0 to 5"):
        model.decode(codes + 6)


def test_a_small_autoencoder_learns_eight_pictures_and_uses_its_codes():
    rng = np.random.default_rng(0)
    model = small(channels=(16, 16), codes=32, code_width=8, anneal_steps=120)
    x = np.kron(rng.choice([-1, 1], (8, 4, 4, 1)), np.ones((1, 4, 4, 1))).astype(np.float32)
    learned = [p for n, p in model.named_parameters() if n != "annealed"]
    optimizers = [AdamW(learned, 5e-3), Annealing(model)]
    with one_blas_thread():
        for _ in range(150):
            for optimizer in optimizers:
                optimizer.zero_grad()
            total, numbers = autoencoder_loss(model, x, rng)
            total.backward()
            for optimizer in optimizers:
                optimizer.step()
    with no_grad():
        made = model.decode(model.tokenise(x)).data
    assert ((made - x) ** 2).mean() < 0.02
    assert numbers["perplexity"] > 1.9

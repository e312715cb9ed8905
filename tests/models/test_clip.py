"""CLIP: the loss against its definition, what the towers may see, and that it learns to tell."""

import math

import numpy as np
import pytest
from close import assert_close

from minigen import Tensor
from minigen.autograd import grad, no_grad
from minigen.data.captioned import captioned
from minigen.data.pixels import to_float
from minigen.gradcheck import gradcheck
from minigen.metrics.retrieval import found
from minigen.models.text_to_image.clip import (
    CLIP,
    MAX_SCALE,
    CLIPConfig,
    loss,
    normalise,
    similarity,
    symmetric_cross_entropy,
)
from minigen.optim import Adam
from minigen.parallel import one_blas_thread

DATA = captioned("scenes")
TINY = CLIPConfig(
    vocabulary=len(DATA.words),
    caption_length=DATA.caption_length,
    patch_size=8,
    stem=8,
    width=32,
    image_layers=1,
    text_layers=1,
    heads=2,
    embedding_width=16,
)


def tiny(config=TINY, seed=0):
    return CLIP(config, rng=np.random.default_rng(seed))


def shaken(model, rng):
    """All weights away from 0, in float64."""
    model.astype(np.float64)
    for name, p in model.named_parameters():
        if name != "log_scale":
            p.data += 0.2 * rng.standard_normal(p.shape)
    return model


def batch(rng, n):
    pictures, captions = DATA.draw(n, rng)
    return to_float(pictures), DATA.encode(captions)


# The loss ----------------------------------------------------------------------------------------


def by_the_definition(logits, words):
    """Each row and each column for itself, others of the same words left out."""
    N, total = len(words), 0.0
    for matrix in (logits, logits.T):
        for n in range(N):
            others = [m for m in range(N) if m == n or (words[m] != words[n]).any()]
            total -= matrix[n, n] - math.log(sum(math.exp(matrix[n, m]) for m in others))
    return total / (2 * N)


def test_the_loss_is_that_of_its_definition(rng):
    words = np.array([[1, 0], [2, 1], [1, 0], [0, 0], [2, 2]])
    logits = rng.standard_normal((5, 5)) * 3
    ours = symmetric_cross_entropy(Tensor(logits), words)
    assert ours.item() == pytest.approx(by_the_definition(logits, words), abs=1e-12)


def test_the_same_words_pull_nothing_apart(rng):
    words = np.array([[1, 0], [2, 1], [1, 0]])
    logits = Tensor(rng.standard_normal((3, 3)), requires_grad=True)
    (g,) = grad(symmetric_cross_entropy(logits, words), [logits])
    assert g.numpy()[0, 2] == g.numpy()[2, 0] == 0
    assert (g.numpy()[np.eye(3) == 0][[0, 2, 3, 5]] > 0).all()


def test_a_guess_has_ln_n_and_certainty_nothing():
    words = np.arange(1, 7)[:, None]
    guess = symmetric_cross_entropy(Tensor(np.zeros((6, 6))), words)
    sure = symmetric_cross_entropy(Tensor(MAX_SCALE * np.eye(6)), words)
    assert guess.item() == pytest.approx(math.log(6))
    assert sure.item() < 1e-12


def test_gradients_of_the_loss_are_right(rng):
    model, (pictures, words) = shaken(tiny(), rng), batch(rng, 4)
    names = [
        "log_scale",
        "image.pool.query.weight",
        "text.output.weight",
        "image.stem.conv1.weight",
        "image.block.conv2.weight",
    ]
    parameters = dict(model.named_parameters())
    for name in names:

        def of(weight, name=name):
            parameters[name].data = weight.data
            return loss(model, pictures.astype(np.float64), words)[0]

        weight = parameters[name]
        value, x = of(weight), weight.data.copy()
        (g,) = grad(value, [weight])
        direction = rng.standard_normal(x.shape)
        ends = [of(Tensor(x + s * 1e-6 * direction)).item() for s in (1, -1)]
        weight.data = x
        assert (g.numpy() * direction).sum() == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-4)


def test_normalised_rows_have_length_1_and_right_gradients(rng):
    x = rng.standard_normal((3, 5))
    assert_close((normalise(Tensor(x)).numpy() ** 2).sum(axis=1), np.ones(3))
    gradcheck(normalise, [x], rng=rng)


# The temperature ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("t", "scale"), [(math.log(50), 50), (math.log(100), 100), (9.0, 100)])
def test_the_scale_is_at_most_100_and_always_has_a_slope(t, scale):
    model = tiny().astype(np.float64)
    model.log_scale.data[:] = t
    (g,) = grad(model.scale().sum(), [model.log_scale])
    assert model.scale().item() == pytest.approx(scale)
    assert g.item() == pytest.approx(scale)


def test_the_scale_starts_at_1_over_the_temperature():
    assert tiny().scale().item() == pytest.approx(1 / 0.07, rel=1e-6)


# The towers --------------------------------------------------------------------------------------


def test_embeddings_have_length_1(rng):
    model, (pictures, words) = tiny(), batch(rng, 5)
    with no_grad():
        for e in (model.encode_image(pictures), model.encode_text(words)):
            assert e.shape == (5, 16)
            assert_close((e.numpy() ** 2).sum(axis=1), np.ones(5, np.float32))


def test_a_caption_is_what_stands_before_its_end(rng):
    model = shaken(tiny(), rng)
    with no_grad():
        short = model.encode_text(np.array([[3, 4, 5]])).numpy()
        padded = model.encode_text(np.array([[3, 4, 5, 0, 0, 0]])).numpy()
        behind = model.encode_text(np.array([[3, 4, 5, 0, 7, 9]])).numpy()
        other = model.encode_text(np.array([[4, 3, 5]])).numpy()
    assert_close(padded, short)
    assert_close(behind, short)
    assert abs(other - short).max() > 1e-3  # their order counts


def test_the_whole_of_a_caption_of_full_length_is_read(rng):
    model = shaken(tiny(), rng)
    words = rng.integers(1, 20, (2, DATA.caption_length))
    words[1, :-1] = words[0, :-1]
    words[1, -1] = 21
    with no_grad():
        a, b = model.encode_text(words).numpy()
    assert abs(a - b).max() > 1e-3


def test_a_picture_is_not_what_its_mirror_is(rng):
    model, (pictures, _) = shaken(tiny(), rng), batch(rng, 4)
    x = pictures.astype(np.float64)
    with no_grad():
        ours, mirrored = (model.encode_image(a).numpy() for a in (x, x[:, :, ::-1]))
    assert abs(ours - mirrored).max() > 1e-2


def test_similarities_of_a_picture_do_not_depend_on_those_beside_it(rng):
    model, (pictures, words) = tiny(), batch(rng, 6)
    whole = similarity(model, pictures, words)
    assert whole.shape == (6, 6)
    part = similarity(model, pictures[2:4], words[:5])
    np.testing.assert_allclose(part, whole[2:4, :5], atol=1e-5)


# Learning ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def learnt():
    """Eight captioned pictures, learnt by heart."""
    rng = np.random.default_rng(0)
    model, (pictures, words) = tiny(), batch(rng, 8)
    adam = Adam(model.named_parameters(), 3e-3)
    with one_blas_thread():
        for _ in range(150):
            adam.zero_grad()
            loss(model, pictures, words)[0].backward()
            adam.step()
    return model, pictures, words


def test_eight_pictures_find_their_captions(learnt):
    model, pictures, words = learnt
    assert loss(model, pictures, words)[0].item() < 0.05
    assert found(similarity(model, pictures, words)).all()


def test_shuffled_captions_raise_the_loss_beyond_a_guess(learnt):
    model, pictures, words = learnt
    shuffled = loss(model, pictures, np.roll(words, 1, axis=0))[0].item()
    assert shuffled > math.log(8) > loss(model, pictures, words)[0].item()


# Errors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda m: m.encode_image(np.zeros((2, 28, 28, 3), np.float32)), r"\(2, 28, 28, 3\)"),
        (lambda m: m.encode_text(np.zeros((2, 15), int)), r"words are \(2, 15\), expected \(N, up"),
        (lambda m: m.encode_text(np.zeros(15, int)), r"words are \(15,\)"),
        (lambda m: CLIPConfig(9, 9, patch_size=5), "patch_size is 5, expected an even number"),
        (lambda m: CLIPConfig(9, 9, heads=3) and tiny(CLIPConfig(9, 9, heads=3)), "3 heads"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(wrong, message):
    with pytest.raises(ValueError, match=message) as error:
        wrong(tiny())
    assert "\n" not in str(error.value)

"""Neural style and AdaIN: Gram matrices by hand, statistics, sliders, and learning."""

import time

import numpy as np
import pytest
from close import assert_close

from minigen.autograd import Tensor, no_grad
from minigen.data.textures import leaf_picture, texture
from minigen.gradcheck import gradcheck
from minigen.models.features.vgg import VGG, VGGConfig, freeze
from minigen.models.style import adain, neural_style
from minigen.models.style.adain import AdaIN, AdaINConfig
from minigen.models.style.neural_style import NeuralStyleConfig
from minigen.optim import AdamW

TINY = VGGConfig(channels=(8, 12, 16, 16), convs=(1, 1, 2, 1))
DECODER = AdaINConfig(channels=(16, 12, 8))


def network(seed=0):
    return freeze(VGG(TINY, rng=np.random.default_rng(seed)))


def leaves(seed, size=48):
    return leaf_picture(size, np.random.default_rng(seed))[None] * 2 - 1


def surface(name, seed, size=48):
    return texture(name, size, np.random.default_rng(seed))[None] * 2 - 1


# ------------------------------------------------------------------------------------ Gram matrices


def test_a_gram_matrix_by_hand():
    maps = np.array([[[[1.0, 2.0], [3.0, 0.0]], [[0.0, 1.0], [-1.0, 4.0]]]])  # (1, 2, 2, 2)
    # places (1, 2), (3, 0), (0, 1), (-1, 4): sums 1+9+0+1, 2+0+0-4, 4+0+1+16, over 4 places
    expected = np.array([[[11, -2], [-2, 21]]]) / 4
    assert_close(neural_style.gram(Tensor(maps)).data, expected, terms=8)


def test_a_gram_matrix_is_the_double_loop_of_its_formula(rng):
    maps = rng.standard_normal((2, 3, 4, 5))
    expected = np.zeros((2, 5, 5))
    for n, i, j in np.ndindex(2, 5, 5):
        expected[n, i, j] = (maps[n, :, :, i] * maps[n, :, :, j]).sum() / 12
    assert_close(neural_style.gram(Tensor(maps)).data, expected, terms=12)


def test_a_gram_matrix_forgets_where_things_are(rng):
    maps = rng.standard_normal((1, 4, 4, 3))
    moved = rng.permutation(maps.reshape(16, 3)).reshape(1, 4, 4, 3)
    assert_close(neural_style.gram(Tensor(moved)).data, neural_style.gram(Tensor(maps)).data, 16)


def test_losses_are_what_they_say(rng):
    F, P = rng.standard_normal((2, 1, 3, 3, 4))
    value = neural_style.content_loss(Tensor(F), P).item()
    assert value == pytest.approx(((F - P) ** 2).sum() / (P**2).sum())
    A = {"a": rng.standard_normal((1, 4, 4)), "b": rng.standard_normal((1, 4, 4))}
    G = neural_style.gram(Tensor(F)).data
    value = neural_style.style_loss({"a": Tensor(F), "b": Tensor(F)}, A).item()
    shares = [((G - a) ** 2).sum() / (a**2).sum() for a in A.values()]
    assert value == pytest.approx(np.mean(shares))
    step = np.zeros((1, 2, 3, 1))
    step[0, :, 2] = 2.0
    assert neural_style.total_variation(Tensor(step)).item() == pytest.approx(4 / 2)


def test_the_losses_have_the_gradients_of_their_formulas(rng):
    maps, P = rng.standard_normal((1, 3, 2, 4)), rng.standard_normal((1, 3, 2, 4))
    A = {"a": rng.standard_normal((1, 4, 4))}
    gradcheck(lambda F: neural_style.style_loss({"a": F}, A), maps, rng=rng)
    gradcheck(lambda F: neural_style.content_loss(F, P), maps, rng=rng)
    gradcheck(neural_style.total_variation, maps, rng=rng)


def test_a_style_has_no_distance_to_itself_and_a_mixture_lies_between():
    vgg, a, b = network(), surface("dots", 1), surface("strokes", 2)
    of_a, of_b = (neural_style.style_targets(vgg, [s]) for s in (a, b))
    mixed = neural_style.style_targets(vgg, [a, b], [1, 3])
    with no_grad():
        assert neural_style.style_loss(vgg.layers(Tensor(a), of_a), of_a).item() < 1e-10
    for name, A in mixed.items():
        assert_close(A, 0.25 * of_a[name] + 0.75 * of_b[name], terms=10)


# ------------------------------------------------------------------------------------ neural style


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_the_loss_falls_by_95_percent_and_style_and_content_come_near(optimizer, rng):
    vgg, content, style = network(), leaves(1), surface("strokes", 2)
    losses, start = [], time.monotonic()
    steps = {"lbfgs": 80, "adam": 200}[optimizer]
    config = NeuralStyleConfig(optimizer=optimizer, steps=steps, style_weight=30.0)
    painted = neural_style.transfer(
        vgg, content, [style], config, rng, callback=lambda k, n, x: losses.append(n["total"])
    )
    assert losses[-1] < 0.05 * losses[0]
    assert (painted.shape, painted.dtype) == (content.shape, np.float32)
    assert np.abs(painted).max() <= 1
    assert to_content(vgg, painted, content) < to_content(vgg, leaves(7), content)
    assert time.monotonic() - start < 20


def to_content(vgg, x, content):
    with no_grad():
        maps, kept = (vgg.layers(Tensor(a), ["relu3_2"])["relu3_2"] for a in (x, content))
        return neural_style.content_loss(maps, kept.data).item()


def test_the_callback_sees_every_step_and_its_parts(rng):
    seen = []
    config = NeuralStyleConfig(steps=3, content_weight=2.0, style_weight=5.0, variation_weight=0.5)
    style = surface("dots", 1)
    painted = neural_style.transfer(
        network(), leaves(1), [style], config, rng, callback=lambda *a: seen.append(a)
    )
    assert [step for step, _, _ in seen] == [0, 1, 2, 3]
    assert seen[0][1]["content"] == 0
    for _, n, _ in seen:
        parts = 2 * n["content"] + 5 * n["style"] + 0.5 * n["variation"]
        assert n["total"] == pytest.approx(parts, rel=1e-5)
    assert np.array_equal(seen[-1][2], painted)


def test_from_noise_the_same_seed_paints_the_same():
    config = NeuralStyleConfig(steps=2, start="noise")
    pictures = [
        neural_style.transfer(
            network(), leaves(1), [surface("dots", 1)], config, np.random.default_rng(seed)
        )
        for seed in (3, 3, 4)
    ]
    assert np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])


def test_kept_colours_are_the_contents_and_the_brightness_the_pictures(rng):
    content, painted = rng.uniform(-0.3, 0.3, (2, 1, 5, 5, 3))
    kept = neural_style.keep_colours(painted, content)
    yiq = neural_style.TO_YIQ.T
    np.testing.assert_allclose((kept @ yiq)[..., 1:], (content @ yiq)[..., 1:], atol=1e-12)
    np.testing.assert_allclose((kept @ yiq)[..., 0], (painted @ yiq)[..., 0], atol=1e-12)
    grey = neural_style.brightness(content)
    np.testing.assert_allclose(grey[..., 0], (content @ yiq)[..., 0])
    assert np.ptp(grey, axis=-1).max() == 0


def test_layers_are_the_papers_where_the_network_has_them():
    class Paper:
        names = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1")

    assert neural_style.content_layer(Paper(), None) == "relu4_2"
    assert neural_style.content_layer(network(), None) == "relu3_2"
    assert neural_style.content_layer(network(), "relu1_1") == "relu1_1"


def test_a_style_too_small_for_a_layer_is_measured_in_the_others(caplog):
    vgg = network()
    found = neural_style.style_layers(vgg, np.zeros((1, 20, 90, 3)), None)
    assert found == ["relu1_1", "relu2_1", "relu3_1"]
    assert "90 x 20 pixels, too small for relu4_1; it is measured in relu1_1" in caplog.text


SMALL = np.zeros((1, 2, 9, 3), np.float32)
FINE = np.zeros((1, 48, 48, 3), np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: t(FINE, [SMALL]), "style picture is 9 x 2 pixels, a number of relu1_1 sees 3"),
        (lambda t: t(SMALL, [FINE]), "the content is 9 x 2 pixels, block 4 .* at least 8"),
        (lambda t: t(FINE, [FINE], weights=[1, 2]), "1 styles have the weights"),
        (lambda t: t(FINE, [FINE], weights=[0]), "not all 0"),
        (lambda t: t(FINE, []), "0 styles"),
        (lambda t: NeuralStyleConfig(optimizer="sgd"), "optimizer is 'sgd'"),
        (lambda t: NeuralStyleConfig(start="black"), "start is 'black'"),
        (lambda t: NeuralStyleConfig(steps=0), "steps is 0"),
        (lambda t: NeuralStyleConfig(style_weight=-1), "style_weight is -1"),
    ],
)
def test_bad_input_is_told(call, message, rng):
    def transfer(content, styles, **more):
        config = NeuralStyleConfig(steps=1)
        return neural_style.transfer(network(), content, styles, config, rng, **more)

    with pytest.raises(ValueError, match=message):
        call(transfer)


# -------------------------------------------------------------------------------------------- AdaIN


def test_adain_has_the_styles_statistics_and_the_contents_places(rng):
    x, y = rng.standard_normal((2, 5, 4, 3)) * 3 + 1, rng.standard_normal((2, 7, 6, 3)) * 0.5 - 2
    z = adain.adain(Tensor(x), Tensor(y)).data
    np.testing.assert_allclose(z.mean(axis=(1, 2)), y.mean(axis=(1, 2)), atol=1e-10)
    np.testing.assert_allclose(z.std(axis=(1, 2)), y.std(axis=(1, 2)), rtol=1e-4)
    for n, c in np.ndindex(2, 3):
        correlation = np.corrcoef(z[n, ..., c].ravel(), x[n, ..., c].ravel())[0, 1]
        assert correlation == pytest.approx(1)


def test_a_flat_map_is_no_division_by_zero():
    flat = Tensor(np.ones((1, 4, 4, 2)))
    assert_close(adain.adain(flat, flat).data, flat.data, terms=10)


@pytest.fixture
def model(rng):
    return AdaIN(network(), DECODER, rng=rng)


def test_at_strength_0_a_style_does_not_matter_and_at_1_it_does(model):
    content, a, b = leaves(1), surface("dots", 1), surface("strokes", 2)
    for strength, same in ((0.0, True), (1.0, False)):
        one, other = (adain.stylize(model, content, [s], strength=strength) for s in (a, b))
        assert np.array_equal(one, other) == same


def test_the_slider_mixes_maps_and_weights_mix_styles(model, monkeypatch):
    maps = []
    monkeypatch.setattr(adain, "MARGIN", 0)
    content, a, b = leaves(1), surface("dots", 1), surface("strokes", 2)
    model.decoder.forward = lambda h: maps.append(h.data) or Tensor(np.zeros((1, 48, 48, 3)))
    for styles, weights, strength in (
        ([a], None, 0.0),
        ([a], None, 1.0),
        ([b], None, 1.0),
        ([a, b], [1, 3], 0.4),
    ):
        adain.stylize(model, content, styles, weights=weights, strength=strength)
    f, of_a, of_b, mixed = maps
    assert_close(mixed, 0.6 * f + 0.4 * (0.25 * of_a + 0.75 * of_b), terms=100)  # eq. 14, 15


@pytest.mark.parametrize("size", [(48, 48), (33, 50), (31, 30), (8, 9)])
def test_every_size_comes_back_as_it_went_in(model, size):
    content = np.zeros((1, *size, 3), np.float32)
    painted = adain.stylize(model, content, [surface("dots", 1, 64)])
    assert (painted.shape, painted.dtype) == (content.shape, np.float32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"styles": [SMALL]}, "a style picture is 9 x 2 pixels, a number of relu3_2 sees 26"),
        ({"styles": []}, "0 styles have the weights None"),
        ({"styles": [FINE], "weights": [-1]}, "expected one each, not all 0"),
        ({"styles": [FINE], "strength": 1.5}, "strength is 1.5, expected 0 to 1"),
    ],
)
def test_bad_input_of_adain_is_told(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        adain.stylize(model, FINE, **arguments)


def test_the_parts_of_the_loss_add_up_and_the_encoder_gets_no_gradient(model):
    value, parts = adain.loss(model, leaves(1), surface("dots", 1))
    total = parts["content"] + 10 * parts["style"] + 10 * parts["pixels"]
    assert value.item() == pytest.approx(total, rel=1e-5)
    value.backward()
    assert all(p.grad is not None for p in model.decoder.parameters())
    assert all(p.grad is None for p in model.encoder.parameters())


def test_eight_pairs_are_learned(model):
    start = time.monotonic()
    contents = np.concatenate([leaves(seed, 24) for seed in range(8)])
    styles = np.concatenate([surface("patches", seed, 24) for seed in range(8)])
    optimizer = AdamW(model.decoder.parameters(), lr=5e-3, weight_decay=0.0)
    losses = []
    for _ in range(120):
        optimizer.zero_grad()
        value, _ = adain.loss(model, contents, styles)
        value.backward()
        optimizer.step()
        losses.append(value.item())
    assert losses[-1] < 0.2 * losses[0]
    assert time.monotonic() - start < 20


def test_the_loss_is_relative_to_its_target_picture_by_picture(rng):
    x, target = rng.standard_normal((2, 3, 2, 2, 4))
    expected = np.mean([((a - b) ** 2).sum() / (b**2).sum() for a, b in zip(x, target)])
    assert adain.relative(Tensor(x), Tensor(target)).item() == pytest.approx(expected)

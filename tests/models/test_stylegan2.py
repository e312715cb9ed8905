"""StyleGAN2: its layers against loops, its penalties against differences, and what styles do."""

from dataclasses import replace

import numpy as np
import pytest
from close import assert_close

from minigen.autograd import Tensor, no_grad
from minigen.gradcheck import gradcheck
from minigen.models.gan import projection, stylegan2
from minigen.models.gan.diff_augment import cutout, diff_augment, translation
from minigen.models.gan.stylegan2 import StyleGAN2, StyleGAN2Config
from minigen.nn.equalised import EqualisedLinear
from minigen.nn.styled import EPS, modulated_conv2d
from minigen.ops import conv2d
from minigen.optim import Adam
from minigen.parallel import one_blas_thread

TINY = StyleGAN2Config(
    size=8, latents=4, styles=6, mapping_layers=2, g_channels=(6, 4), d_channels=(4, 6), group=2
)


def double(config=TINY, seed=0):
    """A model in float64, its weights moved so that nothing is 0."""
    rng = np.random.default_rng(seed)
    model = StyleGAN2(config, rng=rng)
    for p in model.parameters():
        p.data = p.data + 0.1 * rng.standard_normal(p.shape)
    return model


def pictures(rng, n=4, size=8):
    return rng.uniform(-1, 1, (n, size, size, 1))


def styles(model, n=3, seed=1):
    z = np.random.default_rng(seed).standard_normal((n, model.G.latents))
    with no_grad():
        return model.G.styles(Tensor(z)).data


# ------------------------------------------------------------------------------------------ layers


@pytest.mark.parametrize("demodulate", [True, False])
def test_a_modulated_convolution_is_one_convolution_for_each_picture(rng, demodulate):
    x, w = rng.standard_normal((3, 5, 4, 2)), rng.standard_normal((3, 3, 2, 6))
    s = rng.standard_normal((3, 2))
    found = modulated_conv2d(Tensor(x), Tensor(w), Tensor(s), demodulate).data
    for n in range(3):
        own = np.empty_like(w)
        for o in range(6):
            own[..., o] = w[..., o] * s[n]
            if demodulate:
                own[..., o] /= np.sqrt((own[..., o] ** 2).sum() + EPS)
        assert_close(found[n], conv2d(x[n : n + 1], own, padding=1).data[0], terms=18)


def test_demodulation_keeps_the_size_of_signals(rng):
    x, w = rng.standard_normal((2, 12, 12, 16)), rng.standard_normal((3, 3, 16, 8))
    s = 50 * rng.random((2, 16))
    y = modulated_conv2d(Tensor(x), Tensor(w), Tensor(s)).data
    assert y[:, 1:-1, 1:-1].std() == pytest.approx(1, abs=0.1)


def test_a_weights_learning_rate_changes_its_steps_and_not_its_size(rng):
    slow, fast = (EqualisedLinear(400, 300, lr=lr, rng=rng) for lr in (0.01, 1.0))
    for layer in (slow, fast):
        assert layer.weight().data.std() == pytest.approx(1 / 20, rel=0.02)
    for layer in (slow, fast):
        before = layer.weight().data.copy()
        layer.weight().sum().backward()
        Adam(list(layer.parameters()), 1e-3).step()
        layer.moved = np.abs(layer.weight().data - before).mean()
    assert fast.moved == pytest.approx(100 * slow.moved, rel=0.05)
    assert EqualisedLinear(2, 3, bias=1.0, lr=0.01, rng=rng)(np.zeros((1, 2), "f")).data.mean() == 1


def test_the_spread_of_a_group_by_hand():
    x = np.zeros((4, 1, 1, 2))
    x[:, 0, 0, 0] = [1, 5, 3, 5]  # groups are pictures 0 and 2, 1 and 3
    found = stylegan2.minibatch_stddev(Tensor(x), 2).data
    assert found.shape == (4, 1, 1, 3)
    np.testing.assert_array_equal(found[..., :2], x)
    np.testing.assert_allclose(found[:, 0, 0, 2], [0.5, 0.0, 0.5, 0.0], atol=1e-4)
    assert stylegan2.minibatch_stddev(Tensor(x[:3]), 2).shape == (3, 1, 1, 3)


# ---------------------------------------------------------------------------------------- penalties


def test_r1_is_the_slope_of_the_answers_by_differences(rng):
    model, x = double(), pictures(rng)
    slopes, step = np.zeros(x.size), 1e-5
    for i in range(x.size):
        ends = [x.copy(), x.copy()]
        ends[0].flat[i] += step
        ends[1].flat[i] -= step
        up, down = (model.D(Tensor(end)).data.sum() for end in ends)
        slopes[i] = (up - down) / (2 * step)
    expected = 16 * 3.0 / 2 * (slopes**2).sum() / 4
    found = stylegan2.r1_loss(model, x, rng, gamma=3.0, every=16).item()
    assert found == pytest.approx(expected, rel=1e-5)


def test_the_gradient_of_r1_by_the_weights_is_right(rng):
    model, x = double(), pictures(rng)
    D = model.D
    for owner, name in ((D.first[0].weight, "p"), (D.vote.weight, "p"), (D.start, "bias")):
        gradcheck(*_by(owner, name, lambda: stylegan2.r1_loss(model, x, rng)), rng=rng)


def test_the_gradient_of_the_path_length_by_the_weights_is_right(rng):
    model, x = double(), np.zeros((4, 8, 8, 1))
    model.path_length.data[...] = 0.3

    def loss():
        value, _ = stylegan2.path_length_loss(model, x, np.random.default_rng(3))
        return value

    G = model.G
    for owner, name in ((G.first[1].weight, "p"), (G.mapping[0].weight, "p"), (G, "start")):
        gradcheck(*_by(owner, name, loss), rng=rng)


def _by(owner, name, loss):
    """The loss as a function of one parameter, and the parameter as it is."""

    def f(value):
        setattr(owner, name, value)
        return loss()

    return f, getattr(owner, name).data.copy()


def test_the_mean_path_length_follows_and_a_generator_of_that_length_pays_nothing(rng):
    model = double()
    _, told = stylegan2.path_length_loss(model, np.zeros((4, 8, 8, 1)), np.random.default_rng(0))
    model.path_length.data[...] = told["path"]
    loss, _ = stylegan2.path_length_loss(model, np.zeros((2, 8, 8, 1)), np.random.default_rng(0))
    loss.backward()
    assert model.path_length.grad is not None
    assert loss.item() < 16 * told["path"] ** 2


# ------------------------------------------------------------------------------------------- styles


def test_mixing_keeps_the_coarse_scales_of_one_and_takes_the_fine_ones_of_the_other():
    model = double()
    G, (a, b) = model.G, (styles(model, seed=seed) for seed in (1, 2))
    layers = a.shape[1]
    for crossover, same in ((0, b), (layers, a)):
        assert np.array_equal(stylegan2.mixed(a, b, crossover), same)
    both = stylegan2.mixed(a, b, layers - 1)  # only the last scale's colours are the other's
    with no_grad():
        change = G.paint(Tensor(both)).data - G.paint(Tensor(a)).data
        x = G.second[0](G.first[1](_first(G, a), a[:, 1], None), a[:, 2], None)
        expected = G.colours[1](x, b[:, -1]).data - G.colours[1](x, a[:, -1]).data
    assert_close(change, expected, terms=200)
    with pytest.raises(ValueError, match=f"crossover is 9, expected 0 to {layers}"):
        stylegan2.mixed(a, b, 9)


def _first(G, ws):
    return G.first[0](G.start * np.ones((len(ws), 1, 1, 1)), ws[:, 0], None)


def test_truncation_is_a_line_to_the_mean_style():
    model = double()
    ws = styles(model, 5)
    (mean,) = stylegan2.mean_styles(model.G)
    assert stylegan2.truncated(model.G, ws, 1) is ws
    np.testing.assert_allclose(stylegan2.truncated(model.G, ws, 0), np.broadcast_to(mean, ws.shape))
    half = stylegan2.truncated(model.G, ws, 0.5)
    np.testing.assert_allclose(half - mean, 0.5 * (ws - mean), atol=1e-7)
    alike = stylegan2.sample(model, 3, np.random.default_rng(0), truncation_psi=0.0)
    assert alike.shape == (3, 8, 8, 1)


def test_training_mixes_two_styles_in_the_asked_share(rng):
    G = double().G
    ws = stylegan2.draw_styles(G, 400, rng)[0].data
    two = (ws != ws[:, :1]).any(axis=(1, 2))
    assert two.mean() == pytest.approx(TINY.mixing, abs=0.06)
    changes = (ws[two][:, 1:] != ws[two][:, :-1]).any(axis=2).sum(axis=1)
    assert (changes == 1).all()


BY_CLASS = replace(TINY, classes=3)


def test_every_class_is_truncated_to_its_own_mean():
    G, labels = double(BY_CLASS).G, np.array([2, 0, 1, 2])
    means = stylegan2.mean_styles(G)
    assert means.shape == (3, 6)
    assert np.abs(means[0] - means[1]).max() > 1e-3
    with no_grad():
        ws = G.styles(stylegan2.latents(G, 4, np.random.default_rng(0), labels)).data
    found = stylegan2.truncated(G, ws, 0, labels)
    np.testing.assert_allclose(found, np.repeat(means[labels][:, None], ws.shape[1], axis=1))


def test_a_class_changes_the_style_and_the_vote(rng):
    model, x = double(BY_CLASS), pictures(rng, 3)
    z = np.repeat(rng.standard_normal((1, 4)), 3, axis=0)
    with no_grad():
        w = model.G.style(Tensor(np.concatenate([z, np.eye(3)], axis=1))).data
    assert all(np.abs(w[i] - w[j]).max() > 1e-3 for i, j in ((0, 1), (0, 2), (1, 2)))
    votes = [model.D(Tensor(x), np.eye(3)[[k] * 3]).data for k in range(3)]
    own = model.D(Tensor(x), np.eye(3)).data
    np.testing.assert_allclose(own, [votes[k][k] for k in range(3)])


def test_both_styles_of_a_mixed_picture_are_of_its_class():
    """Where w depends on the class alone, styles of one class are one style."""
    G = double(replace(BY_CLASS, mixing=1.0)).G
    G.mapping[0].weight.p.data[:4] = 0  # the rows of the numbers
    ws, labels = stylegan2.draw_styles(G, 50, np.random.default_rng(0))
    assert (ws.data == ws.data[:, :1]).all()
    assert len(np.unique(labels.argmax(axis=1))) == 3


def test_the_losses_take_labels(rng):
    model, x, labels = double(BY_CLASS), pictures(rng), np.eye(3)[[0, 1, 2, 0]]
    other = np.eye(3)[[1, 2, 0, 1]]
    for loss in (
        lambda y: stylegan2.discriminator_loss(model, x, again(), labels=y)[0],
        lambda y: stylegan2.r1_loss(model, x, again(), labels=y),
    ):
        assert loss(labels).item() != loss(other).item()
    assert np.isfinite(stylegan2.generator_loss(model, x, rng).item())


def again():
    return np.random.default_rng(7)


def test_without_a_generator_of_noise_there_is_no_grain():
    G, ws = double().G, styles(double())
    with no_grad():
        first, again = (G.paint(Tensor(ws)).data for _ in range(2))
        grainy = G.paint(Tensor(ws), np.random.default_rng(0)).data
    assert np.array_equal(first, again)
    assert not np.array_equal(first, grainy)


def test_a_painted_picture_is_projected_to_itself():
    rng = np.random.default_rng(0)
    G = StyleGAN2(TINY, rng=rng).G
    for layer in G.colours:
        layer.weight.p.data *= 0.2  # so that the picture is in [-1, 1]
    with one_blas_thread():
        with no_grad():
            x = G.paint(G.styles(Tensor(rng.standard_normal((2, 4), np.float32)))).data
        ws = projection.project(G, x, rng, stylegan2.latents, steps=200, starts=50)
        with no_grad():
            again = G.paint(Tensor(ws)).data
    assert (projection.psnr(again, x) > 30).all()
    assert (ws == ws[:, :1]).all()


def test_pictures_that_cannot_be_projected(rng):
    G = StyleGAN2(TINY, rng=rng).G
    with pytest.raises(ValueError, match=r"pictures \(4, 4, 1\), the generator's \(8, 8, 1\)"):
        projection.project(G, np.zeros((1, 4, 4, 1), np.float32), rng, stylegan2.latents)
    with pytest.raises(ValueError, match="pixels from 0 to 7, expected -1 to 1"):
        projection.project(
            G, np.eye(8, dtype=np.float32).reshape(1, 8, 8, 1) * 7, rng, stylegan2.latents
        )


def test_psnr_by_hand():
    x = np.zeros((2, 2, 2, 1))
    np.testing.assert_allclose(projection.psnr(x + [[[[0.2]]], [[[0.02]]]], x), [20, 40])


# ------------------------------------------------------------------------------------- augmentation


def test_pictures_are_moved_and_what_comes_in_is_grey(rng):
    x = rng.standard_normal((40, 8, 8, 2))
    y = translation(Tensor(x), rng).data
    seen = set()
    for before, after in zip(x, y):
        padded = np.pad(before, ((1, 1), (1, 1), (0, 0)))
        seen.add(_move(padded, after))
    assert len(seen) == 9


def _move(padded, after):
    moves = [(i, j) for i in range(3) for j in range(3)]
    (found,) = [m for m in moves if np.allclose(padded[m[0] :, m[1] :][:8, :8], after)]
    return found


def test_a_square_is_cut_out(rng):
    holes = (cutout(Tensor(np.ones((300, 8, 8, 1))), rng).data == 0).sum(axis=(1, 2, 3))
    assert holes.max() == 16
    assert 4 <= holes.min() < 16


def test_augmentation_is_differentiable_and_leaves_nothing_when_empty(rng):
    x = rng.standard_normal((3, 8, 8, 3))
    gradcheck(lambda x: diff_augment(x, np.random.default_rng(0)), x, rng=rng)
    assert diff_augment(Tensor(x), rng, ()).data is x
    with pytest.raises(ValueError, match="'sepia', expected some of colour, translation, cutout"):
        diff_augment(Tensor(x), rng, ("sepia",))


# --------------------------------------------------------------------------------------- the whole


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"size": 9}, "9 pixels cannot be halved 1 times"),
        ({"d_channels": (4,)}, "expected to be as many"),
    ],
)
def test_sizes_that_do_not_fit(change, match):
    with pytest.raises(ValueError, match=match):
        StyleGAN2Config(**({"size": 8, "g_channels": (6, 4), "d_channels": (4, 6)} | change))


def test_eight_pictures_are_learned():
    """Each has one bright row of four; the mean picture is 0.375 away from the nearest."""
    rng = np.random.default_rng(0)
    x = -np.ones((8, 8, 8, 1), np.float32)
    x[np.arange(8), np.arange(8) // 2 * 2] = 1
    model = StyleGAN2(replace(TINY, latents=8, g_channels=(24, 16), d_channels=(16, 24)), rng=rng)
    sides = [(model.D, stylegan2.discriminator_loss), (model.G, stylegan2.generator_loss)]
    adams = [Adam(list(side.parameters()), 5e-3, betas=(0.0, 0.99)) for side, _ in sides]
    with one_blas_thread():
        for _ in range(250):
            for adam, (side, loss) in zip(adams, sides):
                model.zero_grad()
                value = loss(model, x, rng)
                if side is model.D:
                    value = value[0] + stylegan2.r1_loss(model, x, rng, gamma=0.1, every=1)
                value.backward()
                adam.step()
    made = stylegan2.sample(model, 64, rng)
    assert ((made[:, None] - x) ** 2).mean(axis=(2, 3, 4)).min(axis=1).mean() < 0.3

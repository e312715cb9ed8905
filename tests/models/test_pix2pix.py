"""Pix2Pix: losses against their formulas, what passes beside the bottleneck, and learning."""

import numpy as np
import pytest
from close import assert_close

from minigen.autograd import Tensor, grad
from minigen.models.translation import pix2pix
from minigen.models.translation.pix2pix import Pix2Pix, Pix2PixConfig
from minigen.optim import AdamW

SMALL = Pix2PixConfig(channels=(8, 8, 8), d_channels=(8, 8), dropout=0.0)


def double(model, rng, scale=0.2):
    """The model in float64, its weights moved so that nothing is 0."""
    for weight in model.parameters():
        weight.data = weight.data + scale * rng.standard_normal(weight.shape)
    return model


def pair(rng, n=2, size=16, dtype=np.float64):
    return tuple(rng.uniform(-1, 1, (n, size, size, C)).astype(dtype) for C in (1, 3))


def expected_bce(logits, target):
    p = 1 / (1 + np.exp(-logits.numpy()))
    return -np.log(p if target else 1 - p).mean()


def test_the_losses_are_the_equations(rng):
    model, (x, y) = double(Pix2Pix(SMALL, rng=rng), rng), pair(rng)
    fake = model.G(x)
    on_real, on_fake = model.judge(x, y), model.judge(x, fake)
    d, d_numbers = pix2pix.discriminator_loss(model, (x, y), rng)
    g, g_numbers = pix2pix.generator_loss(model, (x, y), rng)
    l1 = np.abs(fake.numpy() - y).mean()
    assert d.item() == pytest.approx((expected_bce(on_real, 1) + expected_bce(on_fake, 0)) / 2)
    assert g.item() == pytest.approx(expected_bce(on_fake, 1) + 100 * l1)
    assert g_numbers == pytest.approx({"G_gan": expected_bce(on_fake, 1), "G_l1": l1})
    assert d_numbers["D_fake"] == pytest.approx((1 / (1 + np.exp(-on_fake.numpy()))).mean())


def test_a_judge_that_cannot_tell_has_a_loss_of_log_2(rng):
    model, batch = Pix2Pix(SMALL, rng=rng), pair(rng, dtype=np.float32)
    for weight in model.D.parameters():
        weight.data[...] = 0
    loss, numbers = pix2pix.discriminator_loss(model, batch, rng)
    assert loss.item() == pytest.approx(np.log(2))
    assert numbers == pytest.approx({"D_real": 0.5, "D_fake": 0.5})


def test_the_judge_sees_the_drawing(rng):
    model, (x, y) = double(Pix2Pix(SMALL, rng=rng), rng), pair(rng)
    assert np.abs(model.judge(x, y).numpy() - model.judge(-x, y).numpy()).max() > 0


def test_the_judges_loss_moves_no_weight_of_the_generator(rng):
    model, batch = Pix2Pix(SMALL, rng=rng), pair(rng, dtype=np.float32)
    pix2pix.discriminator_loss(model, batch, rng)[0].backward()
    assert all(p.grad is None for p in model.G.parameters())
    assert all(p.grad is not None for p in model.D.parameters())


def test_every_level_is_handed_over_beside_the_bottleneck(rng):
    """Cut off below a level, and a pixel of x still reaches the picture: by that level's skip."""
    for level in range(3):
        model = double(Pix2Pix(SMALL, rng=rng), rng)
        model.G.shrink[level].weight.data[...] = 0  # nothing goes further down
        x = Tensor(pair(rng)[0], requires_grad=True)
        (gx,) = grad(model.G(x).sum(), [x])
        assert np.abs(gx.numpy()).min() > 0


def test_a_line_as_fine_as_a_pixel_passes_beside_the_bottleneck(rng):
    """The skip of x itself reaches the output at the same pixel, and its neighbours."""
    model = double(Pix2Pix(SMALL, rng=rng), rng)
    model.G.shrink[0].weight.data[...] = 0
    x = Tensor(pair(rng, n=1)[0], requires_grad=True)
    (gx,) = grad(model.G(x)[0, 8, 8].sum(), [x])
    assert sorted(map(tuple, np.argwhere(gx.numpy()[0, :, :, 0]))) == [
        (i, j) for i in (7, 8, 9) for j in (7, 8, 9)
    ]


def test_dropout_is_noise_in_training_and_rests_in_use(rng):
    model = Pix2Pix(Pix2PixConfig(channels=(8, 8, 8), d_channels=(8,)), rng=rng)
    x = pair(rng, dtype=np.float32)[0]
    first, second = (pix2pix.translate(model, x) for _ in range(2))
    assert np.abs(first - second).max() > 0
    model.eval()
    assert np.array_equal(pix2pix.translate(model, x), pix2pix.translate(model, x))


def test_pictures_are_translated_one_by_one(rng):
    model, x = double(Pix2Pix(SMALL, rng=rng), rng).eval(), pair(rng, n=3)[0]
    made = pix2pix.translate(model, x)
    assert made.shape == (3, 16, 16, 3)
    assert np.abs(made).max() < 1
    assert_close(made[1:2], pix2pix.translate(model, x[1:2]), terms=1000)


@pytest.mark.parametrize("shape", [(2, 16, 16, 3), (2, 12, 16, 1), (16, 16, 1)])
def test_pictures_that_do_not_fit_are_refused(shape, rng):
    with pytest.raises(ValueError, match=r"expected \(N, H, W, 1\) with H and W multiples of 8"):
        Pix2Pix(SMALL, rng=rng).G(np.zeros(shape, np.float32))


def test_networks_have_a_level_at_least():
    with pytest.raises(ValueError, match="one entry at least"):
        Pix2PixConfig(channels=())


def test_one_pair_is_learned(rng):
    """A drawing whose two halves have colours that only the pair tells: error 1.0 at first."""
    x, y = np.ones((1, 16, 16, 1), np.float32), np.ones((1, 16, 16, 3), np.float32)
    x[:, :, 7:9] = -1
    y[:, :, :8] = [0.9, -0.7, 0.1]
    y[:, :, 8:] = [-0.8, 0.2, 0.6]
    model = Pix2Pix(SMALL, rng=rng)
    adams = [AdamW(part.parameters(), 1e-2, (0.5, 0.999), 1e-8, 0.0) for part in (model.D, model.G)]
    for _ in range(80):
        for adam, loss in zip(adams, (pix2pix.discriminator_loss, pix2pix.generator_loss)):
            model.zero_grad()
            loss(model, (x, y), rng)[0].backward()
            adam.step()
    assert np.abs(pix2pix.translate(model, x) - y).mean() < 0.1

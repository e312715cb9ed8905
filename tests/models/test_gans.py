"""GAN, DCGAN, WGAN-GP, PacGAN: the losses against definitions and by hand, and learning."""

import time
from dataclasses import replace

import numpy as np
import pytest
from close import assert_close

from minigen import Tensor, nn
from minigen.autograd import grad
from minigen.gradcheck import gradcheck
from minigen.models.gan import dcgan, gan, wgan_gp
from minigen.models.gan.dcgan import DCGANConfig
from minigen.models.gan.gan import GAN, GANConfig
from minigen.models.gan.pac_gan import Packed, packed
from minigen.ops import conv2d, silu
from minigen.optim import Adam
from minigen.parallel import one_blas_thread

SMALL = DCGANConfig(size=8, colours=2, latents=3, g_channels=(8, 4), d_channels=(4, 8))


class Told(nn.Module):
    """A function of x as a network; G gives back what it was told, whatever z."""

    latents = 1

    def __init__(self, function):
        self.function = function

    def forward(self, x):
        return self.function(x)


def game(D, made=None):
    """A model whose G always makes `made`, and whose D is a function."""
    return GAN(Told(lambda z: Tensor(made[: len(z)])), Told(D))


# ------------------------------------------------------------------------------ the original losses


def test_a_discriminator_that_cannot_tell_has_log_four(rng):
    model = game(lambda x: x.sum(axis=1) * 0.0, np.zeros((6, 2)))
    loss, numbers = gan.discriminator_loss(model, np.ones((6, 2)), rng)
    assert loss.item() == pytest.approx(np.log(4))
    assert numbers == {"D_real": 0.5, "D_fake": 0.5}


def test_the_best_discriminator_has_the_jensen_shannon_divergence(rng):
    p, q = np.array([3, 4, 1]) / 8, np.array([1, 1, 6]) / 8
    x, made = (np.repeat(np.arange(3.0), (8 * s).astype(int))[:, None] for s in (p, q))
    logits = np.log(p / q)  # of p / (p + q), eq. 2
    best = game(lambda x: Tensor(logits[x.data[:, 0].astype(int)]), made)
    m = (p + q) / 2
    divergence = (p * np.log(p / m)).sum() / 2 + (q * np.log(q / m)).sum() / 2
    loss = gan.discriminator_loss(best, x, rng)[0].item()
    assert -loss == pytest.approx(2 * divergence - np.log(4))  # eq. 4


def slope(name, logit):
    """d loss / d logit of the generator's loss."""
    at = Tensor(np.array([logit]), requires_grad=True)
    model = game(lambda x: at, np.zeros((1, 1)))
    loss = gan.generator_loss(model, np.zeros((1, 1)), np.random.default_rng(0), name)
    return grad(loss, [at])[0].item()


def test_the_minimax_loss_saturates_where_d_is_sure_and_the_other_does_not():
    p = 1 / (1 + np.exp(6.0))
    assert slope("minimax", -6.0) == pytest.approx(-p)  # of log(1 - p)
    assert slope("non_saturating", -6.0) == pytest.approx(p - 1)  # of -log p
    assert slope("minimax", 0.0) == slope("non_saturating", 0.0) == -0.5


def test_d_learns_nothing_about_g_and_g_moves_by_d_alone(rng):
    config = GANConfig()
    model = GAN(gan.Generator(config, rng=rng), gan.Discriminator(config, rng=rng))
    x = rng.standard_normal((8, 2)).astype(np.float32)
    for loss in (gan.discriminator_loss, wgan_gp.critic_loss):
        loss(model, x, rng)[0].backward()
        assert all(p.grad is None for p in model.G.parameters())
    assert gan.sample(model, 5, rng).shape == (5, 2)


# ----------------------------------------------------------------------------- the gradient penalty


def test_the_penalty_of_a_linear_critic_by_hand_with_the_norm_over_all_axes(rng):
    w = rng.standard_normal((4, 4, 3))
    x, fake = rng.standard_normal((2, 5, 4, 4, 3))
    found = wgan_gp.gradient_penalty(lambda x: (x * w).sum(axis=(1, 2, 3)), x, fake, rng).item()
    assert found == pytest.approx((np.linalg.norm(w) - 1) ** 2)
    over_channels = ((np.linalg.norm(w, axis=-1) - 1) ** 2).mean()  # the well-known mistake
    assert abs(found - over_channels) > 1


def test_the_critic_loss_of_a_linear_critic_by_hand(rng):
    w, x, made = rng.standard_normal(3), rng.standard_normal((6, 3)), rng.standard_normal((6, 3))
    loss, numbers = wgan_gp.critic_loss(game(lambda x: (x * w).sum(axis=1), made), x, rng, 7.0)
    distance, penalty = (x @ w).mean() - (made @ w).mean(), (np.linalg.norm(w) - 1) ** 2
    assert loss.item() == pytest.approx(7 * penalty - distance)
    assert numbers == pytest.approx({"distance": distance, "penalty": penalty})
    g_loss = wgan_gp.generator_loss(game(lambda x: (x * w).sum(axis=1), made), x, rng)
    assert g_loss.item() == pytest.approx(-(made @ w).mean())


def test_the_penalty_is_taken_on_lines_from_made_to_real_one_place_for_each_example(rng):
    x, fake, seen = *rng.standard_normal((2, 200, 2, 2, 1)), []

    def critic(at):
        seen.append(at.data)
        return at.sum(axis=(1, 2, 3))

    wgan_gp.gradient_penalty(critic, x, fake, rng)
    places = ((seen[0] - fake) / (x - fake)).reshape(200, -1)
    assert np.ptp(places, axis=1).max() < 1e-9
    assert 0 < places.min() < 0.05 < 0.95 < places.max() < 1


def test_the_gradient_of_the_penalty_is_right_to_order_two(rng):
    x, fake = rng.standard_normal((2, 4, 5, 5, 2))

    def penalty(w, v):
        def critic(x):
            return (silu(conv2d(x, w, stride=2)).mean(axis=(1, 2)) @ v).reshape(len(x))

        return wgan_gp.gradient_penalty(critic, x, fake, np.random.default_rng(1))

    arrays = rng.standard_normal((3, 3, 2, 4)), 3 * rng.standard_normal((4, 1))
    gradcheck(penalty, *arrays, rng=rng, order=2, tolerance=1e-5)


def test_a_packed_critic_has_one_slope_for_each_pack(rng):
    w = rng.standard_normal((2, 2, 6))
    critic = Packed(Told(lambda x: (x * w).sum(axis=(1, 2, 3))), 3)
    x, fake = rng.standard_normal((2, 6, 2, 2, 2))
    found = wgan_gp.gradient_penalty(critic, x, fake, rng).item()
    assert found == pytest.approx((np.linalg.norm(w) - 1) ** 2)


# ------------------------------------------------------------------------------------------ packing


def test_packed_pictures_lie_on_top_of_each_other(rng):
    x = rng.standard_normal((6, 4, 5, 3))
    y = packed(Tensor(x), 2).data
    assert y.shape == (3, 4, 5, 6)
    for n in range(3):
        assert_close(y[n, ..., :3], x[2 * n])
        assert_close(y[n, ..., 3:], x[2 * n + 1])
    points = packed(rng.standard_normal((8, 2)), 4)
    assert points.shape == (2, 8)


def test_a_packed_discriminator_sees_that_all_are_alike():
    """A fair coin, and one that falls as it fell before: one toss does not tell, two do."""
    rng = np.random.default_rng(0)
    tosses = rng.integers(2, size=(4000, 1)).astype(float)
    alike = np.repeat(rng.integers(2, size=(2000, 1)), 2, axis=0).astype(float)
    assert alike.mean() == pytest.approx(tosses.mean(), abs=0.05)
    pairs = [packed(x, 2) for x in (tosses, alike)]
    assert [(x[:, 0] == x[:, 1]).mean() for x in pairs] == pytest.approx([0.5, 1.0], abs=0.05)


# -------------------------------------------------------------------------------------------- DCGAN


@pytest.mark.parametrize("grow", dcgan.UPSAMPLES)
@pytest.mark.parametrize("norm", dcgan.D_NORMS)
def test_shapes_and_range(grow, norm, rng):
    config = DCGANConfig(d_norm=norm, upsample=grow, colours=3, pack=2)
    model = GAN(dcgan.Generator(config, rng=rng), Packed(dcgan.Discriminator(config, rng=rng), 2))
    made = gan.sample(model, 4, rng)
    assert (made.shape, made.dtype) == ((4, 28, 28, 3), np.float32)
    assert np.abs(made).max() <= 1
    assert model.D(Tensor(made)).shape == (2,)


@pytest.mark.parametrize("norm", ["none", "spectral"])
def test_without_batch_norm_the_score_of_a_picture_is_its_own(norm, rng):
    D = dcgan.Discriminator(DCGANConfig(d_norm=norm), rng=rng).eval()
    x = rng.standard_normal((5, 28, 28, 1)).astype(np.float32)
    assert_close(D(Tensor(x)).data[2:3], D(Tensor(x[2:3])).data, terms=3000)


def test_a_spectral_discriminator_stretches_nothing(rng):
    """Convolutions overlap (each pixel is read by 4 filters), so 2 for each of the two layers."""
    D = dcgan.Discriminator(DCGANConfig(d_norm="spectral"), rng=rng).eval()
    x = rng.standard_normal((40, 28, 28, 1)).astype(np.float32)
    assert nn.squared_slopes(D, x).data.max() ** 0.5 < 4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: DCGANConfig(d_norm="layer"), "d_norm is 'layer', expected batch or spectral or"),
        (lambda r: DCGANConfig(upsample="x"), "upsample is 'x', expected resize or transposed"),
        (lambda r: DCGANConfig(size=30), "a picture of 30 pixels cannot be halved 2 times"),
        (lambda r: packed(np.zeros((5, 2)), 2), "5 pictures do not make packs of 2"),
        (
            lambda r: gan.generator_loss(game(None, np.zeros((1, 1))), np.zeros((1, 1)), r, "wgan"),
            "the loss is 'wgan', expected non_saturating or minimax",
        ),
        (
            lambda r: wgan_gp.gradient_penalty(None, np.zeros((4, 2)), np.zeros((3, 2)), r),
            r"x is \(4, 2\), fake \(3, 2\)",
        ),
    ],
)
def test_bad_input_is_told(call, message, rng):
    with pytest.raises(ValueError, match=message):
        call(rng)


# ----------------------------------------------------------------------------------------- learning


def bars():
    """Eight pictures of 8 x 8 pixels: a bar at each place, lying and standing."""
    x = np.full((8, 8, 8, 1), -1, np.float32)
    for n in range(8):
        x[n, :, n] = x[n, 7 - n] = 1
    return x


def play(model, turns, x, steps, rng):
    """The training loop's turns, as plain as can be."""
    for step in range(steps):
        for loss, optimizer, every in turns:
            if step % every == 0:
                optimizer.lr = 4e-3 * (1 - step / steps)
                model.zero_grad()
                result = loss(model, x, rng)
                (result[0] if isinstance(result, tuple) else result).backward()
                optimizer.step()


SPECTRAL, NONE = DCGANConfig(d_norm="spectral"), DCGANConfig(d_norm="none")
D_LOSS, G_LOSS = gan.discriminator_loss, gan.generator_loss
GAMES = {  # D, its loss, G's, steps of D for one of G, distance reached: 0.6 to 0.9 at the start
    "gan": (DCGANConfig(), D_LOSS, G_LOSS, 1, 0.5),
    "spectral": (SPECTRAL, D_LOSS, G_LOSS, 1, 0.45),
    "pack": (replace(SPECTRAL, pack=2), D_LOSS, G_LOSS, 1, 0.5),
    "wgan_gp": (NONE, wgan_gp.critic_loss, wgan_gp.generator_loss, 2, 0.35),
}


@pytest.mark.parametrize("name", GAMES)
def test_eight_pictures_are_learned(name, rng):
    config, d_loss, g_loss, d_steps, reached = GAMES[name]
    small = {"size": 8, "latents": 8, "g_channels": (32, 16), "d_channels": (16, 32)}
    config, start = replace(config, **small), time.monotonic()
    D = dcgan.Discriminator(config, rng=rng)
    model = GAN(dcgan.Generator(config, rng=rng), Packed(D, config.pack))
    x = bars()[rng.permutation(32) % 8]
    d_adam, g_adam = (Adam(part.parameters(), betas=(0.5, 0.9)) for part in (model.D, model.G))
    with one_blas_thread():
        play(model, [(d_loss, d_adam, 1), (g_loss, g_adam, d_steps)], x, 500, rng)
        made = gan.sample(model.eval(), 64, rng)
    squares = ((made[:, None] - bars()) ** 2).mean(axis=(2, 3, 4))  # (64, 8)
    assert squares.min(axis=1).mean() < reached
    assert len(np.unique(squares.argmin(axis=1))) >= 6
    assert time.monotonic() - start < 60  # 4 seconds when nothing else runs

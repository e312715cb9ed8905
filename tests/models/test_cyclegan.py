"""CycleGAN: losses against their formulas, the pool against the paper, and learning."""

from dataclasses import replace

import numpy as np
import pytest

from minigen.models.translation import cyclegan
from minigen.models.translation.cyclegan import CycleGAN, CycleGANConfig, ImagePool
from minigen.ops import mse_loss
from minigen.optim import AdamW

SMALL = CycleGANConfig(size=8, channels=(8, 8), blocks=1, d_channels=(8,), pool=2)


def double(model, rng, scale=0.1):
    """The model in float64, its weights moved so that nothing is 0."""
    for weight in model.parameters():
        weight.data = weight.data + scale * rng.standard_normal(weight.shape)
    return model


def both(rng, n=2, dtype=np.float64):
    return tuple(rng.uniform(-1, 1, (2, n, 8, 8, 3)).astype(dtype))


def l1(a, b):
    return np.abs(a.numpy() - b).mean()


# ---------------------------------------------------------------------------------- the equations


def test_the_generators_loss_is_the_equation(rng):
    model, (x, y) = double(CycleGAN(SMALL, rng=rng), rng), both(rng)
    fake_y, fake_x = model.G(x), model.F(y)
    gan = sum(
        ((D(f).numpy() - 1) ** 2).mean() for D, f in ((model.D_Y, fake_y), (model.D_X, fake_x))
    )
    cycle = l1(model.F(fake_y), x) + l1(model.G(fake_x), y)
    identity = l1(model.G(y), y) + l1(model.F(x), x)
    loss, numbers = cyclegan.generator_loss(model, (x, y), rng)
    assert loss.item() == pytest.approx(gan + 2 * cycle + 1 * identity)
    assert numbers == pytest.approx({"G_gan": gan, "G_cycle": cycle, "G_identity": identity})


def test_the_discriminators_loss_is_the_equation_while_the_pools_fill(rng):
    model, (x, y) = double(CycleGAN(SMALL, rng=rng), rng), both(rng)
    expected = 0.0
    for D, true, fake in ((model.D_Y, y, model.G(x)), (model.D_X, x, model.F(y))):
        expected += ((D(true).numpy() - 1) ** 2).mean() / 2 + (D(fake).numpy() ** 2).mean() / 2
    loss, numbers = cyclegan.discriminator_loss(model, (x, y), rng)
    assert loss.item() == pytest.approx(expected)
    answers = (model.D_Y(y).numpy().mean() + model.D_X(x).numpy().mean()) / 2
    assert numbers["D_real"] == pytest.approx(answers)


def test_generators_that_change_nothing_lose_no_cycle_and_no_identity(rng):
    model, batch = CycleGAN(SMALL, rng=rng), both(rng, dtype=np.float32)
    assert np.array_equal(model.G(batch[0]).numpy(), batch[0])  # as it is untrained
    numbers = cyclegan.generator_loss(model, batch, rng)[1]
    assert numbers["G_cycle"] == numbers["G_identity"] == 0


def test_who_finds_back_loses_no_cycle_though_every_picture_is_changed(rng):
    model, batch = CycleGAN(SMALL, rng=rng), both(rng, dtype=np.float32)
    model.G, model.F = (lambda x: x * 2.0), (lambda x: x * 0.5)
    numbers = cyclegan.generator_loss(model, batch, rng)[1]
    assert numbers["G_cycle"] == 0
    assert numbers["G_identity"] > 0.3


def test_each_sides_loss_moves_its_own_weights(rng):
    model, batch = double(CycleGAN(SMALL, rng=rng), rng), both(rng)
    cyclegan.discriminator_loss(model, batch, rng)[0].backward()
    touched = {name[:3] for name, p in model.named_parameters() if p.grad is not None}
    assert touched == {"D_X", "D_Y"}


def test_without_an_identity_weight_its_passes_are_spared(rng):
    config = CycleGANConfig(size=8, channels=(8,), blocks=0, d_channels=(8,), identity=0.0)
    model, batch = CycleGAN(config, rng=rng), both(rng, dtype=np.float32)
    assert set(cyclegan.generator_loss(model, batch, rng)[1]) == {"G_gan", "G_cycle"}


# --------------------------------------------------------------------------------------- the pool


def numbered(*numbers):
    """Pictures of one pixel, which are their numbers."""
    return np.float32(numbers).reshape(-1, 1, 1, 1)


def test_a_pool_that_is_not_full_keeps_and_hands_on_what_comes(rng):
    pool = ImagePool(3, (1, 1, 1))
    assert list(pool.exchange(numbered(1, 2), rng).ravel()) == [1, 2]
    assert list(pool.exchange(numbered(3), rng).ravel()) == [3]
    assert list(pool.pictures.numpy().ravel()) == [1, 2, 3]


def test_a_full_pool_shows_an_older_picture_half_of_the_time_and_never_one_twice(rng):
    pool, shown = ImagePool(50, (1, 1, 1)), []
    for first in range(0, 4000, 4):
        shown += list(pool.exchange(numbered(*range(first, first + 4)), rng).ravel())
    old = np.array(shown[50:]) < np.arange(50, 4000)
    assert 0.47 < old.mean() < 0.53
    changed = [s for s, is_old in zip(shown[50:], old) if is_old]
    assert len(set(changed)) == len(changed)  # it left the pool as it was shown
    kept = set(pool.pictures.numpy().ravel())
    assert len(kept) == 50
    assert not kept & set(changed)


def test_the_share_of_each_place_of_a_full_pool_is_equal(rng):
    pool, found = ImagePool(4, (1, 1, 1)), np.zeros(4)
    pool.exchange(numbered(0, 0, 0, 0), rng)
    for n in range(1, 4000):
        before = pool.pictures.numpy().ravel().copy()
        pool.exchange(numbered(n), rng)
        found += before != pool.pictures.numpy().ravel()
    np.testing.assert_allclose(found / 4000, 1 / 8, atol=0.02)


def test_a_pool_of_no_pictures_hands_on_what_comes(rng):
    pool = ImagePool(0, (1, 1, 1))
    assert list(pool.exchange(numbered(1, 2, 3), rng).ravel()) == [1, 2, 3]


def test_a_checkpoint_has_the_pools(rng):
    model, batch = CycleGAN(SMALL, rng=rng), both(rng, dtype=np.float32)
    cyclegan.discriminator_loss(model, batch, rng)
    again = CycleGAN(SMALL, rng=rng)
    again.load_state_dict(model.state_dict())
    assert int(again.pool_X.count.numpy()) == 2
    assert np.array_equal(again.pool_Y.pictures.numpy(), batch[0])  # as G gives back what it gets


# -------------------------------------------------------------------------- networks and learning


def test_a_generator_that_is_told_places_can_draw_what_is_always_there(rng):
    """A hatching of mean square 0.5: with zeros beyond the border alone, nobody finds its phase."""
    i, reached = np.arange(24), {}
    hatching = np.where((i + i[:, None]) % 3, 0.5, -1).astype(np.float32)[:, :, None]
    for told in (True, False):
        config = CycleGANConfig(size=24, channels=(8,), blocks=0, positions=told)
        G = cyclegan.Generator(config, rng=rng)
        adam = AdamW(G.parameters(), 3e-3, weight_decay=0.0)
        for _ in range(60):
            x = np.full((1, 24, 24, 3), rng.uniform(-1, 1), np.float32)  # a flat picture
            G.zero_grad()
            error = mse_loss(G(x), x + hatching)
            error.backward()
            adam.step()
        reached[told] = error.item()
    assert reached[True] < 0.15 < 0.4 < reached[False]


def test_translations_are_pictures(rng):
    model, x = double(CycleGAN(SMALL, rng=rng), rng, 1.0), both(rng)[0]
    there, back = (cyclegan.translate(model, x, d) for d in cyclegan.DIRECTIONS)
    assert there.shape == back.shape == x.shape
    assert np.abs([there, back]).max() == 1
    assert np.abs(there - back).max() > 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, x: cyclegan.translate(m, x, "there"), "'there', expected AtoB or BtoA"),
        (lambda m, x: m.G(x[:, :4]), r"x is \(2, 4, 8, 3\), expected \(N, 8, 8, 3\)"),
        (lambda m, x: CycleGANConfig(size=30, channels=(8, 8, 8)), "30 pixels cannot be halved 2"),
        (lambda m, x: CycleGANConfig(channels=()), "cannot be halved -1 times"),
    ],
)
def test_bad_input_is_told(call, message, rng):
    with pytest.raises(ValueError, match=message):
        call(CycleGAN(SMALL, rng=rng), both(rng, dtype=np.float32)[0])


def test_a_dark_and_a_bright_set_are_translated_into_each_other_and_back(rng):
    """Bars at four places, X dark and Y bright: the bar stays where it is."""
    x = np.full((4, 8, 8, 3), -0.8, np.float32)
    for n in range(4):
        x[n, :, 2 * n] = -0.2
    y = x + 1
    model = CycleGAN(replace(SMALL, identity=0.0), rng=rng)
    makers = [*model.G.parameters(), *model.F.parameters()]
    judges = [*model.D_X.parameters(), *model.D_Y.parameters()]
    adams = [AdamW(part, 5e-3, (0.5, 0.999), 1e-8, 0.0) for part in (makers, judges)]
    for _ in range(80):
        batch = x[rng.permutation(4)], y[rng.permutation(4)]  # no pairs
        for adam, loss in zip(adams, (cyclegan.generator_loss, cyclegan.discriminator_loss)):
            model.zero_grad()
            loss(model, batch, rng)[0].backward()
            adam.step()
    assert np.abs(cyclegan.translate(model, x) - y).mean() < 0.25  # 1 at first
    assert np.abs(cyclegan.translate(model, y, "BtoA") - x).mean() < 0.25

"""The autoencoder of latent diffusion: its loss, the scale of its latents, that it learns."""

import numpy as np
import pytest
from close import assert_close

from minigen import Tensor
from minigen.models.vae.autoencoder_kl import (
    AutoencoderKL,
    AutoencoderKLConfig,
    draw,
    loss,
    sample,
)
from minigen.ops import gaussian_kl, kl_per_latent
from minigen.optim import AdamW
from minigen.optim.running_mean import RunningMean
from minigen.parallel import one_blas_thread

TINY = AutoencoderKLConfig(channels=(8, 8), width=3)


def network(config=TINY, dtype=np.float64):
    rng = np.random.default_rng(0)
    model = AutoencoderKL(config, rng=rng).astype(dtype)
    for p in model.parameters():
        p.data += 0.1 * rng.standard_normal(p.shape).astype(dtype)
    return model


def some(rng, n=2, size=8, channels=1, dtype=np.float64):
    return rng.uniform(-1, 1, (n, size, size, channels)).astype(dtype)


def test_the_loss_is_absolute_error_and_weighted_kl(rng):
    model, x = network(), some(rng)
    mu, log_var = (a.data for a in model.posterior(x))
    eps = np.random.default_rng(3).standard_normal(mu.shape)
    z = mu + np.exp(log_var / 2) * eps
    error = np.abs(model.decoder(Tensor(z)).data - x).sum() / 2
    kl = 0.5 * (mu**2 + np.exp(log_var) - 1 - log_var).sum() / 2
    config = AutoencoderKLConfig(kl_weight=0.3)
    total, numbers = loss(model, x, np.random.default_rng(3), config)
    assert total.item() == pytest.approx(error + 0.3 * kl, rel=1e-12)
    assert numbers["kl"] == pytest.approx(kl, rel=1e-12)
    assert numbers["absolute_error"] == pytest.approx(error / 64, rel=1e-12)


def test_sigma_is_exp_of_half_log_var():
    mu = Tensor(np.full((100_000, 1), 0.7))
    z = draw(mu, Tensor(np.full(mu.shape, 2 * np.log(0.3))), np.random.default_rng(0)).data
    assert z.mean() == pytest.approx(0.7, abs=0.004)
    assert z.std() == pytest.approx(0.3, rel=0.01)


def test_the_kl_of_each_latent_adds_up_and_is_0_of_a_standard_normal(rng):
    mu, log_var = (Tensor(rng.standard_normal((3, 2, 2, 4))) for _ in range(2))
    each = kl_per_latent(mu, log_var).data
    assert (each > 0).all()
    assert_close(each.sum() / 3, gaussian_kl(mu, log_var).data[()], terms=48)
    nothing = Tensor(np.zeros((1, 2)))
    assert not kl_per_latent(nothing, nothing).data.any()


def test_the_scale_of_the_latents_is_their_running_deviation(rng):
    model, x = network(), some(rng, 4)
    optimizer = RunningMean(model.moments.named_parameters(), decay=0.5)
    for _ in range(40):
        optimizer.zero_grad()
        loss(model, x, np.random.default_rng(1))[0].backward()
        optimizer.step()
    z = draw(*model.posterior(x), np.random.default_rng(1)).data
    assert model.moments.std() == pytest.approx(z.std(), rel=1e-6)
    scaled = model.encode(x, np.random.default_rng(1)).data
    assert scaled.std() == pytest.approx(1, rel=1e-6)


def test_decoding_undoes_the_scale(rng):
    model, x = network(), some(rng)
    model.moments.second.data[:] = 9.0
    model.moments.first.data[:] = 0.0
    mu = model.posterior(x)[0]
    assert_close(model.encode(x).data, mu.data / 3, terms=4)
    assert_close(model(x).data, model.decoder(mu).data, terms=1000)


def test_the_scale_gives_no_gradient_to_the_network(rng):
    model = network()
    z = model.posterior(some(rng))[0]
    model.moments.follow(z.data).backward()
    assert all(p.grad is not None for p in model.moments.parameters())
    assert all(p.grad is None for p in model.encoder.parameters())


@pytest.mark.parametrize("size", [28, 32])
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_both_sizes_and_colours_go_through(size, channels, rng):
    model = AutoencoderKL(AutoencoderKLConfig(channels, (8, 8)), rng=rng)
    x = some(rng, 2, size, channels, np.float32)
    z = model.encode(x, rng)
    assert z.shape == (2, size // 4, size // 4, 4)
    y = model.decode(z)
    assert y.shape == x.shape
    assert y.dtype == z.dtype == np.float32
    assert sample(model, 3, rng, z.shape[1:3]).shape == (3, *x.shape[1:])


def test_three_levels_make_an_eighth(rng):
    model = AutoencoderKL(AutoencoderKLConfig(3, (8, 8, 16)), rng=rng)
    assert model.encode(some(rng, 1, 32, 3, np.float32)).shape == (1, 4, 4, 4)


def test_a_small_network_learns_eight_pictures():
    rng = np.random.default_rng(0)
    config = AutoencoderKLConfig(channels=(16, 16), width=4)
    model = AutoencoderKL(config, rng=rng)
    x = np.kron(rng.choice([-1, 1], (8, 4, 4, 1)), np.ones((1, 4, 4, 1))).astype(np.float32)
    learned = [p for name, p in model.named_parameters() if not name.startswith("moments")]
    optimizers = [AdamW(learned, 5e-3), RunningMean(model.moments.named_parameters(), 0.9)]
    with one_blas_thread():
        for _ in range(80):
            for optimizer in optimizers:
                optimizer.zero_grad()
            total, numbers = loss(model, x, rng, config)
            total.backward()
            for optimizer in optimizers:
                optimizer.step()
    assert numbers["absolute_error"] < 0.1
    assert model.encode(x).data.std() == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, 8, 8, 3)), r"x is \(2, 8, 8, 3\), expected \(N, H, W, 1\)"),
        (np.zeros((2, 10, 8, 1)), "x has 10 x 8 pixels, expected multiples of 4"),
        (np.full((2, 8, 8, 1), 2.0), r"between 2 and 2, expected pictures in \[-1, 1\]"),
    ],
    ids=["channels", "size", "range"],
)
def test_a_wrong_picture_is_told(x, message, rng):
    with pytest.raises(ValueError, match=message):
        loss(network(), x, rng)

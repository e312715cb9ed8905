"""VAE, IWAE and conditional VAE: the bounds against definitions and integrals, and learning."""

import math

import numpy as np
import pytest
from close import assert_close

from minigen.autograd import Tensor, grad
from minigen.models.vae import conditional_vae, iwae, vae
from minigen.models.vae.conditional_vae import ConditionalVAE, ConditionalVAEConfig, Given
from minigen.models.vae.vae import VAE, VAEConfig
from minigen.ops import gaussian_kl, kl_per_latent
from minigen.optim import AdamW

SMALL = VAEConfig(size=4, latents=3, widths=(8,))
CONV = VAEConfig(size=4, latents=3, network="conv", channels=(8,))
CONDITIONAL = ConditionalVAEConfig(size=4, classes=3, latents=3, widths=(8,))
BOTH = pytest.mark.parametrize("config", [SMALL, CONV], ids=["mlp", "conv"])


def double(model, rng, scale=0.3):
    """The model in float64, its weights moved so that nothing is 0."""
    for weight in model.parameters():
        weight.data = weight.data + scale * rng.standard_normal(weight.shape)
    return model


def pictures(rng, n, size=4, dtype=np.float64):
    return (rng.random((n, size, size, 1)) < 0.4).astype(dtype)


def log_normal(x, mean, std):
    return -0.5 * ((x - mean) / std) ** 2 - np.log(std) - 0.5 * math.log(2 * math.pi)


# ------------------------------------------------------------------------------- the Gaussian, KL


def test_sigma_is_the_root_of_the_variance(rng):
    mu, log_var = Tensor(np.full((40_000, 1), 2.0)), Tensor(np.full((40_000, 1), math.log(9)))
    z = vae.draw_latents(mu, log_var, rng.standard_normal(mu.shape)).data
    assert z.mean() == pytest.approx(2, abs=4 * 3 / 200)
    assert z.std() == pytest.approx(3, rel=4 / math.sqrt(80_000))


def test_the_kl_of_the_prior_to_itself_is_zero():
    zero = np.zeros((5, 3))
    assert gaussian_kl(zero, zero).item() == 0
    assert not kl_per_latent(zero, zero).data.any()


def test_the_kl_is_the_mean_of_log_q_over_p(rng):
    mu, log_var = rng.standard_normal((2, 4, 3))
    sigma = np.exp(log_var / 2)
    z = mu + sigma * rng.standard_normal((50_000, 4, 3))
    draws = (log_normal(z, mu, sigma) - log_normal(z, 0, 1)).sum(2).mean(1)  # (50000,)
    kl = gaussian_kl(mu, log_var).item()
    assert kl == pytest.approx(draws.mean(), abs=4 * draws.std() / math.sqrt(len(draws)))
    assert kl == pytest.approx(kl_per_latent(mu, log_var).data.mean(axis=0).sum())


# -------------------------------------------------------------------------------------- the bounds


def test_log_weights_are_their_definition(rng):
    model, x = double(VAE(SMALL, rng=rng), rng), pictures(rng, 2)
    mu, log_var = model.encode(x)
    eps = rng.standard_normal((5, 2, 3))
    expected = np.empty((5, 2))
    for k, n in np.ndindex(5, 2):
        sigma = np.exp(log_var.data[n] / 2)
        z = mu.data[n] + sigma * eps[k, n]
        p = 1 / (1 + np.exp(-model.decode(Tensor(z[None])).data[0]))
        log_px = np.log(np.where(x[n] == 1, p, 1 - p)).sum()
        expected[k, n] = log_px + (log_normal(z, 0, 1) - log_normal(z, mu.data[n], sigma)).sum()
    assert_close(iwae.log_weights(model, x, mu, log_var, eps).data, expected, terms=60)


@BOTH
def test_the_vae_is_trained_on_the_mean_of_the_log_weights(config, rng):
    model, x = double(VAE(config, rng=rng), rng), pictures(rng, 3)
    losses = np.array([vae.loss(model, x, rng)[0].item() for _ in range(400)])
    elbo = iwae.bound(model, x, 4000, rng).elbo.mean()
    assert -elbo == pytest.approx(losses.mean(), abs=5 * losses.std() / math.sqrt(400))


def test_the_parts_of_the_loss_add_up(rng):
    model, x = double(VAE(SMALL, rng=rng), rng), pictures(rng, 3)
    for beta in (1.0, 0.25):
        value, parts = vae.loss(model, x, rng, beta)
        assert value.item() == pytest.approx(parts["recon"] + beta * parts["kl"])
    assert parts["kl"] == pytest.approx(gaussian_kl(*model.encode(x)).item())


def test_the_bound_is_the_integral_over_a_single_latent(rng):
    config = VAEConfig(size=4, latents=1, widths=(8,))
    model, x = double(VAE(config, rng=rng), rng), pictures(rng, 4)
    z = np.linspace(-9, 9, 4001)
    logits = model.decode(Tensor(z[:, None])).data[:, None]  # (4001, 1, H, W, C)
    log_px = -(np.logaddexp(0, logits) - x * logits).sum(axis=(2, 3, 4))  # (4001, N)
    exact = np.log(np.trapezoid(np.exp(log_px + log_normal(z, 0, 1)[:, None]), z, axis=0))
    found = iwae.bound(model, x, 50_000, rng, chunk=5000)
    error = np.sqrt(1 / found.effective)
    assert error.max() < 0.1
    assert (np.abs(found.log_px - exact) < 4 * error).all()
    assert (found.elbo < exact).all()


def test_bounds_rise_with_k_on_the_same_model_and_pictures(rng):
    model, x = double(VAE(SMALL, rng=rng), rng), pictures(rng, 2)
    means = [
        np.mean([iwae.bound(model, x, k, rng).log_px for _ in range(2000 // k)], axis=0)
        for k in (1, 5, 50)
    ]
    assert (np.diff(means, axis=0) > 0).all()


def test_the_loss_is_the_bound_that_the_evaluation_finds(rng):
    model, x = double(VAE(SMALL, rng=rng), rng), pictures(rng, 3)
    for resample in (False, True):
        value = iwae.loss(model, x, np.random.default_rng(5), 7, resample).item()
        bound = iwae.bound(model, x, 7, np.random.default_rng(5), chunk=7).log_px.mean()
        assert value == pytest.approx(-bound, rel=1e-12)


class Chosen:
    """A generator whose noise is known, and whose Gumbel numbers choose the weight `index`."""

    def __init__(self, eps, index):
        self.eps, self.index = eps, index

    def standard_normal(self, shape, dtype):
        return self.eps

    def gumbel(self, size):
        return 1e9 * (np.arange(size[0]) == self.index)[:, None] * np.ones(size)


def test_the_gradient_of_a_drawn_term_is_on_average_that_of_the_bound(rng):
    model, x = double(VAE(SMALL, rng=rng), rng), pictures(rng, 1)
    eps = rng.standard_normal((4, 1, 3))
    log_w = iwae.log_weights(model, x, *model.encode(x), eps).data[:, 0]
    shares = np.exp(log_w) / np.exp(log_w).sum()

    def gradients(index, resample):
        value = iwae.loss(model, x, Chosen(eps, index), 4, resample)
        return np.concatenate([g.data.ravel() for g in grad(value, [*model.parameters()])])

    terms = [share * gradients(i, True) for i, share in enumerate(shares)]
    assert_close(sum(terms), gradients(0, False), terms=100)


# ------------------------------------------------------------------------------------- conditional


def test_the_label_reaches_encoder_and_decoder(rng):
    model, x = double(ConditionalVAE(CONDITIONAL, rng=rng), rng), pictures(rng, 2)
    for one, other in ((0, 1), (1, 2)):
        first, second = (model.encode(x, np.full(2, y))[0].data for y in (one, other))
        assert np.abs(first - second).min() > 0
        z = np.zeros((2, 3))
        first, second = (
            conditional_vae.probabilities(model, z, np.full(2, y)) for y in (one, other)
        )
        assert np.abs(first - second).min() > 0


def test_a_model_that_is_told_its_labels_keeps_them_with_their_pictures(rng):
    model, x = double(ConditionalVAE(CONDITIONAL, rng=rng), rng), pictures(rng, 3)
    labels, eps = np.array([2, 0, 1]), rng.standard_normal((4, 3, 3))
    given = Given(model, labels)
    together = iwae.log_weights(given, x, *given.encode(x), eps).data
    for n in range(3):
        alone = Given(model, labels[n : n + 1])
        mu, log_var = alone.encode(x[n : n + 1])
        one = iwae.log_weights(alone, x[n : n + 1], mu, log_var, eps[:, n : n + 1]).data
        assert_close(together[:, n : n + 1], one, terms=60)


def test_the_conditional_loss_is_that_of_the_model_told_its_labels(rng):
    model, x = double(ConditionalVAE(CONDITIONAL, rng=rng), rng), pictures(rng, 3)
    labels = np.array([2, 0, 1])
    losses = [conditional_vae.loss(model, x, labels, rng)[0].item() for _ in range(400)]
    elbo = iwae.bound(Given(model, labels), x, 4000, rng).elbo.mean()
    assert -elbo == pytest.approx(np.mean(losses), abs=5 * np.std(losses) / 20)


# --------------------------------------------------------------------------- shapes, types, errors


@BOTH
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shapes_and_types(config, dtype, rng):
    model = VAE(config, rng=rng)
    for weight in model.parameters():
        weight.data = weight.data.astype(dtype)
    x = pictures(rng, 5, dtype=dtype)
    mu, log_var = model.encode(x)
    assert (mu.shape, log_var.shape, mu.dtype) == ((5, 3), (5, 3), dtype)
    assert model.decode(mu).shape == x.shape
    assert vae.loss(model, x, rng)[0].dtype == dtype


@BOTH
def test_samples_are_probabilities(config, rng):
    drawn = vae.sample(VAE(config, rng=rng), 6, rng)
    assert (drawn.shape, drawn.dtype) == ((6, 4, 4, 1), np.float32)
    assert drawn.min() > 0
    assert drawn.max() < 1
    model = ConditionalVAE(CONDITIONAL, rng=rng)
    assert conditional_vae.sample(model, np.arange(3), rng).shape == (3, 4, 4, 1)


X = np.zeros((2, 4, 4, 1), np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, c, r: vae.loss(m, X[:, :3], r), r"vae: got pictures \(3, 4, 1\), expected"),
        (lambda m, c, r: vae.loss(m, X - 1, r), "vae: pixels from -1.0 to -1.0, expected 0 to 1"),
        (lambda m, c, r: vae.loss(m, X + np.nan, r), "vae: pixels from nan to nan"),
        (lambda m, c, r: iwae.loss(m, X, r, 0), "iwae: k is 0, expected at least 1"),
        (lambda m, c, r: iwae.bound(m, X, -1, r), "k is -1, expected 1 or more"),
        (lambda m, c, r: c.encode(X[..., :0], np.zeros(2, int)), r"got pictures \(4, 4, 0\)"),
        (lambda m, c, r: c.encode(X + 2, np.zeros(2, int)), "pixels from 2.0 to 2.0"),
        (lambda m, c, r: c.encode(X, np.array([0, 3])), "labels from 0 to 3, expected 0 to 2"),
        (lambda m, c, r: c.encode(X, np.array([-1, 0])), "labels from -1 to 0, expected 0 to 2"),
        (lambda m, c, r: c.encode(X, np.zeros(3, int)), r"2 pictures have labels \(3,\)"),
        (lambda m, c, r: VAEConfig(network="cnn"), "network is 'cnn', expected 'mlp' or 'conv'"),
        (
            lambda m, c, r: VAEConfig(size=30, network="conv"),
            "2 levels cannot halve a picture of 30",
        ),
    ],
)
def test_bad_input_is_told(call, message, rng):
    with pytest.raises(ValueError, match=message):
        call(VAE(SMALL, rng=rng), ConditionalVAE(CONDITIONAL, rng=rng), rng)


# ---------------------------------------------------------------------------------------- learning


def digits(rng):
    """Eight pictures of 8 x 8 pixels: a bar at each place, lying or standing."""
    x = np.zeros((8, 8, 8, 1), np.float32)
    for n in range(8):
        x[n, :, n] = 1
        x[n, 7 - n] = 1
    return x


CONFIGS = {
    "mlp": VAEConfig(size=8, latents=4, widths=(64,)),
    "conv": VAEConfig(size=8, latents=4, network="conv", channels=(8,)),
    "conditional": ConditionalVAEConfig(size=8, classes=8, latents=4, widths=(64,)),
}


@pytest.mark.parametrize(
    ("name", "k", "reached"),
    [("mlp", 1, 6), ("conv", 1, 9), ("mlp", 8, 5), ("conditional", 1, 1)],
)
def test_eight_pictures_are_learned(name, k, reached, rng):
    """ln 8 = 2.1 nats tell which of the eight it is; where the label tells, nothing is left."""
    config, x = CONFIGS[name], digits(rng)
    kind = ConditionalVAE if name == "conditional" else VAE
    model = kind(config, rng=rng)
    optimizer = AdamW(model.parameters(), weight_decay=0.0)
    for step in range(steps := 150 if name == "conv" else 500):
        optimizer.lr = 1e-2 * (1 - step / steps)
        optimizer.zero_grad()
        if name == "conditional":
            value = conditional_vae.loss(model, x, np.arange(8), rng)[0]
        else:
            value = iwae.loss(model, x, rng, k, True) if k > 1 else vae.loss(model, x, rng)[0]
        value.backward()
        optimizer.step()
    told = Given(model, np.arange(8)) if name == "conditional" else model
    assert -iwae.bound(told, x, 200, rng).log_px.mean() < reached

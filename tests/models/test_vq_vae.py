"""VQ-VAE: the nearest code, the gradient straight through, the codebook's averages."""

import numpy as np
import pytest
from close import assert_close

from minigen import Tensor, nn
from minigen.models.vae.vq_vae import (
    VQVAE,
    Codebook,
    CodebookAverage,
    VQVAEConfig,
    loss,
    perplexity,
    sample,
)
from minigen.optim import AdamW
from minigen.parallel import one_blas_thread
from minigen.train.data_parallel import parallel_backward

TINY = VQVAEConfig(channels=(8, 8), codes=6, width=5)


def network(config=TINY, dtype=np.float64):
    rng = np.random.default_rng(0)
    model = VQVAE(config, rng=rng).astype(dtype)
    for p in (*model.encoder.parameters(), *model.decoder.parameters()):
        p.data += 0.1 * rng.standard_normal(p.shape).astype(dtype)
    return model


def some(rng, n=2, size=8, dtype=np.float64):
    return rng.uniform(-1, 1, (n, size, size, 1)).astype(dtype)


# --------------------------------------------------------------------------------- the nearest code


@pytest.mark.parametrize("shape", [(7,), (3, 2), (2, 3, 4)], ids=str)
def test_the_nearest_code_is_that_of_brute_force(shape, rng):
    book = Codebook(11, 4, rng=rng).astype(np.float64)
    z, e = rng.standard_normal((*shape, 4)), book.vectors()
    expected = [min(range(11), key=lambda k: ((v - e[k]) ** 2).sum()) for v in z.reshape(-1, 4)]
    np.testing.assert_array_equal(book.nearest(z), np.reshape(expected, shape))


def test_a_code_is_its_own_nearest(rng):
    book = Codebook(50, 8, rng=rng)
    np.testing.assert_array_equal(book.nearest(book.vectors()), np.arange(50))


def test_the_decoder_sees_codes_only(rng):
    model, x = network(), some(rng)
    z_q, codes = model.quantise(model.encode(x))
    assert_close(z_q.data, model.codebook.vectors()[codes], terms=4)
    assert_close(model(x).data, model.decode(codes).data, terms=100)


def test_tokens_are_the_codes_that_the_decoder_sees(rng):
    model, x = network(), some(rng)
    codes = model.tokenise(x)
    np.testing.assert_array_equal(codes, model.quantise(model.encode(x))[1])
    assert_close(model.decode(codes).data, model(x).data, terms=100)


# ---------------------------------------------------------------------------- the straight-through


def gradients(model, x, beta):
    """Of the loss, by the names of parameters that have one."""
    model.zero_grad()
    loss(model, x, VQVAEConfig(beta=beta))[0].backward()
    return {name: p.grad.data for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("beta", [0.0, 0.25])
def test_the_encoder_gets_the_decoders_gradient_at_the_codes_and_the_commitments(beta, rng):
    model, x = network(), some(rng)
    z = model.encode(x)
    e = model.codebook.vectors()[model.codebook.nearest(z.data)]
    at_codes = Tensor(e, requires_grad=True)
    ((model.decoder(at_codes) - x) ** 2).mean().backward()  # the decoder alone
    g = at_codes.grad.data + beta * 2 * (z.data - e) / z.size  # section 3.2
    model.zero_grad()
    z.backward(g)
    expected = {name: p.grad.data for name, p in model.encoder.named_parameters()}
    found = gradients(model, x, beta)
    for name, g in expected.items():
        assert_close(found[f"encoder.{name}"], g, terms=1000)


def test_the_decoder_gives_the_codebook_no_gradient(rng):
    model, x = network(), some(rng)
    ((model(x) - x) ** 2).mean().backward()
    assert all(p.grad is None for p in model.codebook.parameters())
    assert all(p.grad is not None for p in model.decoder.parameters())


def test_the_loss_is_error_and_commitment(rng):
    model, x = network(), some(rng)
    z = model.encode(x)
    z_q, _ = model.quantise(z)
    expected = ((model(x).data - x) ** 2).mean() + 0.25 * ((z.data - z_q.data) ** 2).mean()
    total, numbers = loss(model, x)
    assert total.item() == pytest.approx(expected, rel=1e-12)
    assert numbers["squared_error"] + 0.25 * numbers["commitment"] == pytest.approx(expected)


# ----------------------------------------------------------------------------- the codebook's means


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_codebook_follows_equations_6_to_8_also_on_a_shared_batch(workers, rng):
    model, x = network(), some(rng, 5)
    book, config = model.codebook, VQVAEConfig(decay=0.05, restart_below=0)
    z = model.encode(x).data.reshape(-1, 5)
    codes = book.nearest(z)
    N, m = book.uses.data.copy(), book.sums.data.copy()
    for i in range(6):
        N[i] = 0.05 * N[i] + 0.95 * (codes == i).sum() / 5  # eq. 6, per picture
        m[i] = 0.05 * m[i] + 0.95 * z[codes == i].sum(axis=0) / 5  # eq. 7
    optimizer = CodebookAverage(book, config)
    parallel_backward(lambda model, x, rng: loss(model, x, config), model, x, rng, workers)
    optimizer.step()
    assert_close(book.uses.data, N, terms=20)
    assert_close(book.vectors(), m / N[:, None], terms=500)  # eq. 8


def test_a_codebook_alone_finds_the_clusters(rng):
    centres = 4 * rng.standard_normal((8, 3))
    book = Codebook(8, 3, rng=rng).astype(np.float64)
    optimizer = CodebookAverage(book, VQVAEConfig(decay=0.9))
    for _ in range(150):
        z = centres[rng.integers(8, size=(32, 4))] + 0.05 * rng.standard_normal((32, 4, 3))
        optimizer.zero_grad()
        book.follow(z, book.nearest(z)).backward()
        optimizer.step()
    nearest = np.linalg.norm(centres[:, None] - book.vectors(), axis=-1).min(axis=1)
    assert nearest.max() < 0.1
    assert book.perplexity() > 7.5


def test_a_dead_code_takes_half_of_the_most_used_one(rng):
    book = Codebook(5, 3, rng=rng)
    book.uses.data[:] = [4, 0.001, 8, 3, 5]
    book.sums.data[:] = book.uses.data[:, None] * np.arange(15).reshape(5, 3)
    assert book.restart(0.1) == 1
    np.testing.assert_allclose(book.uses.data, [4, 4, 4, 3, 5])
    e = book.vectors()
    np.testing.assert_allclose(e[2], [6, 7, 8], rtol=1e-6)
    assert 0 < np.abs(e[1] - e[2]).max() < 0.2
    assert book.restart(0.1) == 0


def test_a_codebook_without_restarts_keeps_dead_codes(rng):
    book = Codebook(4, 2, rng=rng)
    book.uses.data[:] = [1, 1e-9, 1, 1]
    before = book.vectors().copy()
    assert book.restart(0.0) == 0
    np.testing.assert_array_equal(book.vectors(), before)


def test_a_code_whose_use_has_shrunk_to_0_is_never_chosen(rng):
    book = Codebook(4, 2, rng=rng)
    book.uses.data[:2], book.sums.data[:2] = 0, 0
    z = np.concatenate([np.zeros((1, 2)), rng.standard_normal((50, 2))]).astype(np.float32)
    assert np.isfinite(book.vectors()).all()
    assert set(book.nearest(z)) == {2, 3}


def test_perplexity_counts_codes():
    assert perplexity(np.full(512, 3)) == pytest.approx(512)
    assert perplexity(np.array([0, 7, 0])) == 1
    assert perplexity(np.array([3, 1])) == pytest.approx(2**0.811278, rel=1e-5)  # H(1/4) in bits
    with pytest.raises(ValueError, match="no code is used"):
        perplexity(np.zeros(3))


# ------------------------------------------------------------------------------------------- learns


def test_a_small_network_learns_eight_pictures():
    rng = np.random.default_rng(0)
    config = VQVAEConfig(channels=(16, 16), codes=32, width=8)
    model, x = VQVAE(config, rng=rng), blocks(rng)
    learned = [p for name, p in model.named_parameters() if not name.startswith("codebook")]
    optimizers = [AdamW(learned, 5e-3), CodebookAverage(model.codebook, config)]
    with one_blas_thread():
        for _ in range(100):
            for optimizer in optimizers:
                optimizer.zero_grad()
            total, numbers = loss(model, x, config)
            total.backward()
            for optimizer in optimizers:
                optimizer.step()
    assert numbers["squared_error"] < 0.02 * x.var()
    assert numbers["perplexity"] > 16


def blocks(rng):
    """Eight pictures (8, 16, 16, 1) of black and white squares."""
    return np.kron(rng.choice([-1, 1], (8, 4, 4, 1)), np.ones((1, 4, 4, 1))).astype(np.float32)


# ----------------------------------------------------------------------------------- shapes, errors


@pytest.mark.parametrize(("size", "channels"), [(28, 1), (32, 3)])
def test_pictures_become_maps_of_codes_and_pictures_again(size, channels, rng):
    config = VQVAEConfig(channels, (8, 8), codes=10, width=4)
    model = VQVAE(config, rng=rng)
    x = rng.uniform(-1, 1, (2, size, size, channels)).astype(np.float32)
    z_q, codes = model.quantise(model.encode(x))
    assert z_q.shape == (2, size // 4, size // 4, 4)
    assert codes.shape == z_q.shape[:3]
    assert model(x).shape == x.shape
    assert model(x).dtype == np.float32
    assert sample(model, 3, rng, codes.shape[1:]).shape == (3, size, size, channels)


def test_random_codes_come_as_often_as_they_are_used(rng):
    model = network()
    model.codebook.uses.data[:] = [0, 0, 1, 3, 0, 0]
    seen = []
    model.decode = lambda codes: seen.append(codes) or Tensor(codes)
    sample(model, 400, rng, (5, 5))
    shares = np.bincount(seen[0].reshape(-1), minlength=6) / 10_000
    np.testing.assert_allclose(shares, [0, 0, 0.25, 0.75, 0, 0], atol=0.02)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, 8, 8, 3), np.float32), r"x is \(2, 8, 8, 3\), expected \(N, H, W, 1\)"),
        (np.zeros((2, 8, 8), np.float32), r"x is \(2, 8, 8\), expected"),
        (np.zeros((2, 10, 8, 1), np.float32), "x has 10 x 8 pixels, expected multiples of 4"),
        (np.full((2, 8, 8, 1), 255.0), r"between 255 and 255, expected pictures in \[-1, 1\]"),
        (np.full((2, 8, 8, 1), np.nan), r"between nan and nan, expected pictures"),
    ],
    ids=["channels", "axes", "size", "range", "nan"],
)
def test_a_wrong_picture_is_told(x, message):
    with pytest.raises(ValueError, match=message):
        loss(network(dtype=np.float32), x)


@pytest.mark.parametrize(
    "codes", [np.full((1, 2, 2), 6), np.full((1, 2, 2), -1), np.zeros((1, 2, 2))]
)
def test_a_wrong_code_is_told(codes):
    with pytest.raises(ValueError, match="integers from 0 to 5"):
        network().decode(codes)


def test_the_codebook_is_in_the_state(rng):
    model, other = network(), VQVAE(TINY, rng=np.random.default_rng(7)).astype(np.float64)
    assert isinstance(model, nn.Module)
    other.load_state_dict(model.state_dict())
    x = some(rng)
    np.testing.assert_array_equal(other(x).data, model(x).data)

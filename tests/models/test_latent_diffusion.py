"""Latent diffusion: the autoencoder stays as it is, the denoiser reads, the latents are decoded."""

from functools import partial

import numpy as np
import pytest
from close import assert_close

from minigen.autograd import Tensor
from minigen.data.pixels import to_float
from minigen.data.scenes import sample_batch
from minigen.data.words import SCENE_WORDS
from minigen.models.diffusion import ddpm
from minigen.models.diffusion.ddpm import DDPMConfig
from minigen.models.text_to_image.latent_diffusion import (
    LatentDiffusion,
    LatentDiffusionConfig,
    loss,
    sample,
)
from minigen.models.vae.autoencoder_kl import AutoencoderKL, AutoencoderKLConfig
from minigen.optim import AdamW
from minigen.parallel import one_blas_thread

CONFIG = LatentDiffusionConfig(
    len(SCENE_WORDS),
    text_width=16,
    text_layers=1,
    latent_size=8,
    latent_width=3,
    channels=(8, 16),
    attention=(False, True),
    embedding_width=32,
)
DIFFUSION = DDPMConfig(schedule="cosine", prediction_type="v", clip=None)
diffusion_loss = partial(ddpm.loss, config=DIFFUSION)
WORDS = SCENE_WORDS.encode(["a red ring", "a blue cross", "a ring", "a green square"])


def tiny(config=CONFIG, stir=0.1):
    rng = np.random.default_rng(0)
    autoencoder = AutoencoderKL(AutoencoderKLConfig(3, (8, 8), width=3), rng=rng)
    model = LatentDiffusion(autoencoder, config, rng=rng)
    for weight in model.parameters():  # nothing is zero, so that every input matters
        weight.data += stir * rng.standard_normal(weight.shape).astype(np.float32)
    return model


def pictures(n=4):
    return to_float(sample_batch(n, np.random.default_rng(1))[0])


def test_the_loss_is_the_diffusions_at_the_latents():
    model, x, seen = tiny(), pictures(), []

    def spy(network, z, rng, words):
        seen.append((network, z, words))
        return Tensor(z).mean()

    loss(model, x, np.random.default_rng(2), spy, words=WORDS)
    ((network, z, words),) = seen
    assert network is model.denoiser
    assert words is WORDS
    assert_close(z, model.autoencoder.encode(x, np.random.default_rng(2)).data)


def test_no_gradient_reaches_the_autoencoder():
    model = tiny()
    loss(model, pictures(), np.random.default_rng(2), diffusion_loss, words=WORDS).backward()
    assert all(p.grad is None for p in model.autoencoder.parameters())
    named = model.denoiser.named_parameters()
    idle = [name for name, p in named if p.grad is None or not p.grad.data.any()]
    # softmax does not change when all keys move together
    assert [name for name in idle if not name.endswith("key.bias")] == []


@pytest.mark.parametrize("other", ["a blue ring", "ring a red", "a small red ring", ""])
def test_each_word_and_its_place_matter(other):
    model = tiny()
    z, t = (
        np.random.default_rng(0).standard_normal((1, 8, 8, 3)).astype(np.float32),
        np.array([900]),
    )
    one, two = (
        model.denoiser(Tensor(z), t, SCENE_WORDS.encode([caption])).data
        for caption in ("a red ring", other)
    )
    assert np.abs(one - two).max() > 1e-4


def test_words_that_were_read_before_give_the_same():
    model, t = tiny(), np.array([900, 10, 500, 20])
    z = Tensor(np.random.default_rng(0).standard_normal((4, 8, 8, 3)).astype(np.float32))
    assert_close(
        model.denoiser(z, t, **model.read(WORDS)).data, model.denoiser(z, t, WORDS).data, terms=10
    )


def draws(model, guidance_scale=1.0, **settings):
    return sample(
        model,
        4,
        np.random.default_rng(5),
        ddpm.sample,
        conditions=model.read(WORDS),
        null_conditions=model.read(np.zeros_like(WORDS)),
        guidance_scale=guidance_scale,
        config=DIFFUSION,
        sampler="ddim",
        steps=3,
        **settings,
    )


def test_a_sample_is_the_diffusions_decoded():
    model = tiny()
    z = ddpm.sample(
        model.denoiser,
        4,
        np.random.default_rng(5),
        (8, 8, 3),
        DIFFUSION,
        sampler="ddim",
        steps=3,
        conditions={"words": WORDS},
    )
    x = draws(model)  # guidance 1 is the conditional
    assert x.shape == (4, 32, 32, 3)
    assert_close(x, model.autoencoder.decode(Tensor(z)).data, terms=200)


def test_guidance_moves_the_picture_and_the_null_prompt_alone_is_scale_0():
    model = tiny()
    assert np.abs(draws(model, 3.0) - draws(model, 1.0)).max() > 1e-3
    model.read = lambda words: model.denoiser.read(np.zeros_like(words))
    unconditional = draws(model)
    del model.read
    assert_close(draws(model, 0.0), unconditional, terms=500)


def test_it_learns_eight_pictures_by_heart_and_which_caption_is_whose():
    model = tiny(stir=0.0)
    shown, captions = sample_batch(8, np.random.default_rng(1), pairs=0.5)
    words, x, rng = SCENE_WORDS.encode(captions), to_float(shown), np.random.default_rng(0)
    model.autoencoder.encoder.output.bias.data[3:] = -10  # log_var: untrained, but without noise
    model.autoencoder.moments.second.data[:] = model.encode(x).var()
    optimizer, losses = AdamW(model.denoiser.parameters(), lr=4e-3), []
    with one_blas_thread():
        for _ in range(150):
            optimizer.zero_grad()
            losses.append(loss(model, x, rng, diffusion_loss, words=words))
            losses[-1].backward()
            optimizer.step()
    own, others = (
        loss(model, x, np.random.default_rng(5), diffusion_loss, words=w).item()
        for w in (words, np.roll(words, 1, axis=0))
    )
    assert np.mean([value.item() for value in losses[-20:]]) < 0.6
    assert others > 1.2 * own


def test_latents_of_another_shape_are_told():
    model = tiny(LatentDiffusionConfig(**{**vars(CONFIG), "latent_width": 4}))
    with pytest.raises(ValueError, match=r"latents are \(8, 8, 3\), expected \(8, 8, 4\)"):
        loss(model, pictures(), np.random.default_rng(0), diffusion_loss, words=WORDS)

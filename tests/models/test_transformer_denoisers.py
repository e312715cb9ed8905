"""DiT and MMDiT: identity at the start, every word reaches the picture, both learn by heart."""

from dataclasses import replace

import numpy as np
import pytest
from close import assert_close

from minigen.autograd import Tensor, no_grad
from minigen.data.pixels import to_float
from minigen.data.scenes import sample_batch
from minigen.data.words import SCENE_WORDS
from minigen.models.flow_matching import flow_matching
from minigen.models.flow_matching.flow_matching import FlowMatchingConfig
from minigen.models.text_to_image.dit import DiT, DiTConfig
from minigen.models.text_to_image.mmdit import JointBlock, MMDiT, MMDiTConfig
from minigen.ops.attention import attention_weights
from minigen.optim import AdamW
from minigen.parallel import one_blas_thread

SMALL = {"text_width": 16, "text_layers": 1, "width": 24, "layers": 2, "heads": 2}
DIT = DiTConfig(len(SCENE_WORDS), **SMALL)
MMDIT = MMDiTConfig(len(SCENE_WORDS), **SMALL)
LEARNT = 0.25
FLOW = FlowMatchingConfig(0.8, 1.1, 1.5, "x0", clip=1.0)
XT = np.random.default_rng(0).standard_normal((1, 32, 32, 3)).astype(np.float32)
both = pytest.mark.parametrize(
    ("kind", "config"), [(DiT, DIT), (MMDiT, MMDIT)], ids=["dit", "mmdit"]
)


def some(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def stirred(kind, config, seed=0):
    """A network in which nothing is zero, so that every input matters."""
    rng = np.random.default_rng(seed)
    network = kind(config, rng=rng)
    for weight in network.parameters():
        weight.data += 0.1 * rng.standard_normal(weight.shape).astype(np.float32)
    return network


def predict(network, prompt, t=0.9, xt=XT):
    with no_grad():
        return network(Tensor(xt), np.array([t], np.float32), SCENE_WORDS.encode([prompt])).data


@both
def test_a_new_network_predicts_zero_in_the_shape_of_the_picture(kind, config):
    y = predict(kind(config, rng=np.random.default_rng(0)), "a red ring")
    assert y.shape == XT.shape
    assert y.dtype == np.float32
    assert not y.any()


@both
def test_a_new_network_is_the_identity_on_its_tokens(kind, config, rng):
    network = kind(config, rng=rng)
    e, words = some(rng, 1, 256), some(rng, 1, 14, 24)
    h = x = some(rng, 1, 64, 24)
    for block in network.blocks:
        if kind is DiT:
            h = block(h, e, words[..., :16])
        else:
            h, c = block(h, words, e)
            assert c is None or np.array_equal(c.data, words)
    np.testing.assert_array_equal(h.data, x)


@both
@pytest.mark.parametrize("other", ["a blue ring", "ring a red", "a small red ring", ""])
def test_each_word_and_its_place_matter(kind, config, other):
    network = stirred(kind, config)
    assert np.abs(predict(network, "a red ring") - predict(network, other)).max() > 1e-4


@both
def test_the_time_matters(kind, config):
    network = stirred(kind, config)
    assert np.abs(predict(network, "a red ring") - predict(network, "a red ring", 0.5)).max() > 1e-4


@both
def test_a_pixel_reaches_every_square(kind, config):
    network, other = stirred(kind, config), XT.copy()
    other[0, 0, 0] += 3
    moved = np.abs(predict(network, "a ring") - predict(network, "a ring", xt=other)).max(axis=-1)
    assert moved.reshape(8, 4, 8, 4).max(axis=(1, 3)).min() > 1e-6


@both
def test_a_prediction_does_not_depend_on_the_pictures_beside_it(kind, config):
    network, words = stirred(kind, config), SCENE_WORDS.encode(["a red ring", "a blue cross"])
    with no_grad():
        pair = network(Tensor(np.concatenate([XT, -XT])), np.full(2, 0.9, np.float32), words).data
    assert_close(pair[:1], predict(network, "a red ring"), terms=200)


@both
def test_words_that_were_read_before_give_the_same(kind, config):
    network = stirred(kind, config)
    read = network.read(SCENE_WORDS.encode(["a red ring"]))
    with no_grad():
        y = network(Tensor(XT), np.array([0.9], np.float32), **read).data
    assert_close(y, predict(network, "a red ring"), terms=10)


@both
def test_every_weight_gets_a_gradient(kind, config):
    network = stirred(kind, config)
    y = network(Tensor(XT), np.array([0.5], np.float32), SCENE_WORDS.encode(["a red ring"]))
    (y * y).sum().backward()
    idle = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.data.any()]
    # softmax does not change when all keys move together
    assert [name for name in idle if not name.endswith("key.bias")] == []


def test_words_see_the_picture_in_mmdit():
    block = JointBlock(MMDIT, rng=np.random.default_rng(0))
    rng = np.random.default_rng(1)
    for weight in block.parameters():
        weight.data += 0.1 * rng.standard_normal(weight.shape).astype(np.float32)
    c, e = some(rng, 1, 14, 24), some(rng, 1, 256)
    one, two = (block(some(rng, 1, 64, 24), c, e)[1].data for _ in range(2))
    assert np.abs(one - two).max(axis=-1).min() > 1e-4


def test_one_softmax_goes_over_pixels_and_words(rng):
    block = stirred(MMDiT, MMDIT).blocks[0]
    x, c, e = some(rng, 1, 64, 24), some(rng, 1, 14, 24), some(rng, 1, 256)
    q, k, _ = block.queries_and_keys(x, c, e)
    p = attention_weights(q, k, mask=None, is_causal=False).data  # (N, A, S, L)
    assert p.shape == (1, 2, 78, 78)
    np.testing.assert_allclose(p.sum(axis=-2), 1, rtol=1e-6)
    assert (p[:, :, 64:].sum(axis=-2) > 0.01).all()  # words have a share in every mean


def test_the_length_of_queries_and_keys_does_not_count(rng):
    stream = stirred(MMDiT, MMDIT).blocks[0].pixels
    x, e = some(rng, 1, 64, 24), some(rng, 1, 256)
    q, k, _ = (y.data for y in stream.project(x, e))
    for layer in (stream.query, stream.key):
        layer.weight.data *= 100
        layer.bias.data *= 100
    longer, keys, _ = (y.data for y in stream.project(x, e))
    np.testing.assert_allclose(longer, q, atol=1e-4)
    np.testing.assert_allclose(keys, k, atol=1e-4)


@both
def test_it_learns_eight_pictures_by_heart_and_which_caption_is_whose(kind, config):
    pictures, captions = sample_batch(8, np.random.default_rng(1), pairs=0.5)
    words, x0, rng = SCENE_WORDS.encode(captions), to_float(pictures), np.random.default_rng(0)
    network = kind(replace(config, width=48, patch_size=8), rng=rng)
    optimizer, losses = AdamW(network.parameters(), lr=4e-3), []
    with one_blas_thread():
        for _ in range(120):
            optimizer.zero_grad()
            losses.append(flow_matching.loss(network, x0, rng, FLOW, words=words))
            losses[-1].backward()
            optimizer.step()
    own, others = (
        flow_matching.loss(network, x0, np.random.default_rng(5), FLOW, words=w).item()
        for w in (words, np.roll(words, 1, axis=0))
    )
    assert np.mean([loss.item() for loss in losses[-20:]]) < LEARNT
    assert others > 1.2 * own


@pytest.mark.parametrize(
    ("kind", "config", "millions"), [(DiT, DiTConfig, 6.9), (MMDiT, MMDiTConfig, 9.8)]
)
def test_the_sizes_of_the_default_networks_are_stated(kind, config, millions):
    network = kind(config(len(SCENE_WORDS)), rng=np.random.default_rng(0))
    assert sum(p.size for p in network.parameters()) == pytest.approx(millions * 1e6, abs=5e4)


def test_heads_that_do_not_divide_the_width_are_told():
    with pytest.raises(ValueError, match="MMDiT: width 24 does not split into 5 heads"):
        replace(MMDIT, heads=5)


@both
def test_a_picture_of_another_size_is_told(kind, config):
    with pytest.raises(ValueError, match=r"x is \(1, 16, 16, 3\), expected \(N, 32, 32, 3\)"):
        predict(kind(config, rng=np.random.default_rng(0)), "", xt=XT[:, ::2, ::2])

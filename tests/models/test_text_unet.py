"""The text U-Net: every word and its place reach the picture, and it can learn by heart."""

import numpy as np
import pytest
from tiny import CONFIG, tiny_network

from minigen.autograd import Tensor, no_grad
from minigen.data.pixels import to_float
from minigen.data.scenes import sample_batch
from minigen.data.words import SCENE_WORDS
from minigen.models.flow_matching import flow_matching
from minigen.models.text_to_image.text_unet import TextUNet, TextUNetConfig
from minigen.optim import AdamW

XT = np.random.default_rng(0).standard_normal((1, 32, 32, 3)).astype(np.float32)


def predict(network, prompt, t=0.9):
    with no_grad():
        return network(Tensor(XT), np.array([t], np.float32), SCENE_WORDS.encode([prompt])).data


def test_a_picture_comes_out_as_it_went_in():
    y = predict(tiny_network(), "a red ring")
    assert y.shape == XT.shape
    assert y.dtype == np.float32


def test_a_new_network_predicts_zero():
    network = TextUNet(CONFIG.network(), rng=np.random.default_rng(0))
    assert not predict(network, "a red ring").any()


@pytest.mark.parametrize(
    "other",
    ["a blue ring", "ring a red", "a red ring on a blue background", "a small red ring", ""],
)
def test_each_word_and_its_place_matter(other):
    network = tiny_network()
    assert np.abs(predict(network, "a red ring") - predict(network, other)).max() > 1e-4


def test_the_time_matters():
    network = tiny_network()
    assert np.abs(predict(network, "a red ring") - predict(network, "a red ring", 0.5)).max() > 1e-4


def test_a_prediction_does_not_depend_on_the_pictures_beside_it():
    network = tiny_network()
    words = SCENE_WORDS.encode(["a red ring", "a blue cross"])
    with no_grad():
        both = network(Tensor(np.concatenate([XT, -XT])), np.full(2, 0.9, np.float32), words).data
    assert np.abs(both[:1] - predict(network, "a red ring")).max() < 1e-4


def test_every_weight_gets_a_gradient():
    network = tiny_network()
    y = network(Tensor(XT), np.array([0.5], np.float32), SCENE_WORDS.encode(["a red ring"]))
    (y * y).sum().backward()
    idle = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.data.any()]
    # softmax does not change when all keys move together
    assert [name for name in idle if not name.endswith("key.bias")] == []


def test_the_sizes_of_the_default_network_are_stated():
    config = TextUNetConfig(vocabulary=len(SCENE_WORDS))
    network = TextUNet(config, rng=np.random.default_rng(0))
    assert config.unet().sample_size == 16
    assert sum(p.size for p in network.parameters()) == 5_242_828


def test_it_learns_eight_pictures_by_heart():
    pictures, captions = sample_batch(8, np.random.default_rng(1), pairs=0.5)
    words, x0 = SCENE_WORDS.encode(captions), to_float(pictures)
    rng = np.random.default_rng(0)
    network = TextUNet(
        TextUNetConfig(len(SCENE_WORDS), text_width=32, text_layers=1, channels=(16, 24, 32)),
        rng=rng,
    )
    optimizer = AdamW(network.parameters(), lr=4e-3)
    losses = []
    for _ in range(150):
        loss = flow_matching.loss(network, x0, rng, CONFIG.flow(), words=words)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-20:]) < 0.12 < np.mean(losses[:5])

"""A text-to-image model of a few thousand weights, untrained, for tests of what surrounds it."""

from dataclasses import asdict
from pathlib import Path

import numpy as np

from minigen.models.text_to_image.text_unet import TextUNet
from minigen.recipes import scenes
from minigen.train import save_weights

CONFIG = scenes.Config(
    channels=(8, 8, 16), text_width=16, text_layers=1, sampling_steps=2, batch_size=4, workers=2
)


def tiny_network(seed: int = 0) -> TextUNet:
    rng = np.random.default_rng(seed)
    network = TextUNet(CONFIG.network(), rng=rng)
    for weight in network.parameters():  # nothing is zero, so that every input matters
        weight.data += 0.1 * rng.standard_normal(weight.shape).astype(np.float32)
    return network


def save_tiny(path: Path, seed: int = 0) -> Path:
    note = {"recipe": "scenes", "config": asdict(CONFIG), "step": 0}
    save_weights(path, tiny_network(seed).state_dict(), note)
    return path

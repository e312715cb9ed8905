"""Text to image by MMDiT: words and squares of pixels in one attention.

    minigen train mmdit
    minigen eval runs/mmdit-1 -n 1000
    minigen sample runs/mmdit-1

A scene of 32 x 32 pixels is 64 tokens, its caption 14 more; both go through six blocks side by
side. Rectified flow with logit-normal times, as in the paper; but the network returns x0 and the
times lie nearer to the noise, as in scenes.py. The paper's own settings are
`--prediction-type velocity --time-mean 0 --time-std 1`.

Not trained at length yet, no number.
"""

from dataclasses import dataclass

import numpy as np

from minigen.backend import auto_unless_chosen
from minigen.models.text_to_image.mmdit import MMDiT, MMDiTConfig
from minigen.recipes._text_to_image_flow import (
    FlowPainterConfig,
    draw,
    evaluate,
    fit_flow,
    network_of,
    sample,
)
from minigen.train import RunFolder, WeightsFile, config_from, option, part_of

__all__ = ["Config", "draw", "evaluate", "sample", "train", "trained"]


@dataclass(frozen=True)
class Config(FlowPainterConfig):
    """Settings of a run; those of the network have the names they have there."""

    patch_size: int = option(4, "pixels of a token's square, along each side")
    width: int = option(192, "numbers of a token")
    layers: int = option(6, "blocks")
    text_layers: int = option(1, "Transformer blocks over the words, before they meet the picture")
    heads: int = option(6, "of every attention over pixels")

    def network(self) -> MMDiTConfig:
        return part_of(MMDiTConfig, self.sizes())


@auto_unless_chosen()
def train(config: Config, run: RunFolder) -> None:
    """Train in `run`, or go on where it stands."""
    fit_flow(MMDiT(config.network(), rng=np.random.default_rng(config.seed)), config, run)


def trained(run: RunFolder | WeightsFile) -> tuple[Config, MMDiT]:
    """The settings of a run and its network."""
    config = config_from(Config, run.config)
    return config, network_of(MMDiT, config, run)

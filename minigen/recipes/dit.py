"""Text to image by a Transformer: DiT on 4 x 4 squares of pixels.

    minigen train dit
    minigen eval runs/dit-1 -n 1000
    minigen sample runs/dit-1

A scene of 32 x 32 pixels is 64 tokens; six blocks of 192 numbers a token read the caption by
cross-attention and by the norms' scales. Trained by flow matching as scenes.py is: the network
returns x0, and most times lie near the noise. What to see in the run's samples: squares of one
colour first, then objects with steps at the squares' borders, which close last.

Not trained at length yet, no number.
"""

from dataclasses import dataclass

import numpy as np

from minigen.backend import auto_unless_chosen
from minigen.models.text_to_image.dit import DiT, DiTConfig
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
    heads: int = option(6, "of every attention over pixels")

    def network(self) -> DiTConfig:
        return part_of(DiTConfig, self.sizes())


@auto_unless_chosen()
def train(config: Config, run: RunFolder) -> None:
    """Train in `run`, or go on where it stands."""
    fit_flow(DiT(config.network(), rng=np.random.default_rng(config.seed)), config, run)


def trained(run: RunFolder | WeightsFile) -> tuple[Config, DiT]:
    """The settings of a run and its network."""
    config = config_from(Config, run.config)
    return config, network_of(DiT, config, run)

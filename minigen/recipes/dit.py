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

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minigen.backend import auto_unless_chosen
from minigen.metrics.report import Report
from minigen.models.text_to_image.dit import DiT, DiTConfig
from minigen.recipes._text_to_image import captions_of
from minigen.recipes._text_to_image_flow import FlowPainterConfig, draw, fit_flow, judge, trained
from minigen.train import RunFolder, WeightsFile, option, part_of

__all__ = ["Config", "draw", "evaluate", "sample", "train"]


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


@auto_unless_chosen()
def sample(
    run: RunFolder | WeightsFile,
    n: int,
    rng: np.random.Generator,
    *,
    sampler: str | None = None,
    steps: int | None = None,
    guidance: float | None = None,
) -> np.ndarray:
    """`n` pictures of captions as the training has them."""
    config, model = _trained(run)
    captions: Sequence[str] = captions_of(config, n, rng)
    return draw(model, config, captions, rng, sampler=sampler, steps=steps, guidance=guidance)


@auto_unless_chosen()
def evaluate(
    run: RunFolder | WeightsFile,
    n: int,
    rng: np.random.Generator,
    *,
    sampler: str | None = None,
    steps: int | None = None,
    guidance: float | None = None,
) -> Report:
    """Shares of `n` captions of each kind whose picture is right; whether the text is used."""
    config, model = _trained(run)

    def paint(captions: Sequence[str]) -> np.ndarray:
        return draw(model, config, captions, rng, sampler=sampler, steps=steps, guidance=guidance)

    return judge(model, config, n, rng, paint)


def _trained(run: RunFolder | WeightsFile) -> tuple[Config, DiT]:
    return trained(DiT, Config, run)

"""Text to image: a U-Net learns to draw what a caption of coloured shapes says.

    minigen train scenes
    minigen eval runs/scenes-1 -n 1000
    minigen paint "a red circle" --model runs/scenes-1

Pictures are drawn as they are needed, so there is no data to fetch and none is seen twice. What to
see in the run's samples: first the background's colour, then two objects in the right places and
colours, their shapes last, the large before the small.

Most training times lie near the noise. A flat object of a hundred pixels stays visible until
t = 0.9, so what the caption decides is decided above that: docs/derivations/text_to_image.md.

The weights that ship, how they were trained and what they score: minigen/weights/README.md.
"""

from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from minigen.autograd import Tensor
from minigen.backend import auto_unless_chosen
from minigen.data.captioned import SCENES_SHOWN, Captioned, captioned, drop_prompts
from minigen.data.loader import Loader
from minigen.data.pixels import to_float
from minigen.data.scenes import sample_batch
from minigen.data.words import SCENE_WORDS
from minigen.metrics.obedience import scene_obedience
from minigen.models.flow_matching import flow_matching
from minigen.models.flow_matching.flow_matching import FlowMatchingConfig
from minigen.models.text_to_image.text_unet import TextUNet, TextUNetConfig
from minigen.optim import EMA, AdamW, Muon, split_matrices
from minigen.parallel import cores
from minigen.recipes._text_to_image_flow import draw
from minigen.schedules import warmup_linear
from minigen.train import RunFolder, WeightsFile, config_from, load_model, option, part_of
from minigen.train import train as run_training

NO_HIDDEN_LAYER = ("word", "position", "positions", "input", "output")  # AdamW's, though matrices


@dataclass(frozen=True)
class Config:
    """Settings of a run; those of the network and the sampler have the names they have there."""

    steps: int | None = option(8600, "optimiser steps")
    minutes: float | None = option(None, "stop after so many minutes")
    batch_size: int = option(64, "pictures a step")
    channels: tuple[int, ...] = option((64, 96, 128), "of the U-Net at 16, 8 and 4 pixels")
    blocks: int = option(1, "residual blocks of a level")
    text_width: int = option(128, "of a word's vector")
    text_layers: int = option(2, "Transformer blocks over the words")
    pairs: float = option(0.5, "share of pictures with two objects")
    no_prompt: float = option(0.1, "share of captions emptied, for guidance")
    drop_size: float = option(0.2, "share of sizes left out of captions")
    drop_background: float = option(0.25, "share of backgrounds left out of captions")
    prediction_type: str = option("x0", "what the network returns", ("x0", "velocity"))
    time_mean: float = option(0.8, "of logit(t) in training: above 0 is more often near the noise")
    time_std: float = option(1.1, "of logit(t) in training")
    lr_matrices: float = option(0.02, "largest learning rate of Muon, for hidden matrices")
    lr_rest: float = option(2e-3, "largest learning rate of AdamW, for the rest")
    warmup_steps: int = option(50, "steps until the largest learning rate")
    ema: float = option(0.999, "decay of the weights' moving average")
    sampler: str = option("ddpm", "of the pictures, unless another is asked for")
    sampling_steps: int = option(30, "of that sampler")
    guidance: float = option(2.0, "classifier-free guidance scale")
    shift: float = option(1.5, "of the sampling times towards the noise")
    clip: float = option(1.0, "keep predicted pictures within [-clip, clip]")
    seed: int = option(0, "of weights and batches")
    workers: int = option(cores(), "threads that share each batch")
    sample_every: int = option(500, "steps between pictures")
    save_every: int = option(250, "steps between checkpoints")
    log_every: int = option(25, "steps between lines of log.csv")
    words: tuple[str, ...] = SCENE_WORDS.vocabulary

    def network(self) -> TextUNetConfig:
        vocabulary = len(self.words) + 1  # the padding is a word too
        return part_of(TextUNetConfig, {**asdict(self), "vocabulary": vocabulary})

    def source(self) -> Captioned:
        return captioned("scenes")

    def flow(self) -> FlowMatchingConfig:
        return part_of(FlowMatchingConfig, asdict(self))


def batch(rng: np.random.Generator, config: Config) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (N, 32, 32, 3) in [-1, 1] and their words (N, L), of some no words."""
    pictures, captions = sample_batch(
        config.batch_size,
        rng,
        pairs=config.pairs,
        drop_size=config.drop_size,
        drop_background=config.drop_background,
    )
    return to_float(pictures), drop_prompts(SCENE_WORDS.encode(captions), config.no_prompt, rng)


@auto_unless_chosen()
def train(config: Config, run: RunFolder) -> None:
    """Train in `run`, or go on where it stands."""
    rng = np.random.default_rng(config.seed)
    model = TextUNet(config.network(), rng=rng)
    matrices, rest = split_matrices(model.named_parameters(), NO_HIDDEN_LAYER)

    def loss(model: TextUNet, batch: Any, rng: np.random.Generator) -> Tensor:
        pictures, words = batch
        return flow_matching.loss(model, pictures, rng, config.flow(), words=words)

    run_training(
        model,
        loss,
        Loader(partial(batch, config=config), rng=rng),
        optimizers=[
            Muon(matrices.items(), config.lr_matrices),
            AdamW(rest.items(), config.lr_rest),
        ],
        run=run,
        rng=rng,
        steps=config.steps,
        minutes=config.minutes,
        lr_schedule=partial(warmup_linear, warmup_steps=config.warmup_steps),
        ema=EMA(model, config.ema),
        workers=config.workers,
        sample=lambda model, rng: draw(model, config, SCENES_SHOWN, rng),
        sample_every=config.sample_every,
        save_every=config.save_every,
        log_every=config.log_every,
    )


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
    """`n` pictures, half of one object and half of two."""
    config, model = trained(run, sampler, steps, guidance)
    return draw(model, config, sample_batch(n, rng)[1], rng)


@auto_unless_chosen()
def evaluate(
    run: RunFolder | WeightsFile,
    n: int,
    rng: np.random.Generator,
    *,
    sampler: str | None = None,
    steps: int | None = None,
    guidance: float | None = None,
) -> dict[str, float]:
    """Shares of `n` captions of each kind whose picture is right, minigen/metrics/obedience.py."""
    config, model = trained(run, sampler, steps, guidance)
    return scene_obedience(lambda captions: draw(model, config, captions, rng), n, rng)


def trained(
    run: RunFolder | WeightsFile,
    sampler: str | None = None,
    steps: int | None = None,
    guidance: float | None = None,
) -> tuple[Config, TextUNet]:
    """The settings, changed where something is given, and the network."""
    asked = {"sampler": sampler, "sampling_steps": steps, "guidance": guidance}
    given = {name: value for name, value in asked.items() if value is not None}
    config = config_from(Config, {**run.config, **given})
    model = TextUNet(config.network(), rng=np.random.default_rng(0))
    model.load_state_dict(load_model(run.path)[0])
    return config, model.eval()

"""What the text-to-image recipes share: captioned pictures, one way to train, one judge.

A recipe has its own Config, which extends TextToImageConfig, its stages, and

    draw(model, config, captions, rng)      a picture for each caption, uint8 (N, size, size, 3)

A stage is a training of its own. Those before the last have folders within the run's,
`run.stage("autoencoder")`, and their share of the minutes; a run that goes on skips what is done.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from minigen.autograd import Tensor
from minigen.data.art import KINDS, some_named
from minigen.data.captioned import SOURCES, Captioned, captioned, drop_prompts
from minigen.data.loader import Loader
from minigen.data.openmoji import keep_attribution
from minigen.data.pixels import to_float
from minigen.metrics.obedience import scene_obedience
from minigen.metrics.retrieval import names_found
from minigen.nn import Module
from minigen.optim import EMA, AdamW, Muon, split_matrices
from minigen.parallel import cores
from minigen.schedules import warmup_linear
from minigen.train import RunFolder, option
from minigen.train import train as run_training

TABLES = ("word", "position", "positions", "input", "output")  # AdamW's, though matrices


@dataclass(frozen=True)
class TextToImageConfig:
    """Settings that all of these runs have."""

    data: str = option("scenes", "captioned pictures", SOURCES)
    minutes: float | None = option(60.0, "stop after so many minutes, all stages together")
    steps: int | None = option(None, "optimiser steps of each stage")
    batch_size: int = option(64, "pictures a step")
    no_prompt: float = option(0.1, "share of captions emptied, for guidance")
    lr_matrices: float = option(0.02, "largest learning rate of Muon, for hidden matrices")
    lr_rest: float = option(2e-3, "largest learning rate of AdamW, for the rest")
    ema: float = option(0.999, "decay of the weights' moving average")
    seed: int = option(0, "of weights and batches")
    workers: int = option(cores(), "threads that share each batch")
    sample_every: int = option(500, "steps between pictures")
    save_every: int = option(250, "steps between checkpoints")
    log_every: int = option(25, "steps between lines of log.csv")

    def source(self) -> Captioned:
        return captioned(self.data)


def batches(config: TextToImageConfig, rng: np.random.Generator) -> Loader:
    """Pictures (N, size, size, 3) in [-1, 1] and their words (N, L), of some no words."""
    data = config.source()

    def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        pictures, captions = data.draw(config.batch_size, rng)
        return to_float(pictures), drop_prompts(data.encode(captions), config.no_prompt, rng)

    return Loader(draw, rng=rng)


def fit(
    model: Module,
    loss: Callable[[Any, Any, np.random.Generator], Tensor | tuple[Tensor, dict[str, float]]],
    config: TextToImageConfig,
    run: RunFolder,
    *,
    frozen: Module | None = None,
    share: float = 1.0,
    tables: Sequence[str] = TABLES,
    sample: Callable[[Any, np.random.Generator], np.ndarray] | None = None,
    diagnose: Any = None,
    more: Sequence[Any] = (),
    max_norm: float | None = 1.0,
) -> None:
    """Train one stage in `run`, or go on where it stands: Muon, AdamW, a moving average.

    frozen   the part of the model that does not learn: it came from an earlier stage
    share    of the minutes
    tables   names of matrices that are AdamW's
    sample   (model, rng) -> pictures of the run's samples
    more     optimizers of parameters that neither Muon nor AdamW may touch
    max_norm of all gradients together; None for no limit
    """
    if config.data == "art":
        keep_attribution(run.whole)
    rng = np.random.default_rng(config.seed)
    named = _learned(model, frozen)
    others = {id(p) for optimizer in more for p in optimizer.parameters.values()}
    matrices, rest = split_matrices([(n, p) for n, p in named if id(p) not in others], tables)
    run_training(
        model,
        loss,
        batches(config, rng),
        optimizers=[
            Muon(matrices.items(), config.lr_matrices),
            AdamW(rest.items(), config.lr_rest),
            *more,
        ],
        run=run,
        rng=rng,
        steps=config.steps,
        minutes=config.minutes and config.minutes * share,
        lr_schedule=partial(warmup_linear, warmup_steps=50),
        ema=EMA(named, config.ema),
        max_norm=max_norm,
        workers=config.workers,
        sample=sample,
        diagnose=diagnose,
        sample_every=config.sample_every,
        save_every=config.save_every,
        log_every=config.log_every,
    )


def _learned(model: Module, frozen: Module | None) -> list[tuple[str, Any]]:
    """The parameters of `model` without those of `frozen`."""
    still = {id(p) for p in frozen.parameters()} if frozen else set()
    return [(name, p) for name, p in model.named_parameters() if id(p) not in still]


def obedience(
    draw: Callable[[Sequence[str]], np.ndarray],
    config: TextToImageConfig,
    n: int,
    rng: np.random.Generator,
    score: Callable[[np.ndarray, Sequence[str]], np.ndarray] | None = None,
) -> dict[str, float]:
    """How often `n` captions of each kind are obeyed, by the judge of that data.

    score  of art, who can be judged by nothing else: a CLIP, minigen.recipes.clip.scorer; a name
           is obeyed where it is found for its picture among 100

    Raises: ValueError for art without a judge.
    """
    if config.data == "scenes":
        return scene_obedience(draw, n, rng)
    if score is None:
        raise ValueError("obedience: art is judged by a CLIP, and none was given")
    return {
        f"{kind}: name found": float(
            np.mean(names_found(draw, score, some_named(split, n, rng)[1]))
        )
        for kind, split in KINDS.items()
    }


def captions_of(config: TextToImageConfig, n: int, rng: np.random.Generator) -> list[str]:
    """`n` captions as the training has them."""
    return config.source().draw(n, rng)[1]

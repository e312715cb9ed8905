"""ImageGPT on black and white MNIST: a language model that reads pictures, likelihood exact.

    minigen train mnist_image_gpt                   6,000 steps of 32 pictures
    minigen sample runs/mnist_image_gpt-1 -n 64
    minigen eval runs/mnist_image_gpt-1 -n 10000    -log p(x) of test pictures

A token is a block of 2 x 4 pixels, one of 256 symbols, which makes a row of 98 tokens; --patch 1 1
is the paper's way, 784 tokens. The training pictures are drawn black and white anew at every
step, the test pictures once, from seed 0; the first -n of them, in an order drawn from --seed, are
measured.

One run of --steps 2500, 80,000 pictures, seed 0, in about 10 minutes on two cores with other work:
80.78 +- 0.20 nats a picture of all 10,000, 80.21 +- 0.64 of training pictures (2026-11-23). The
default of 6,000 steps has not been measured. Published: 79.17 nats.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from minigen.autograd import Tensor
from minigen.backend import auto_unless_chosen
from minigen.data.loader import Loader
from minigen.data.mnist import mnist
from minigen.data.pixels import binarise
from minigen.metrics.report import Report
from minigen.models.autoregressive import image_gpt
from minigen.models.autoregressive.image_gpt import ImageGPT, ImageGPTConfig
from minigen.optim import EMA, AdamW, Muon, split_matrices
from minigen.parallel import cores
from minigen.recipes.mnist_pixel_cnn import in_batches, report
from minigen.recipes.mnist_vae import shown
from minigen.schedules import warmup_linear
from minigen.train import RunFolder, WeightsFile, config_from, load_model, option, part_of
from minigen.train import train as run_training

NO_HIDDEN_LAYER = ("token", "row", "column", "logits")  # AdamW's, though matrices


@dataclass(frozen=True)
class Config:
    """Settings of a run."""

    steps: int | None = option(6000, "optimiser steps")
    minutes: float | None = option(None, "stop after so many minutes")
    batch_size: int = option(32, "pictures a step")
    patch: tuple[int, ...] = option((2, 4), "height and width of a token, pixels")
    width: int = option(128, "channels of a token")
    layers: int = option(4, "Transformer blocks")
    heads: int = option(4, "of attention")
    lr_matrices: float = option(0.02, "largest learning rate of Muon, for hidden matrices")
    lr_rest: float = option(3e-3, "largest learning rate of AdamW, for the rest")
    ema: float = option(0.995, "decay of the weights' moving average")
    seed: int = option(0, "of weights, batches and pixels")
    workers: int = option(cores(), "threads that share each batch")
    sample_every: int = option(2000, "steps between pictures")
    save_every: int = option(1000, "steps between checkpoints")
    log_every: int = option(25, "steps between lines of log.csv")

    def network(self) -> ImageGPTConfig:
        return part_of(ImageGPTConfig, asdict(self))


@auto_unless_chosen()
def train(config: Config, run: RunFolder) -> None:
    """Train in `run`, or go on where it stands."""
    rng = np.random.default_rng(config.seed)
    model = ImageGPT(config.network(), rng=rng)
    matrices, rest = split_matrices(model.named_parameters(), NO_HIDDEN_LAYER)

    def batch_loss(model: ImageGPT, batch: Any, rng: np.random.Generator) -> Tensor:
        return image_gpt.loss(model, binarise(batch[0], rng))

    run_training(
        model,
        batch_loss,
        Loader([mnist("train")[0]], config.batch_size, rng=rng),
        optimizers=[
            Muon(matrices.items(), config.lr_matrices),
            AdamW(rest.items(), config.lr_rest),
        ],
        run=run,
        rng=rng,
        steps=config.steps,
        minutes=config.minutes,
        lr_schedule=partial(warmup_linear, warmup_steps=50),
        ema=EMA(model, config.ema),
        workers=config.workers,
        sample=lambda model, rng: shown(image_gpt.sample(model, 20, rng)),
        sample_every=config.sample_every,
        save_every=config.save_every,
        log_every=config.log_every,
    )


@auto_unless_chosen()
def sample(
    run: RunFolder | WeightsFile, n: int, rng: np.random.Generator, *, temperature: float = 1.0
) -> np.ndarray:
    """`n` digits; a temperature below 1 draws likelier ones."""
    model = _trained(run)

    def batch(part: slice, callback: Callable[[float], None]) -> np.ndarray:
        n = part.stop - part.start
        return image_gpt.sample(model, n, rng, temperature=temperature, callback=callback)

    return shown(in_batches(batch, n))


@auto_unless_chosen()
def evaluate(run: RunFolder | WeightsFile, n: int, rng: np.random.Generator) -> Report:
    """-log p(x) of `n` test pictures, exact; samples, and test pictures of which half is given."""
    model = _trained(run)
    return report(
        lambda x, labels: image_gpt.log_prob(model, x),
        lambda n, labels, **settings: image_gpt.sample(model, n, rng, **settings),
        n,
        rng,
    )


def _trained(run: RunFolder | WeightsFile) -> ImageGPT:
    config = config_from(Config, run.config)
    model = ImageGPT(config.network(), rng=np.random.default_rng(0))
    model.load_state_dict(load_model(run.path)[0])
    return model.eval()

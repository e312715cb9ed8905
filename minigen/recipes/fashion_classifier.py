"""The judge of Fashion-MNIST: a small classifier that tells which garment a picture shows.

    minigen train fashion_classifier
    minigen eval fashion_classifier -n 10000        the weights that ship
    minigen eval runs/fashion_classifier-1 -n 10000

1,500 steps of 128 pictures, three passes over the training set, every second picture mirrored. The
score of the weights that ship: minigen/weights/README.md.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from minigen.autograd import Tensor
from minigen.backend import auto_unless_chosen
from minigen.data.loader import Loader
from minigen.data.mnist import fashion_mnist
from minigen.data.pixels import to_float
from minigen.metrics.agreement import accuracy, classify
from minigen.models.features.classifier import Classifier, ClassifierConfig, loss
from minigen.optim import EMA, AdamW, Muon, split_matrices
from minigen.parallel import cores
from minigen.schedules import warmup_linear
from minigen.train import RunFolder, WeightsFile, config_from, load_model, option
from minigen.train import train as run_training


@dataclass(frozen=True)
class Config:
    """Settings of a run."""

    steps: int | None = option(1500, "optimiser steps")
    minutes: float | None = option(None, "stop after so many minutes")
    batch_size: int = option(128, "pictures a step")
    channels: tuple[int, ...] = option((64, 128), "at 14 and 7 pixels")
    lr_matrices: float = option(0.02, "largest learning rate of Muon, for hidden matrices")
    lr_rest: float = option(2e-3, "largest learning rate of AdamW, for the rest")
    ema: float = option(0.998, "decay of the weights' moving average")
    seed: int = option(0, "of weights and batches")
    workers: int = option(cores(), "threads that share each batch")
    sample_every: int = option(1000, "steps between pictures")
    save_every: int = option(500, "steps between checkpoints")
    log_every: int = option(25, "steps between lines of log.csv")


@auto_unless_chosen()
def train(config: Config, run: RunFolder) -> None:
    """Train in `run`, or go on where it stands; every second picture is mirrored."""
    rng = np.random.default_rng(config.seed)
    model = Classifier(ClassifierConfig(channels=config.channels), rng=rng)
    matrices, rest = split_matrices(model.named_parameters(), ["vote"])
    images, labels = fashion_mnist("train")

    def batch_loss(model: Classifier, batch: Any, rng: np.random.Generator) -> Tensor:
        pictures, labels = batch
        mirrored = rng.random((len(pictures), 1, 1, 1)) < 0.5
        return loss(model, to_float(np.where(mirrored, pictures[:, :, ::-1], pictures)), labels)

    run_training(
        model,
        batch_loss,
        Loader([images, labels], config.batch_size, rng=rng),
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
        sample_every=config.sample_every,
        save_every=config.save_every,
        log_every=config.log_every,
    )


@auto_unless_chosen()
def sample(run: RunFolder | WeightsFile, n: int, rng: np.random.Generator) -> np.ndarray:
    """`n` test pictures, those that are classified wrongly first."""
    model = _trained(run)
    images, labels = fashion_mnist("test")
    wrong = classify(model, images) != labels
    order = np.argsort(~wrong, kind="stable")[:n]
    return images[order].repeat(3, axis=-1)


@auto_unless_chosen()
def evaluate(run: RunFolder | WeightsFile, n: int, rng: np.random.Generator) -> dict[str, float]:
    """Share of the first `n` test pictures that are classified rightly."""
    images, labels = fashion_mnist("test")
    return {"test accuracy": accuracy(_trained(run), images[:n], labels[:n])}


def _trained(run: RunFolder | WeightsFile) -> Classifier:
    config = config_from(Config, run.config)
    model = Classifier(ClassifierConfig(channels=config.channels), rng=np.random.default_rng(0))
    model.load_state_dict(load_model(run.path)[0])
    return model.eval()

"""The judges of MNIST and Fashion-MNIST: small classifiers that tell what a picture shows.

    minigen train classifier                        Fashion-MNIST
    minigen train classifier --data mnist
    minigen eval runs/classifier-1 -n 10000
    minigen eval fashion_classifier -n 10000        the weights that ship, as does mnist_classifier

Every picture is moved by up to two pixels, and every second garment mirrored. The score of the
weights that ship: minigen/weights/README.md. Their features are those of the feature distance,
minigen/metrics/frechet.py.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from minigen import weights
from minigen.autograd import Tensor
from minigen.backend import auto_unless_chosen
from minigen.data.loader import Loader
from minigen.data.mnist import fashion_mnist, mnist
from minigen.data.pixels import binarise, to_float, to_uint8
from minigen.metrics.agreement import classify, outputs
from minigen.metrics.novelty import closest_pairs, novelty
from minigen.metrics.report import Measured, Report, mean_of
from minigen.models.features.classifier import Classifier, ClassifierConfig, loss
from minigen.optim import EMA, AdamW, Muon, split_matrices
from minigen.parallel import cores
from minigen.schedules import warmup_linear
from minigen.train import RunFolder, WeightsFile, config_from, load_model, open_model, option
from minigen.train import train as run_training

DATA = {"fashion": fashion_mnist, "mnist": mnist}
HELD_OUT = 2000  # test pictures that tell how near a new picture is
NO_HIDDEN_LAYER = ("stem", "vote")  # AdamW's, though matrices


@dataclass(frozen=True)
class Config:
    """Settings of a run."""

    data: str = option("fashion", "which set", choices=("fashion", "mnist"))
    steps: int | None = option(3500, "optimiser steps")
    minutes: float | None = option(None, "stop after so many minutes")
    batch_size: int = option(128, "pictures a step")
    stem: int = option(16, "channels at 28 pixels")
    channels: tuple[int, ...] = option((64, 128), "at 14 and 7 pixels")
    blocks: tuple[int, ...] = option((1, 2), "residual blocks at 14 and 7 pixels")
    shift: int = option(2, "pixels by which a picture is moved at most")
    lr_matrices: float = option(0.02, "largest learning rate of Muon, for hidden matrices")
    lr_rest: float = option(2e-3, "largest learning rate of AdamW, for the rest")
    ema: float = option(0.998, "decay of the weights' moving average")
    seed: int = option(0, "of weights and batches")
    workers: int = option(cores(), "threads that share each batch")
    sample_every: int = option(1000, "steps between pictures")
    save_every: int = option(500, "steps between checkpoints")
    log_every: int = option(25, "steps between lines of log.csv")

    def network(self) -> ClassifierConfig:
        return ClassifierConfig(stem=self.stem, channels=self.channels, blocks=self.blocks)


def varied(images: np.ndarray, rng: np.random.Generator, shift: int, mirrored: bool) -> np.ndarray:
    """Each picture moved by up to `shift` pixels either way, over black; half of them mirrored.

    Shapes: (N, H, W, C) -> the same.
    """
    N, H, W, _ = images.shape
    if mirrored:
        turned = rng.random((N, 1, 1, 1)) < 0.5
        images = np.where(turned, images[:, :, ::-1], images)
    padded = np.pad(images, [(0, 0), (shift, shift), (shift, shift), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (H, W), (1, 2))
    rows, columns = rng.integers(0, 2 * shift + 1, (2, N))
    return windows[np.arange(N), rows, columns].transpose(0, 2, 3, 1)  # (N, C, H, W) -> NHWC


@auto_unless_chosen()
def train(config: Config, run: RunFolder) -> None:
    """Train in `run`, or go on where it stands."""
    rng = np.random.default_rng(config.seed)
    model = Classifier(config.network(), rng=rng)
    matrices, rest = split_matrices(model.named_parameters(), NO_HIDDEN_LAYER)
    images, labels = DATA[config.data]("train")

    def batch_loss(model: Classifier, batch: Any, rng: np.random.Generator) -> Tensor:
        pictures, labels = batch
        pictures = varied(pictures, rng, config.shift, mirrored=config.data == "fashion")
        return loss(model, to_float(pictures), labels)

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
    config, model = _trained(run)
    images, labels = DATA[config.data]("test")
    wrong = classify(model, images) != labels
    order = np.argsort(~wrong, kind="stable")[:n]
    return images[order].repeat(3, axis=-1)


@auto_unless_chosen()
def evaluate(run: RunFolder | WeightsFile, n: int, rng: np.random.Generator) -> dict[str, Measured]:
    """Share of the first `n` test pictures that are classified rightly."""
    config, model = _trained(run)
    images, labels = DATA[config.data]("test")
    right = classify(model, images[:n]) == labels[:n]
    return {"test accuracy": mean_of(right, of=f"{len(right)} test pictures")}


def judge(data: str) -> Classifier:
    """The classifier that ships for a set, to compare pictures by.

    Raises: FileNotFoundError for a set that has none.
    """
    path = weights.find(f"{data}_classifier")
    return _trained(open_model(path))[1]


def copies(drawn: np.ndarray, data: str) -> Report:
    """Whether pictures are copies of the training set, by the judge's features: a report with the
    closest pairs. Black and white pictures are compared with such, drawn once.

    Shapes: drawn uint8 (N, 28, 28, 1).
    """
    training, test = DATA[data]("train")[0], DATA[data]("test")[0][:HELD_OUT]
    if np.isin(drawn, (0, 255)).all():
        rng = np.random.default_rng(0)
        training, test = (to_uint8(2 * binarise(x, rng) - 1) for x in (training, test))
    features = judge(data).features
    samples, known, new = (outputs(features, x) for x in (drawn, training, test))
    found = novelty(samples, known, new)
    pairs = closest_pairs(drawn, training, found)
    return Report(found.numbers(), {"nearest": pairs}, found.remarks())


def _trained(run: RunFolder | WeightsFile) -> tuple[Config, Classifier]:
    config = config_from(Config, run.config)
    model = Classifier(config.network(), rng=np.random.default_rng(0))
    model.load_state_dict(load_model(run.path)[0])
    return config, model.eval()

"""PixelCNN on black and white MNIST: the exact likelihood of a picture, block by block.

    minigen train mnist_pixel_cnn                   3,500 steps of 32 pictures
    minigen train mnist_pixel_cnn --conditional     digits by class
    minigen sample runs/mnist_pixel_cnn-1 -n 64
    minigen eval runs/mnist_pixel_cnn-1 -n 10000    -log p(x) of test pictures

A token is a block of 2 x 2 pixels, one of 16 symbols; --patch 1 is the paper's network, at four
times the cost. The training pictures are drawn black and white anew at every step, the test
pictures once, from seed 0; the first -n of them in an order drawn from --seed are measured.

One run of 3,500 steps, 112,000 pictures, seed 0, in about 14 minutes on two cores with other work:
82.59 +- 0.20 nats a picture of all 10,000, 82.12 +- 0.65 of training pictures (2026-11-23). Not
overfitted, so more steps would help. Published for pictures drawn black and white: 81.45 nats.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from tqdm import tqdm

from minigen.autograd import Tensor, no_grad
from minigen.backend import auto_unless_chosen
from minigen.data.loader import Loader
from minigen.data.mnist import mnist
from minigen.data.pixels import binarise, grid
from minigen.metrics.nll import bits_per_dim
from minigen.metrics.report import Measured, Report, mean_of
from minigen.models.autoregressive import pixel_cnn
from minigen.models.autoregressive.pixel_cnn import PixelCNN, PixelCNNConfig
from minigen.optim import EMA, AdamW, Muon, split_matrices
from minigen.parallel import cores, parallel_map, split
from minigen.recipes.classifier import copies
from minigen.recipes.mnist_vae import TEST_SEED, shown, untrained
from minigen.schedules import warmup_linear
from minigen.train import RunFolder, WeightsFile, config_from, load_model, option, part_of
from minigen.train import train as run_training

CLASSES = 10
LogProb = Callable[[np.ndarray, np.ndarray], Tensor]
HALF = 14  # rows of pixels that are given where a picture is completed


@dataclass(frozen=True)
class Config:
    """Settings of a run."""

    steps: int | None = option(3500, "optimiser steps")
    minutes: float | None = option(None, "stop after so many minutes")
    batch_size: int = option(32, "pictures a step")
    channels: int = option(64, "of each of the two stacks")
    layers: int = option(6, "the first, with mask A, included")
    patch: int = option(2, "pixels along an edge of a token: 1, 2")
    conditional: bool = option(False, "whether the digit's class is given")
    lr_matrices: float = option(0.02, "largest learning rate of Muon, for hidden matrices")
    lr_rest: float = option(3e-3, "largest learning rate of AdamW, for the rest")
    ema: float = option(0.995, "decay of the weights' moving average")
    seed: int = option(0, "of weights, batches and pixels")
    workers: int = option(cores(), "threads that share each batch")
    sample_every: int = option(2000, "steps between pictures")
    save_every: int = option(1000, "steps between checkpoints")
    log_every: int = option(25, "steps between lines of log.csv")

    def network(self) -> PixelCNNConfig:
        return part_of(PixelCNNConfig, asdict(self) | {"classes": CLASSES * self.conditional})


@auto_unless_chosen()
def train(config: Config, run: RunFolder) -> None:
    """Train in `run`, or go on where it stands."""
    rng = np.random.default_rng(config.seed)
    model = PixelCNN(config.network(), rng=rng)
    matrices, rest = split_matrices(model.named_parameters(), ["logits", "label"])

    def batch_loss(model: PixelCNN, batch: Any, rng: np.random.Generator) -> Tensor:
        images, labels = batch
        return pixel_cnn.loss(model, binarise(images, rng), known(model, labels))

    run_training(
        model,
        batch_loss,
        Loader(list(mnist("train")), config.batch_size, rng=rng),
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
        sample=lambda model, rng: shown(
            pixel_cnn.sample(model, 20, rng, labels=known(model, np.arange(20) % CLASSES))
        ),
        sample_every=config.sample_every,
        save_every=config.save_every,
        log_every=config.log_every,
    )


def known(model: PixelCNN, labels: np.ndarray) -> np.ndarray | None:
    """The labels, for a model that reads them."""
    return labels if model.config.classes else None


@auto_unless_chosen()
def sample(
    run: RunFolder | WeightsFile, n: int, rng: np.random.Generator, *, temperature: float = 1.0
) -> np.ndarray:
    """`n` digits, the classes in turn where the model knows them; below 1, likelier ones."""
    model = _trained(run)
    labels = known(model, np.arange(n) % CLASSES)

    def batch(part: slice, callback: Callable[[float], None]) -> np.ndarray:
        own, n = None if labels is None else labels[part], part.stop - part.start
        return pixel_cnn.sample(
            model, n, rng, labels=own, temperature=temperature, callback=callback
        )

    return shown(in_batches(batch, n))


@auto_unless_chosen()
def evaluate(run: RunFolder | WeightsFile, n: int, rng: np.random.Generator) -> Report:
    """-log p(x) of `n` test pictures, exact; samples, and test pictures of which half is given."""
    model = _trained(run)

    def log_prob(x: np.ndarray, labels: np.ndarray) -> Tensor:
        return pixel_cnn.log_prob(model, x, known(model, labels))

    def drawn(n: int, labels: np.ndarray, **settings: Any) -> np.ndarray:
        return pixel_cnn.sample(model, n, rng, labels=known(model, labels), **settings)

    return report(log_prob, drawn, n, rng)


def in_batches(
    batch: Callable[[slice, Callable[[float], None]], np.ndarray], n: int, size: int = 256
) -> np.ndarray:
    """`n` pictures, `size` at a time, under a bar.

    batch  (which of the n, a function to call with the share that is drawn) -> pictures
    """
    pictures = []
    look = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
    with tqdm(total=n, desc="drawing", bar_format=look) as bar:
        for first in range(0, n, size):
            part = slice(first, min(first + size, n))

            def show(share: float, part: slice = part) -> None:
                bar.update(part.start + share * (part.stop - part.start) - bar.n)

            pictures.append(batch(part, show))
    return np.concatenate(pictures)


def report(
    log_prob: LogProb,
    drawn: Callable[..., np.ndarray],
    n: int,
    rng: np.random.Generator,
) -> Report:
    """What there is to say about a model that knows the likelihood of black and white MNIST.

    log_prob  (pictures, labels) -> (N,)
    drawn     (how many, labels, given=..., rows=...) -> pictures
    """
    tests = _pictures("test", n, rng, np.random.default_rng(TEST_SEED))
    seen = _pictures("train", min(n, 1000), rng, rng)
    nats, nats_seen = (_nats(log_prob, *pictures) for pictures in (tests, seen))
    of = f"{len(nats)} test pictures, binarised once"
    loss = mean_of(nats, "nats", of)
    loss_seen = mean_of(nats_seen, "nats", f"{len(nats_seen)} training pictures")
    numbers = {
        "-log p(x)": loss,
        "bits/dim": bits_per_dim(loss, tests[0][0].size),
        "-log p(x), pictures of the training set": loss_seen,
    }
    given, labels = (a[:16].repeat(3, axis=0) for a in tests)
    completed = drawn(len(given), labels, given=given, rows=HALF)
    completed[::3] = given[::3]  # each test picture, then two that begin as it does
    samples = shown(drawn(64, np.arange(64) % CLASSES))
    pictures = {
        "samples": grid(samples, 8, 2),
        "completions": grid(shown(completed), 6, 2),
    }
    own = Report(numbers, pictures, _remarks(loss, loss_seen, tests[0]))
    return own | copies(samples[..., :1], "mnist")


def _pictures(
    split: str, n: int, rng: np.random.Generator, pixels: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """`n` pictures of a set, black and white by `pixels`, and their labels."""
    images, labels = mnist(split)
    order = rng.permutation(len(images))[:n]
    return binarise(images, pixels)[order], labels[order]


def _nats(log_prob: LogProb, x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """-log p(x), 50 pictures at a time on each core: (N,)."""
    parts = split((x, labels), -(-len(x) // 50))
    with tqdm(total=len(x), desc="-log p(x)", unit="pictures", disable=len(x) < 500) as bar:

        def part(part: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
            with no_grad():
                nats = -log_prob(*part).numpy()
            bar.update(len(nats))
            return nats

        return np.concatenate(parallel_map(part, parts))


def _remarks(nats: Measured, seen: Measured, x: np.ndarray) -> tuple[str, ...]:
    """What looks wrong, in words."""
    said = untrained(float(nats), x)
    gap = float(nats) - float(seen)
    if gap > 5:
        said.append(
            f"memorising: training pictures take {gap:.1f} nats less than test pictures; train for "
            "fewer steps, or a smaller network"
        )
    return tuple(said)


def _trained(run: RunFolder | WeightsFile) -> PixelCNN:
    config = config_from(Config, run.config)
    model = PixelCNN(config.network(), rng=np.random.default_rng(0))
    model.load_state_dict(load_model(run.path)[0])
    return model.eval()

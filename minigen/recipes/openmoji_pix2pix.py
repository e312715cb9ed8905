"""Pix2Pix: line drawings of OpenMoji in colour; or pairs of pictures of yours.

    minigen train openmoji_pix2pix                  10 minutes
    minigen sample runs/openmoji_pix2pix-1 -n 24    drawing, as coloured, and as it is
    minigen eval runs/openmoji_pix2pix-1 -n 246     distances to the true colours
    minigen translate runs/openmoji_pix2pix-1 drawing.png --out coloured
    minigen train openmoji_pix2pix --data FOLDER --direction BtoA

2,217 pieces are learnt from and 246 held out, those of a skin tone left out of both: the same lines
with five other colours. All emojis designed by OpenMoji, CC BY-SA 4.0 (minigen/data/openmoji.py).

FOLDER holds pairs as minigen/data/paired.py reads them: train/ with both pictures side by side, or
trainA/ and trainB/ with the same names; test/ or testA/ and testB/ to sample and evaluate.

Measured on 2026-11-23, one seed, 10 minutes (5,649 steps) on two cores shared with other work. Of
246 held-out pieces, mean absolute error of a channel in [-1, 1], and distance of the features:

                                        L1                  features
    Pix2Pix                             0.137 +- 0.006      1.81 +- 0.05
    the drawing as it is                0.179 +- 0.009      2.21 +- 0.06
    the mean colours of the training    0.261 +- 0.003      2.78 +- 0.03
    the piece with the nearest lines    0.224 +- 0.007      2.86 +- 0.05
      its colours under these lines     0.171 +- 0.007      2.32 +- 0.05

That is 0.80 and 0.82 times the best guess. Faces, hands and persons come out in their colours. A
flag's lines are an empty rectangle: all flags become the same red and yellow one.
"""

from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from minigen.autograd import Tensor, no_grad
from minigen.backend import auto_unless_chosen
from minigen.data import openmoji
from minigen.data.loader import Loader
from minigen.data.paired import DIRECTIONS, aligned
from minigen.data.pixels import grid, to_float, to_grey, to_uint8
from minigen.metrics.adversarial import diagnose
from minigen.metrics.report import Report
from minigen.metrics.translated import Features, judge_pairs
from minigen.models.translation import pix2pix
from minigen.models.translation.pix2pix import Pix2Pix, Pix2PixConfig
from minigen.optim import EMA, AdamW
from minigen.train import RunFolder, Turn, WeightsFile, config_from, load_model, option, part_of
from minigen.train import train as run_training

OPENMOJI = "openmoji"
SHOWN = 16  # pairs of the pictures during training
WARMUP = 100  # steps
BETAS = (0.5, 0.999)  # of Adam, as in the paper
DIVERGED = 1e4  # a loss beyond it ends the run
LAYERS = ("relu1_1", "relu2_1", "relu3_2")  # of the features by which pictures are compared
PART = 64  # pictures that go through a network at once


@dataclass(frozen=True)
class Config:
    """Settings of a run."""

    minutes: float | None = option(10.0, "stop after so many minutes")
    steps: int | None = option(None, "optimiser steps")
    data: str = option(OPENMOJI, "openmoji, or a folder of pairs")
    direction: str = option("AtoB", "of a folder's pairs", DIRECTIONS)
    size: int = option(32, "pixels along each side, 32 or 64 of openmoji")
    batch_size: int = option(16, "pairs a step")
    channels: tuple[int, ...] = option((32, 64, 128, 128), "of G after each halving")
    d_channels: tuple[int, ...] = option((32, 64), "of D")
    dropout: float = option(0.5, "in the two lowest levels of G")
    l1_weight: float = option(100.0, "of the error, against the game")
    shift: int = option(2, "pixels by which a pair is moved at most")
    lr: float = option(5e-4, "largest learning rate of Adam; it falls in the second half")
    ema: float = option(0.998, "decay of the moving average of G")
    seed: int = option(0, "of weights and batches")
    sample_every: int = option(1000, "steps between pictures")
    save_every: int = option(1000, "steps between checkpoints")
    log_every: int = option(50, "steps between lines of log.csv")

    def network(self) -> Pix2PixConfig:
        grey = self.data == OPENMOJI
        return part_of(Pix2PixConfig, asdict(self) | {"in_channels": 1 if grey else 3})


def pairs(config: Config, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (N, size, size, C) and what they should become (N, size, size, 3), uint8.

    C is 1 of the line drawings of OpenMoji, else 3.
    """
    if config.data == OPENMOJI:
        return openmoji.pairs(openmoji.openmoji(config.size, split, variants=False))
    found = aligned(config.data, config.size, split, config.direction)
    return found.source, found.target


def varied(pair: Any, rng: np.random.Generator, shift: int) -> tuple[np.ndarray, ...]:
    """Both pictures of each pair moved alike, the border repeated, and half of the pairs mirrored.

    Shapes: uint8 (N, H, W, C) each -> the same.
    """
    N, H, W, _ = pair[0].shape
    mirrored = rng.random((N, 1, 1, 1)) < 0.5
    down, across = rng.integers(0, 2 * shift + 1, (2, N))
    moved = []
    for x in pair:
        x = np.where(mirrored, x[:, :, ::-1], x)
        edges = [(0, 0), (shift, shift), (shift, shift), (0, 0)]
        windows = np.lib.stride_tricks.sliding_window_view(
            np.pad(x, edges, mode="edge"), (H, W), (1, 2)
        )
        moved.append(windows[np.arange(N), down, across].transpose(0, 2, 3, 1))  # NCHW -> NHWC
    return tuple(moved)


@auto_unless_chosen()
def train(config: Config, run: RunFolder) -> None:
    """Train in `run`, or go on where it stands."""
    rng = np.random.default_rng(config.seed)
    model = Pix2Pix(config.network(), rng=rng)
    parts = [
        [(n, p) for n, p in model.named_parameters() if n.startswith(name)] for name in ("G.", "D.")
    ]
    adams = [AdamW(weights, config.lr, BETAS, 1e-8, 0.0) for weights in parts]
    known = pairs(config, "train")
    held_out = known
    if config.data == OPENMOJI:
        openmoji.keep_attribution(run.path)
        held_out = pairs(config, "test")
    order = np.random.default_rng(0).permutation(len(held_out[0]))[:SHOWN]
    shown = held_out[0][order], held_out[1][order]

    def loss(of: Any, model: Pix2Pix, batch: Any, rng: np.random.Generator) -> Any:
        x, y = varied(batch, rng, config.shift)
        return of(model, (to_float(x), to_float(y)), rng)

    def say(numbers: Any, tiles: np.ndarray | None) -> list[str]:
        made = None if tiles is None else tiles[:, :, config.size : 2 * config.size]
        return diagnose(numbers, made, shown[1])

    run_training(
        model,
        [
            Turn("D", partial(loss, pix2pix.discriminator_loss), adams[1:]),
            Turn("G", partial(loss, pix2pix.generator_loss), adams[:1]),
        ],
        Loader([*known], config.batch_size, rng=rng),
        run=run,
        rng=rng,
        steps=config.steps,
        minutes=config.minutes,
        lr_schedule=lambda step, steps: min((step + 1) / WARMUP, 1.0, 2 - 2 * step / steps),
        ema=EMA(parts[0], config.ema),
        max_norm=None,
        max_loss=DIVERGED,
        sample=lambda model, rng: side_by_side(model, *shown),
        diagnose=say,
        sample_every=config.sample_every,
        save_every=config.save_every,
        log_every=config.log_every,
    )


def coloured(model: Pix2Pix, x: np.ndarray) -> np.ndarray:
    """uint8 (N, H, W, C) -> float (N, H, W, 3) in [-1, 1]."""
    parts = (to_float(x[first : first + PART]) for first in range(0, len(x), PART))
    return np.concatenate([pix2pix.translate(model, part) for part in parts])


def side_by_side(model: Pix2Pix, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Input, translated, true: uint8 (N, H, 3 W, 3)."""
    seen = x.repeat(3 // x.shape[-1], axis=-1)
    return np.concatenate([seen, to_uint8(coloured(model, x)), y], axis=2)


@auto_unless_chosen()
def sample(run: RunFolder | WeightsFile, n: int, rng: np.random.Generator) -> np.ndarray:
    """`n` held-out pairs: the drawing, as it was coloured, and as it is."""
    config, model = _trained(run)
    x, y = pairs(config, "test")
    order = rng.permutation(len(x))[:n]
    return side_by_side(model, x[order], y[order])


@auto_unless_chosen()
def translate(run: RunFolder | WeightsFile, images: np.ndarray) -> np.ndarray:
    """Drawings in colour: uint8 (N, size, size, 3) -> the same; openmoji's are seen as greys."""
    model = _trained(run)[1]
    return to_uint8(coloured(model, to_grey(images) if model.config.in_channels == 1 else images))


@auto_unless_chosen()
def evaluate(
    run: RunFolder | WeightsFile,
    n: int,
    rng: np.random.Generator,
    *,
    features: str = "texture_features",
) -> Report:
    """Distances of `n` held-out pairs to their true colours, and those of guesses beside them.

    --features is a VGG: one that ships, a run of texture_features, or a file of torchvision's.
    """
    config, model = _trained(run)
    train, test = pairs(config, "train"), pairs(config, "test")
    order = rng.permutation(len(test[0]))[:n]
    x, y = (part[order] for part in test)
    made = coloured(model, x)
    known = to_float(train[0]), to_float(train[1])
    report = judge_pairs(made, (to_float(x), to_float(y)), known, {"features": maps(features)})
    tiles = side_by_side(model, x[: 4 * SHOWN], y[: 4 * SHOWN])
    return report | Report({}, {"pairs": grid(tiles, 4, 2)})


def maps(name: str) -> Features:
    """The maps of some layers of a VGG, each layer counting as much as another."""
    from minigen.recipes.texture_features import vgg

    network = vgg(name)

    def of(x: np.ndarray) -> np.ndarray:
        rows = []
        for first in range(0, len(x), PART):
            with no_grad():
                found = network.layers(Tensor(x[first : first + PART].astype(np.float32)), LAYERS)
            flat = [found[layer].data.reshape(len(found[layer]), -1) for layer in LAYERS]
            rows.append(np.concatenate([f / f.shape[1] ** 0.5 for f in flat], axis=1))
        every = np.concatenate(rows)
        return every * (every.shape[1] / len(LAYERS)) ** 0.5  # so that the mean is that of layers

    return of


def _trained(run: RunFolder | WeightsFile) -> tuple[Config, Pix2Pix]:
    config = config_from(Config, run.config)
    model = Pix2Pix(config.network(), rng=np.random.default_rng(0))
    model.load_state_dict(load_model(run.path)[0])
    return config, model.eval()

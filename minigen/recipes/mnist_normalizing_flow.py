"""A normalising flow of 8-bit MNIST: NICE, RealNVP or Glow, with uniform or learned noise.

    minigen train mnist_normalizing_flow                        Glow, learned noise
    minigen train mnist_normalizing_flow --model real_nvp
    minigen train mnist_normalizing_flow --model nice --lr-rest 1e-3
    minigen train mnist_normalizing_flow --dequantisation uniform
    minigen sample runs/mnist_normalizing_flow-1 -n 64
    minigen eval runs/mnist_normalizing_flow-1 -n 10000         bits/dim of the test pictures

The loss is in bits for each of the 784 pixels, grey values from 0 to 255, no padding: an upper
bound of -log2 P(picture) / 784 (models/normalizing_flow/dequantisation.py). A flow that knows
nothing has 8.

Measured on 2026-11-23, one seed: Glow with learned noise after `--steps 2500`, 160,000 pictures, 14
minutes on two cores that had other work too, has at most 1.143 +- 0.003 bits a pixel of the 10,000
test pictures, one draw of noise each, and an inverse that is 2e-5 off at most. The default of 6,000
steps, RealNVP and NICE have not been measured.

Published for 28 x 28 pixels: RealNVP 1.06, Glow 1.05 (FFJORD, table 2, arXiv 1810.01367); a
small flow 1.078, with learned noise 1.043 (P. Lippe, UvA Deep Learning Tutorials, 11).
"""

import math
from dataclasses import dataclass, replace
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from minigen import nn
from minigen.autograd import Tensor, no_grad
from minigen.backend import auto_unless_chosen
from minigen.data.loader import Loader
from minigen.data.mnist import mnist
from minigen.data.pixels import grid
from minigen.latents import interpolate
from minigen.metrics.nll import bits_per_dim, importance_weighted_bound
from minigen.metrics.report import Measured, Report, mean_of
from minigen.models.normalizing_flow import dequantisation, glow, nice, real_nvp
from minigen.models.normalizing_flow.dequantisation import (
    GREYS,
    DequantisationConfig,
    UniformDequantisation,
    VariationalDequantisation,
)
from minigen.models.normalizing_flow.glow import GlowConfig
from minigen.models.normalizing_flow.nice import NICEConfig
from minigen.models.normalizing_flow.real_nvp import RealNVPConfig
from minigen.nn.invertible import Invertible, initialise
from minigen.optim import EMA, AdamW, Muon, split_matrices
from minigen.parallel import cores, parallel_map, split
from minigen.recipes.classifier import copies
from minigen.schedules import warmup_linear
from minigen.train import RunFolder, WeightsFile, config_from, load_model, option
from minigen.train import train as run_training

SHAPE = (28, 28, 1)
BITS = math.prod(SHAPE) * math.log(2)  # nats of one bit for each pixel
PAPERS: dict[str, ModuleType] = {"nice": nice, "real_nvp": real_nvp, "glow": glow}
NO_HIDDEN_LAYER = ("input", "output", "affine", "lower", "upper", "s")  # AdamW's, though matrices
FIRST = 256  # pictures that decide where every ActNorm starts
PART = 100  # pictures that a core works through at once


@dataclass(frozen=True)
class Config:
    """Settings of a run."""

    model: str = option("glow", "which paper", tuple(PAPERS))
    dequantisation: str = option("variational", "the noise", ("uniform", "variational"))
    steps: int | None = option(6000, "optimiser steps")
    minutes: float | None = option(None, "stop after so many minutes")
    batch_size: int = option(64, "pictures a step")
    flows: tuple[int, ...] | None = option(
        None, "steps of Glow, couplings of each mask of RealNVP, at 14 and 7 pixels; of NICE"
    )
    widths: tuple[int, ...] | None = option(None, "of the couplings' networks there")
    lr_matrices: float = option(0.04, "largest learning rate of Muon, for hidden matrices")
    lr_rest: float = option(3e-3, "largest learning rate of AdamW, for the rest")
    ema: float = option(0.998, "decay of the weights' moving average")
    seed: int = option(0, "of weights, batches and noise")
    workers: int = option(cores(), "threads that share each batch")
    sample_every: int = option(1000, "steps between pictures")
    save_every: int = option(500, "steps between checkpoints")
    log_every: int = option(50, "steps between lines of log.csv")


class PictureFlow(nn.Module):
    """A flow and the noise that makes its pictures of bytes."""

    def __init__(self, config: Config, *, rng: np.random.Generator):
        self.flow = flow_of(config, rng)
        self.dequantise: nn.Module = UniformDequantisation()
        if config.dequantisation == "variational":
            self.dequantise = VariationalDequantisation(DequantisationConfig(), rng=rng)
        self.log_prob = partial(PAPERS[config.model].log_prob, self.flow)

    def forward(self, pictures: np.ndarray, rng: np.random.Generator) -> Tensor:
        """A bound of log P(pictures) in nats: uint8 (N, 28, 28, 1) -> (N,)."""
        return dequantisation.bound(self.log_prob, self.dequantise, pictures, rng)


def flow_of(config: Config, rng: np.random.Generator) -> Invertible:
    """The flow of the paper that was asked for; sizes that are not given are the paper's file's."""
    flows, widths = config.flows, config.widths
    if config.model == "nice":
        plain = NICEConfig(SHAPE)
        couplings = flows[0] if flows else plain.couplings
        return nice.NICE(
            replace(plain, couplings=couplings, width=widths[0] if widths else plain.width), rng=rng
        )
    if config.model == "real_nvp":
        masked = RealNVPConfig(SHAPE)
        masked = replace(
            masked, couplings=flows or masked.couplings, widths=widths or masked.widths
        )
        return real_nvp.RealNVP(masked, rng=rng)
    mixed = GlowConfig(SHAPE)
    return glow.Glow(
        replace(mixed, steps=flows or mixed.steps, widths=widths or mixed.widths), rng=rng
    )


def loss(model: PictureFlow, batch: Any, rng: np.random.Generator) -> Tensor:
    """Bits for each pixel of a batch, at most."""
    return model(batch[0], rng).mean() * (-1 / BITS)


@auto_unless_chosen()
def train(config: Config, run: RunFolder) -> None:
    """Train in `run`, or go on where it stands."""
    rng = np.random.default_rng(config.seed)
    images, _ = mnist("train")
    model = PictureFlow(config, rng=rng)
    with no_grad():  # of a run that goes on, the checkpoint overwrites what is decided here
        x, _ = model.dequantise(images[rng.permutation(len(images))[:FIRST]], rng)
    initialise(model.flow, x.data)
    matrices, rest = split_matrices(model.named_parameters(), NO_HIDDEN_LAYER)
    if config.model == "nice":  # a step of Muon would take longer on its matrices than all else
        matrices, rest = {}, matrices | rest
    optimizers: list[Any] = [AdamW(rest.items(), config.lr_rest, weight_decay=0.0)]
    if matrices:
        optimizers.insert(0, Muon(matrices.items(), config.lr_matrices))
    run_training(
        model,
        loss,
        Loader([images], config.batch_size, rng=rng),
        optimizers=optimizers,
        run=run,
        rng=rng,
        steps=config.steps,
        minutes=config.minutes,
        lr_schedule=partial(warmup_linear, warmup_steps=50),
        ema=EMA(model, config.ema),
        workers=config.workers,
        sample=lambda model, rng: shown(PAPERS[config.model].sample(model.flow, 64, rng)),
        sample_every=config.sample_every,
        save_every=config.save_every,
        log_every=config.log_every,
    )


@auto_unless_chosen()
def sample(
    run: RunFolder | WeightsFile, n: int, rng: np.random.Generator, *, temperature: float = 1.0
) -> np.ndarray:
    """`n` digits; a temperature below 1 draws z nearer to the middle."""
    config, model = _trained(run)
    return shown(PAPERS[config.model].sample(model.flow, n, rng, temperature))


@auto_unless_chosen()
def evaluate(
    run: RunFolder | WeightsFile, n: int, rng: np.random.Generator, *, k: int = 1
) -> Report:
    """Bits/dim of `n` test pictures, from `k` draws of the noise for each, and the inverse's error.

    Raises: ValueError for k <= 0.
    """
    config, model = _trained(run)
    every, _ = mnist("test")
    images = every[rng.permutation(len(every))[:n]]

    def part(pictures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        def log_weights(count: int) -> np.ndarray:
            with no_grad():
                return np.stack([model(pictures, rng).data for _ in range(count)])

        return importance_weighted_bound(log_weights, k, chunk=1).log_px

    parts = split(images, -(-len(images) // PART))
    nats = np.concatenate(parallel_map(part, parts, rng.spawn(len(parts))))
    of = f"{len(images)} test pictures" + (f", k = {k}" if k > 1 else "")
    mean = mean_of(-nats, "nats", of)
    there = _noisy(model, images[:PART], rng)
    with no_grad():
        z, _ = model.flow(there)
        error = float(np.abs(model.flow.inverse(z).data - there).max())
    numbers = {
        "bits/dim, at most": bits_per_dim(mean, math.prod(SHAPE)),
        "-log P, at most": mean,
        "largest error of the inverse": Measured(error, of=f"{len(there)} pictures of 0 to 1"),
    }
    drawn = shown(PAPERS[config.model].sample(model.flow, 64, rng))
    pictures = {
        "samples": grid(drawn, 8, 2),
        "interpolations": grid(between(model.flow, z.data[:16]), 9, 2),
    }
    own = Report(numbers, pictures, remarks(float(mean) / BITS, error, every))
    return own | copies(drawn[..., :1], "mnist")


def remarks(bits: float, error: float, images: np.ndarray) -> tuple[str, ...]:
    """What looks wrong, in words: an untrained flow, one that has lost its inverse."""
    said = []
    alone = independent_pixels(images)
    if not bits < alone:
        said.append(
            f"untrained, or trained on other data: {bits:.2f} bits/dim are no fewer than the "
            f"{alone:.2f} of pixels that are drawn each by itself"
        )
    if not error < 0.5 / GREYS:
        said.append(
            f"the inverse is off by {error:.2g}, more than half a grey: a scale or a matrix of the "
            "flow has become so small that float32 loses what it multiplies; the likelihood is not "
            "to be trusted either"
        )
    return tuple(said)


def independent_pixels(images: np.ndarray) -> float:
    """Bits/dim, were each pixel's grey drawn by itself, as often as in `images`."""
    bits = 0.0
    for column in images.reshape(len(images), -1).T:
        share = np.bincount(column) / len(column)
        bits -= float((share * np.log2(share, where=share > 0, out=np.zeros_like(share))).sum())
    return bits / images[0].size


def between(flow: Invertible, z: np.ndarray, steps: int = 9) -> np.ndarray:
    """From each of the first half of `z` to one of the second, on great circles.

    Shapes: (2 M, D) -> uint8 (M steps, 28, 28, 3), pair by pair.
    """
    half = len(z) // 2
    paths = [interpolate(a, b, steps, spherical=True) for a, b in zip(z[:half], z[half:])]
    with no_grad():
        return shown(flow.inverse(np.concatenate(paths).astype(z.dtype)).data)


@auto_unless_chosen()
def encode(run: RunFolder | WeightsFile, images: np.ndarray) -> np.ndarray:
    """z of pictures, uint8 (N, 28, 28, 1) -> (N, 784); the noise in them is always the same."""
    _, model = _trained(run)
    with no_grad():
        return model.flow(_noisy(model, images, np.random.default_rng(0)))[0].numpy()


@auto_unless_chosen()
def decode(run: RunFolder | WeightsFile, latents: np.ndarray) -> np.ndarray:
    """The pictures of z, (N, 784) -> uint8 (N, 28, 28, 3)."""
    _, model = _trained(run)
    with no_grad():
        return shown(model.flow.inverse(latents.astype(np.float32)).data)


def _noisy(model: PictureFlow, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    with no_grad():
        return model.dequantise(images, rng)[0].data


def shown(x: np.ndarray) -> np.ndarray:
    """Numbers in [0, 1], (N, H, W, 1), back to the greys they came from: uint8 (N, H, W, 3)."""
    return np.clip(np.floor(x * GREYS), 0, GREYS - 1).astype(np.uint8).repeat(3, axis=-1)


def _trained(run: RunFolder | WeightsFile) -> tuple[Config, PictureFlow]:
    config = config_from(Config, run.config)
    model = PictureFlow(config, rng=np.random.default_rng(0))
    model.load_state_dict(load_model(run.path)[0])
    return config, model.eval()

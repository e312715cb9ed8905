"""AdaIN's decoder: any style in one pass, learnt from drawn pictures alone.

    minigen train adain
    minigen sample runs/adain-1 -n 4                contents, styles, and each in the manner of each
    minigen eval runs/adain-1 -n 64                 runs/... or the weights that ship:
    minigen stylize photo.png --style style.png --method adain

The encoder is that of minigen/recipes/texture_features.py and stays as it is. Contents and styles
are leaf pictures and textures of minigen/data/textures.py, 64 pixels wide; no photograph is among
them.

What to expect (two cores with other work, one seed, 2026-11-23): 14 minutes, the loss is 5.7 at
step 125, 2.8 at the end. By `minigen eval adain -n 32`, of pairs 128 pixels wide that are new:

    distance to the style        0.475 +- 0.026      of the content as it was 1.72 +- 0.17
    distance to the content      0.936 +- 0.041      of another content 1.58 +- 0.05
    pixels in [-1, 1], strength 0    off by 0.241 +- 0.012, root of the mean square
    256 x 256 pixels             0.28 s
"""

import time
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from tqdm import tqdm

from minigen.autograd import Tensor, no_grad
from minigen.backend import auto_unless_chosen
from minigen.data.loader import Loader
from minigen.data.pixels import grid, to_float, to_uint8
from minigen.data.textures import TEXTURES, leaf_picture, texture
from minigen.metrics.report import Measured, Report, mean_of
from minigen.models.features.vgg import VGG, VGGConfig, freeze
from minigen.models.style.adain import AdaIN, AdaINConfig, loss, stylize
from minigen.models.style.neural_style import content_loss, style_loss, style_targets
from minigen.optim import EMA, AdamW
from minigen.parallel import cores, one_blas_thread
from minigen.recipes.texture_features import varied
from minigen.recipes.texture_features import vgg as trained_vgg
from minigen.schedules import warmup_linear
from minigen.train import RunFolder, WeightsFile, config_from, load_model, option, part_of
from minigen.train import train as run_training

TEST_SEED = 1
SIZE = 64  # pixels of a training picture
TIMED = 256  # pixels of a picture whose seconds are taken


@dataclass(frozen=True)
class Config:
    """Settings of a run."""

    steps: int | None = option(2000, "optimiser steps")
    minutes: float | None = option(None, "stop after so many minutes, drawing pictures apart")
    features: str = option(
        "texture_features", "the encoder: one that ships, a run, or a VGG of torchvision"
    )
    pictures: int = option(2000, "contents, and as many styles, drawn before the training")
    batch_size: int = option(16, "pairs a step")
    style_weight: float = option(10.0, "lambda: more is more style and less content")
    lr: float = option(1e-3, "largest learning rate of AdamW")
    ema: float = option(0.998, "decay of the weights' moving average")
    seed: int = option(0, "of weights, pictures and batches")
    workers: int = option(cores(), "threads that share each batch")
    sample_every: int = option(500, "steps between pictures")
    save_every: int = option(500, "steps between checkpoints")
    log_every: int = option(25, "steps between lines of log.csv")
    channels: tuple[int, ...] = VGGConfig.channels  # of the encoder, noted when training begins
    convs: tuple[int, ...] = VGGConfig.convs
    mean: tuple[float, ...] = VGGConfig.mean
    std: tuple[float, ...] = VGGConfig.std


def drawn(n: int, seed: int, size: int = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """n contents and n styles, (n, size, size, 3) uint8: leaves, and leaves or a single texture."""
    rng = np.random.default_rng(seed)
    contents, styles = np.empty((2, n, size, size, 3), np.uint8)
    for k in tqdm(range(n), desc="drawing", unit="pair", leave=False):
        contents[k] = np.rint(leaf_picture(size, rng) * 255)
        name = TEXTURES[rng.integers(len(TEXTURES))]
        styles[k] = np.rint(texture(name, size, rng) * 255)
        if rng.random() < 0.3:  # the leaves of another picture
            styles[k] = contents[rng.integers(k + 1)]
    return contents, styles


def _model(config: Config, encoder: VGG) -> AdaIN:
    sizes = encoder.config.channels[:3][::-1]  # of the maps of relu3_2, and of those before
    settings = AdaINConfig(channels=sizes, style_weight=config.style_weight)
    return AdaIN(encoder, settings, rng=np.random.default_rng(config.seed))


@auto_unless_chosen()
def train(config: Config, run: RunFolder) -> None:
    """Train in `run`, or go on where it stands."""
    rng = np.random.default_rng(config.seed)
    encoder = trained_vgg(config.features)
    run.change_config(**asdict(encoder.config))
    model = _model(config, encoder)
    shown = [to_float(part)[:, None] for part in drawn(4, TEST_SEED, 2 * SIZE)]

    def batch_loss(model: AdaIN, batch: Any, rng: np.random.Generator) -> Any:
        content, style = (to_float(varied(part, rng)) for part in batch)
        return loss(model, content, style)

    run_training(
        model,
        batch_loss,
        Loader([*drawn(config.pictures, config.seed)], config.batch_size, rng=rng),
        optimizers=[AdamW(model.decoder.named_parameters(), config.lr, weight_decay=0.0)],
        run=run,
        rng=rng,
        steps=config.steps,
        minutes=config.minutes,
        lr_schedule=partial(warmup_linear, warmup_steps=100),
        ema=EMA(model, config.ema),
        workers=config.workers,
        sample=lambda model, rng: sheet(model, *shown),
        sample_every=config.sample_every,
        save_every=config.save_every,
        log_every=config.log_every,
    )


@auto_unless_chosen()
def sample(run: RunFolder | WeightsFile, n: int, rng: np.random.Generator) -> np.ndarray:
    """A sheet: above `n` styles, at the left `n` contents, and each in the manner of each."""
    pictures = drawn(n, int(rng.integers(2**31)), 2 * SIZE)
    return sheet(trained(run), *(to_float(part)[:, None] for part in pictures))


def sheet(model: AdaIN, contents: Any, styles: Any) -> np.ndarray:
    """Contents and styles (1, H, W, 3) each, and all pairs of them, as one uint8 picture."""
    white = np.ones_like(contents[0])
    rows = [[white, *styles]]
    rows += [[content, *(stylize(model, content, [s]) for s in styles)] for content in contents]
    tiles = np.concatenate([tile for row in rows for tile in row])
    return grid(to_uint8(tiles), len(styles) + 1, 2)


@auto_unless_chosen()
def evaluate(run: RunFolder | WeightsFile, n: int, rng: np.random.Generator) -> Report:
    """Distances to style and content of `n` new pairs, each beside what doing nothing would have.

    The distance to a style is that of Gram matrices, to a content that of the maps of relu3_2, both
    relative to what they are the distance to (minigen/models/style/neural_style.py).
    """
    model = trained(run)
    contents, styles = (to_float(part)[:, None] for part in drawn(n, TEST_SEED, 2 * SIZE))
    rows = []
    for k in tqdm(range(n), desc="pairs", leave=False):
        c, s, other = contents[k], styles[k], contents[(k + 1) % n]
        painted, same = stylize(model, c, [s]), stylize(model, c, [s], strength=0.0)
        rows.append(
            {
                "distance to the style": to_style(model, painted, s),
                "... of the content as it was": to_style(model, c, s),
                "distance to the content": to_content(model, painted, c),
                "... of another content": to_content(model, other, c),
                "root of the mean square error at strength 0": np.sqrt(((same - c) ** 2).mean()),
            }
        )
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    numbers = {name: mean_of(column, of=f"{n} pairs") for name, column in columns.items()}
    numbers[f"seconds for {TIMED} x {TIMED}"] = seconds(model)
    m = min(n, 4)
    return Report(numbers, {"pairs": sheet(model, contents[:m], styles[:m])})


def to_style(model: AdaIN, x: np.ndarray, style: np.ndarray) -> float:
    """Relative distance of Gram matrices, the mean over the layers of the training."""
    targets = style_targets(model.encoder, [style], layers=model.config.style_layers)
    with no_grad():
        return style_loss(model.encoder.layers(Tensor(x), targets), targets).item()


def to_content(model: AdaIN, x: np.ndarray, content: np.ndarray) -> float:
    """Relative distance of the maps that are restyled."""
    with no_grad():
        return content_loss(model.maps(x), model.maps(content).data).item()


def seconds(model: AdaIN, repeats: int = 5) -> Measured:
    """Median time to restyle one picture by one of the same size."""
    content, style = (to_float(part)[:1] for part in drawn(1, TEST_SEED, TIMED))
    times = []
    for _ in range(repeats + 1):  # the first one compiles
        start = time.monotonic()
        with one_blas_thread():
            stylize(model, content, [style])
        times.append(time.monotonic() - start)
    return Measured(float(np.median(times[1:])), unit="s", of=f"median of {repeats}")


def trained(run: RunFolder | WeightsFile) -> AdaIN:
    """The model of a run, or of a weights file."""
    config = config_from(Config, run.config)
    encoder = VGG(part_of(VGGConfig, asdict(config)), rng=np.random.default_rng(0))
    model = _model(config, freeze(encoder))
    model.load_state_dict(load_model(run.path)[0])
    return model.eval()

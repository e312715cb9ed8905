"""CycleGAN: scenes into another style and back, learnt without pairs; or two folders of yours.

    minigen train scenes_cyclegan                   20 minutes
    minigen sample runs/scenes_cyclegan-1 -n 16     picture, translated, and back again; true one
    minigen eval runs/scenes_cyclegan-1 -n 500      is it the same scene?
    minigen translate runs/scenes_cyclegan-1 a.png --out translated
    minigen train scenes_cyclegan --data FOLDER --size 64

A are scenes as minigen/data/scenes.py draws them, B others, outlined, in pastel on a hatched ground
(minigen/data/scene_styles.py). No scene is shown in both styles, but they could be: so the parser
can tell of every translation whether each object kept its shape and its place.

FOLDER holds trainA/ and trainB/, pictures of two kinds, and testA/ and testB/ to sample and
evaluate (minigen/data/paired.py). Of these nobody knows the truth: look at the pictures.

Measured on 2026-11-23, one seed, 20 minutes (5,929 steps) on two cores shared with other work, of
500 scenes in %, read by the parser as the scene that a picture comes nearest to:

                                    A to B            B to A
    the same shapes, places, count  92.8 +- 1.2       93.6 +- 1.1
      shapes                        92.8 +- 1.2       93.8 +- 1.1
      places                        100.0             99.6 +- 0.3
      count                         100.0             100.0
    colours                         96.8 +- 0.8       99.8 +- 0.2
    a scene to the pixel            63.2 +- 2.2       66.2 +- 2.1
    the picture as it was           47.0 +- 2.2       25.4 +- 1.9

Most of what is wrong are rings whose hole was painted over. With `--d-channels 32 64 --d-lr 5e-4`,
a D of two thirds of the width that learns as slowly as G, 10 minutes came to 63.6 +- 2.2 and 88.0
+- 1.5 %: D said 0.52 of true pictures and 0.48 of made ones, and had nothing to teach G any more.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from minigen.backend import auto_unless_chosen
from minigen.data.loader import Loader
from minigen.data.paired import unaligned
from minigen.data.pixels import grid, to_float, to_uint8
from minigen.data.scene_parser import parse_many
from minigen.data.scene_styles import OUTLINED, PLAIN, Style, draw_styled
from minigen.data.scenes import CANVAS, sample_columns, to_scenes
from minigen.metrics.adversarial import diagnose
from minigen.metrics.report import Measured, Report, mean_of
from minigen.metrics.scene_agreement import ASKED, scene_agreement
from minigen.models.translation import cyclegan
from minigen.models.translation.cyclegan import DIRECTIONS, CycleGAN, CycleGANConfig
from minigen.optim import EMA, AdamW
from minigen.train import RunFolder, Turn, WeightsFile, config_from, load_model, option, part_of
from minigen.train import train as run_training

STYLES = {"AtoB": (PLAIN, OUTLINED), "BtoA": (OUTLINED, PLAIN)}  # from, to
SCENES = "scenes"
SHOWN, TEST_SEED = 16, 1  # scenes of the pictures during training
WARMUP = 100  # steps
BETAS = (0.5, 0.999)  # of Adam, as in the paper
DIVERGED = 1e3  # a loss beyond it ends the run
PART = 64  # pictures that go through a network at once


@dataclass(frozen=True)
class Config:
    """Settings of a run."""

    minutes: float | None = option(20.0, "stop after so many minutes")
    steps: int | None = option(None, "optimiser steps")
    data: str = option(SCENES, "scenes, or a folder with trainA and trainB")
    size: int = option(32, "pixels along each side, 32 of scenes")
    batch_size: int = option(4, "pictures of each kind a step")
    channels: tuple[int, ...] = option((24, 48), "of G and F, the largest picture first")
    blocks: int = option(3, "residual blocks of G and F")
    d_channels: tuple[int, ...] = option((48, 96), "of both discriminators")
    cycle: float = option(2.0, "weight of the cycle loss")
    identity: float = option(0.25, "weight of the identity loss, as part of the cycle loss's")
    lr: float = option(5e-4, "largest learning rate of Adam; it falls in the second half")
    d_lr: float = option(1.5e-3, "the same, of both discriminators")
    ema: float = option(0.995, "decay of the moving average of G and F")
    seed: int = option(0, "of weights and batches")
    sample_every: int = option(500, "steps between pictures")
    save_every: int = option(500, "steps between checkpoints")
    log_every: int = option(25, "steps between lines of log.csv")

    def network(self) -> CycleGANConfig:
        drawn = self.data == SCENES  # the hatching has its place
        return part_of(CycleGANConfig, asdict(self) | {"positions": drawn})


def batches(config: Config) -> Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]:
    """What draws pictures of A and others of B, uint8 (batch_size, size, size, 3) each."""
    if config.data == SCENES:
        return partial(scenes, config.batch_size)
    found = unaligned(config.data, config.size)

    def drawn(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        of_a, of_b = (
            kind[rng.integers(len(kind), size=config.batch_size)]
            for kind in (found.source, found.target)
        )
        return of_a, of_b

    return drawn


def scenes(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """n scenes in style A and n others in style B, uint8 (n, 32, 32, 3) each."""
    first, second = (draw_styled(sample_columns(n, rng), style) for style in STYLES[DIRECTIONS[0]])
    return first, second


@auto_unless_chosen()
def train(config: Config, run: RunFolder) -> None:
    """Train in `run`, or go on where it stands.

    Raises: ValueError for scenes of another size than 32.
    """
    if config.data == SCENES and config.size != CANVAS:
        raise ValueError(f"scenes_cyclegan: scenes have {CANVAS} pixels, got --size {config.size}")
    rng = np.random.default_rng(config.seed)
    model = CycleGAN(config.network(), rng=rng)
    makers = [(n, p) for n, p in model.named_parameters() if n.startswith(("G.", "F."))]
    judges = [(n, p) for n, p in model.named_parameters() if n.startswith("D_")]
    adams = [
        AdamW(weights, lr, BETAS, 1e-8, 0.0)
        for weights, lr in ((makers, config.lr), (judges, config.d_lr))
    ]
    draw = batches(config)
    shown = batches(replace(config, batch_size=SHOWN))(np.random.default_rng(TEST_SEED))

    def loss(of: Any, model: CycleGAN, batch: Any, rng: np.random.Generator) -> Any:
        x, y = batch
        return of(model, (to_float(x), to_float(y)), rng)

    def say(numbers: Any, tiles: np.ndarray | None) -> list[str]:
        made = None if tiles is None else tiles[:, :, config.size : 2 * config.size]
        return diagnose(numbers, made, shown[1])

    run_training(
        model,
        [
            Turn("G", partial(loss, cyclegan.generator_loss), adams[:1]),
            Turn("D", partial(loss, cyclegan.discriminator_loss), adams[1:]),
        ],
        Loader(draw, rng=rng),
        run=run,
        rng=rng,
        steps=config.steps,
        minutes=config.minutes,
        lr_schedule=lambda step, steps: min((step + 1) / WARMUP, 1.0, 2 - 2 * step / steps),
        ema=EMA(makers, config.ema),
        max_norm=None,
        max_loss=DIVERGED,
        sample=lambda model, rng: side_by_side(model, shown[0], "AtoB"),
        diagnose=say,
        sample_every=config.sample_every,
        save_every=config.save_every,
        log_every=config.log_every,
    )


def translated(model: CycleGAN, images: np.ndarray, direction: str) -> np.ndarray:
    """uint8 (N, size, size, 3) -> the same, in the other style."""
    parts = (to_float(images[first : first + PART]) for first in range(0, len(images), PART))
    return to_uint8(np.concatenate([cyclegan.translate(model, x, direction) for x in parts]))


def side_by_side(model: CycleGAN, images: np.ndarray, direction: str, *more: Any) -> np.ndarray:
    """Pictures, their translations, these translated back, and `more`: (N, size, 3 size, 3)."""
    made = translated(model, images, direction)
    back = translated(model, made, _back(direction))
    return np.concatenate([images, made, back, *more], axis=2)


@auto_unless_chosen()
def sample(
    run: RunFolder | WeightsFile, n: int, rng: np.random.Generator, *, direction: str = "AtoB"
) -> np.ndarray:
    """`n` new scenes: the picture, translated, back again, and the true one in that style.

    Of a folder, test pictures, without the true ones.
    """
    config, model = _trained(run)
    style, other = _styles(direction)
    if config.data != SCENES:
        return side_by_side(model, _test_pictures(config, direction, n, rng), direction)
    columns = sample_columns(n, rng)
    true = draw_styled(columns, other)
    return side_by_side(model, draw_styled(columns, style), direction, true)


@auto_unless_chosen()
def translate(
    run: RunFolder | WeightsFile, images: np.ndarray, *, direction: str = "AtoB"
) -> np.ndarray:
    """Pictures in the other style: uint8 (N, size, size, 3) -> the same."""
    return translated(_trained(run)[1], images, direction)


@auto_unless_chosen()
def evaluate(run: RunFolder | WeightsFile, n: int, rng: np.random.Generator) -> Report:
    """Whether `n` scenes are the same ones after their translation, each way.

    Beside it the same of pictures that were not translated, and of true ones in that style. Of a
    folder it is told how well pictures come back.
    """
    config, model = _trained(run)
    report = Report({})
    for direction in DIRECTIONS:
        if config.data == SCENES:
            report |= _judged(model, direction, n, rng)
        else:
            images = _test_pictures(config, direction, n, rng)
            tiles = side_by_side(model, images[:SHOWN], direction)
            there_and_back = _returned(model, images, direction)
            report |= Report(there_and_back, {direction: grid(tiles, 4, 2)})
    return report


def _test_pictures(config: Config, direction: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """`n` of a folder, or as many as there are."""
    images = unaligned(config.data, config.size, "test", direction).source
    return images[rng.permutation(len(images))[:n]]


def _returned(model: CycleGAN, images: np.ndarray, direction: str) -> dict[str, Measured]:
    """How far pictures are from what comes back of them."""
    back = translated(model, translated(model, images, direction), _back(direction))
    error = np.abs(back.astype(float) - images).mean((1, 2, 3))
    return {f"{direction} and back: error": mean_of(error, of=f"{len(images)} pictures, of 255")}


def _judged(model: CycleGAN, direction: str, n: int, rng: np.random.Generator) -> Report:
    """Agreement, scene by scene; what is no scene exactly but nearest to one counts as that one."""
    columns, (style, other) = sample_columns(n, rng), _styles(direction)
    images, truth, true = (
        draw_styled(columns, style),
        draw_styled(columns, other),
        to_scenes(columns),
    )
    made = translated(model, images, direction)
    of, numbers = f"{n} scenes", {}

    def agree(pictures: np.ndarray) -> dict[str, Measured]:
        right = scene_agreement(parse_many(pictures, nearest=True, style=other), true)
        return {name: mean_of(hits, of=of) for name, hits in right.items()}

    found = agree(made)
    numbers[f"{direction}: same scene"] = found["all"]
    numbers |= {f"{direction}: {name}": found[name] for name in (*ASKED, "colour")}
    exactly = [seen is not None for seen in parse_many(made, style=other)]
    numbers[f"{direction}: exactly a scene"] = mean_of(np.array(exactly), of=of)
    numbers[f"{direction}: same scene, not translated"] = agree(images)["all"]
    numbers[f"{direction}: same scene, true pictures"] = agree(truth)["all"]
    numbers |= _returned(model, images, direction)
    tiles = side_by_side(model, images[:SHOWN], direction, truth[:SHOWN])
    return Report(numbers, {direction: grid(tiles, 4, 2)})


def _back(direction: str) -> str:
    return DIRECTIONS[1 - DIRECTIONS.index(direction)]


def _styles(direction: str) -> tuple[Style, Style]:
    if direction not in STYLES:
        raise ValueError(
            f"scenes_cyclegan: the direction is {direction!r}, expected {' or '.join(DIRECTIONS)}"
        )
    return STYLES[direction]


def _trained(run: RunFolder | WeightsFile) -> tuple[Config, CycleGAN]:
    config = config_from(Config, run.config)
    model = CycleGAN(config.network(), rng=np.random.default_rng(0))
    model.load_state_dict(load_model(run.path)[0])
    return config, model.eval()

"""How well a painter of scenes keeps to what it is asked beside the prompt, the more it is asked.

    minigen eval scenes --control -n 96

palette   three colours, whatever the prompts say; distance of the pixels to them (CIELAB)
mask      the silhouette of an object on an empty ground; overlap of what is painted with it
init      another scene to begin with; how much of it is left, and whether the prompt is obeyed

Pictures are painted eight at a time, with one palette, mask or scene for all eight, so errors are
those of the mean over such groups. At every strength the same noise and the same prompts are used.
"""

import numpy as np

from minigen.data.pixels import grid
from minigen.data.scene_parser import judge_many
from minigen.data.scenes import (
    ALONE,
    COLOUR_NAMES,
    COLOURS,
    PALETTE,
    RADII,
    SHAPES,
    coverage,
    draw_columns,
    sample_batch,
    sample_columns,
)
from minigen.metrics.control import mask_iou, palette_distance
from minigen.metrics.report import Measured, Report, mean_of
from minigen.paint.conditions import Conditions
from minigen.paint.painter import Painter

PALETTE_STRENGTHS = (0.0, 0.25, 0.5, 1.0)
STRENGTHS = (0.0, 0.4, 0.6, 0.8, 1.0)
GROUP = 8  # pictures painted at once
COLOURS_ASKED = 3  # of a palette


def control_report(painter: Painter, n: int, rng: np.random.Generator) -> Report:
    """Palette, mask and picture to begin with, each by `n` paintings at every strength.

    Raises: ValueError for n below a group, a painter of other pictures than scenes, or without
    scikit-image.
    """
    if n < GROUP:
        raise ValueError(f"control: n is {n}, expected at least {GROUP}")
    seeds = rng.integers(2**32, size=n // GROUP).tolist()
    return _palettes(painter, seeds) | _masks(painter, seeds) | _inits(painter, seeds)


def _paint(painter: Painter, prompts: list[str], seed: int, asked: Conditions) -> np.ndarray:
    return painter.paint(prompts, rng=np.random.default_rng(seed), conditions=asked)


def _prompts(rng: np.random.Generator) -> list[str]:
    return sample_batch(GROUP, rng, drop_size=0, drop_background=0)[1]


def _palettes(painter: Painter, seeds: list[int]) -> Report:
    numbers: dict[str, float | Measured] = {}
    rows = []
    for strength in PALETTE_STRENGTHS:
        far, right = [], []
        for seed in seeds:
            rng = np.random.default_rng(seed)
            prompts = _prompts(rng)
            colours = PALETTE[rng.permutation(len(PALETTE))[:COLOURS_ASKED]].astype(np.uint8)
            images = _paint(
                painter, prompts, seed, Conditions(palette=colours, palette_strength=strength)
            )
            far.append(palette_distance(images, colours).mean())
            right.append(_shapes_right(images, prompts))
            rows += [images] if seed == seeds[0] else []
        told = f"palette, strength {strength:g}"
        numbers[f"{told}: CIELAB distance"] = mean_of(np.array(far), of=_of(seeds))
        numbers[f"{told}: shapes as the prompt says"] = mean_of(np.array(right), of=_of(seeds))
    return Report(numbers, {"palette": grid(np.concatenate(rows), GROUP, 2)})


def _shapes_right(images: np.ndarray, prompts: list[str]) -> float:
    return float(np.mean([j.shape is True for j in judge_many(images, prompts, nearest=True)]))


def _masks(painter: Painter, seeds: list[int]) -> Report:
    """Objects of any colour inside of a silhouette; beside it the same prompts without the mask."""
    overlap: list[float] = []
    without: list[float] = []
    rows = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        shape, (x, y) = rng.integers(len(SHAPES)), rng.uniform(12, 20, 2)
        large = np.array([ALONE * RADII[1]])
        mask = coverage(np.array([shape]), x[None], y[None], large)[0] > 0.5
        ground, *colours = rng.permutation(len(COLOUR_NAMES))[: GROUP + 1]
        colours = (colours * GROUP)[:GROUP]
        empty = np.full((*mask.shape, 3), COLOURS[COLOUR_NAMES[ground]], np.uint8)
        prompts = [
            f"a large {COLOUR_NAMES[colour]} {SHAPES[shape]} on a {COLOUR_NAMES[ground]} background"
            for colour in colours
        ]
        grounds = np.repeat(empty[:1, 0], GROUP, axis=0)
        masks = np.repeat(mask[None], GROUP, axis=0)
        for asked, found in ((Conditions(init=empty, mask=mask), overlap), (Conditions(), without)):
            images = _paint(painter, prompts, seed, asked)
            found.append(float(mask_iou(images, masks, grounds).mean()))
            rows += [images] if seed == seeds[0] else []
    numbers: dict[str, float | Measured] = {
        "mask: intersection over union": mean_of(np.array(overlap), of=_of(seeds)),
        "no mask: intersection over union": mean_of(np.array(without), of=_of(seeds)),
    }
    return Report(numbers, {"mask": grid(np.concatenate(rows), GROUP, 2)})


def _inits(painter: Painter, seeds: list[int]) -> Report:
    numbers: dict[str, float | Measured] = {}
    rows = []
    for strength in STRENGTHS:
        moved, right = [], []
        for seed in seeds:
            rng = np.random.default_rng(seed)
            prompts, init = _prompts(rng), draw_columns(sample_columns(1, rng))[0]
            images = _paint(painter, prompts, seed, Conditions(init=init, strength=strength))
            moved.append(np.abs(images.astype(float) - init).mean())
            named = judge_many(images, prompts, nearest=True)
            right.append(np.mean([judgement.all_right for judgement in named]))
            rows += [images] if seed == seeds[0] else []
        told = f"init, strength {strength:g}"
        numbers[f"{told}: moved, of 255"] = mean_of(np.array(moved), of=_of(seeds))
        numbers[f"{told}: named right"] = mean_of(np.array(right), of=_of(seeds))
    return Report(numbers, {"init": grid(np.concatenate(rows), GROUP, 2)})


def _of(seeds: list[int]) -> str:
    return f"{len(seeds)} groups of {GROUP}"

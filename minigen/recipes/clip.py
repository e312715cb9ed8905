"""CLIP: which caption belongs to which picture, on scenes or on OpenMoji.

    minigen train clip                          scenes, 20 minutes
    minigen train clip --data art --minutes 60
    minigen eval runs/clip-1 -n 1000            captions found among 100, and pictures
    minigen sample runs/clip-1 -n 24            pictures beside those that their captions find

The loss begins above ln N, that of a guess among the N pictures that one core has of a batch
("guess" in log.csv). First colours are told apart, in a hundred steps, then sizes and shapes.
"scale" is the sharpness of the answers, 33 at first, 100 at most. Samples show pictures in pairs: a
drawn one, and the one among 100 that its caption finds; once both are the same everywhere, there is
not much left to learn.

Every scene of a batch has a twin beside it, which differs in one thing, a size, a shape, or who is
left of whom (minigen/data/scene_twins.py). Among random scenes alone colours are enough to find
many a caption, and the rest is learnt slowly: try `--no-twins`, and look at how often a picture's
own caption is nearer than the one with its relation turned over. Chance finds half.

It judges and ranks pictures: `scorer` makes a function of a run or of a weights file. Who shall
judge painted art should know what painters do not: `--data art --everything` trains on the held-out
pieces too, with another `--seed` than theirs.

Not trained at length yet, no number.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from minigen.autograd import Tensor, no_grad
from minigen.backend import auto_unless_chosen, move
from minigen.data import art
from minigen.data.captioned import Captioned, captioned
from minigen.data.pixels import enlarge, grid, to_float
from minigen.data.scene_twins import sample_with_twins, turned
from minigen.data.scenes import HeldOut, sample_batch
from minigen.metrics.report import Measured, Report, mean_of
from minigen.metrics.retrieval import AMONG, AtGuess, retrieval
from minigen.models.text_to_image import clip
from minigen.models.text_to_image.clip import CLIP, CLIPConfig
from minigen.parallel import parallel_map, split
from minigen.recipes._text_to_image import TextToImageConfig, fit
from minigen.train import RunFolder, WeightsFile, config_from, load_model, option, part_of

SCENES: dict[str, HeldOut] = {"new scenes": "never", "untrained pairs": "only"}
SEEN = "nothing is held out from this CLIP: on other new pieces it is worse than these numbers say"
SHOWN = 24  # pictures of a training's samples


@dataclass(frozen=True)
class Config(TextToImageConfig):
    """Settings of a run."""

    minutes: float | None = option(20.0, "stop after so many minutes")
    batch_size: int = option(128, "pictures a step; each core finds captions within its part")
    no_prompt: float = option(0.0, "share of captions emptied: nothing can be found by those")
    everything: bool = option(False, "art: train on what painters never see too, to judge them")
    twins: bool = option(True, "scenes beside others that differ in one thing")
    patch_size: int = option(4, "pixels of what the Transformer sees")
    stem: int = option(48, "channels at half the size")
    width: int = option(128, "of a patch's or a word's vector")
    image_layers: int = option(1, "Transformer blocks over patches")
    text_layers: int = option(2, "Transformer blocks over words")
    heads: int = option(4, "of attention")
    embedding_width: int = option(128, "numbers that a picture or a caption becomes")
    temperature: float = option(0.03, "at the start; the paper's 0.07 takes long to come down")

    def source(self) -> Captioned:
        data = captioned(self.data)
        if self.data == "art" and self.everything:
            return replace(data, draw=partial(art.draw, split="all", size=data.size))
        if self.data == "scenes" and self.twins:
            return replace(data, draw=sample_with_twins)
        return data

    def network(self) -> CLIPConfig:
        data = self.source()
        sizes = {
            "vocabulary": len(data.words),
            "caption_length": data.caption_length,
            "image_size": data.size,
        }
        return part_of(CLIPConfig, {**asdict(self), **sizes})


@auto_unless_chosen()
def train(config: Config, run: RunFolder) -> None:
    """Train in `run`, or go on where it stands."""
    if config.batch_size < 2 * config.workers:
        raise ValueError(
            f"clip: batch_size is {config.batch_size}, expected 2 or more for each of "
            f"{config.workers} workers: of one picture there is nothing to tell its caption from"
        )
    model = CLIP(config.network(), rng=np.random.default_rng(config.seed))

    def loss(model: CLIP, batch: Any, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        return clip.loss(model, *batch)

    fit(
        model,
        loss,
        config,
        run,
        sample=lambda model, rng: beside(model, config, SHOWN, rng),
        diagnose=AtGuess(),
    )


def scores(
    model: CLIP, config: Config, pictures: np.ndarray, captions: Sequence[str]
) -> np.ndarray:
    """Cosines of each picture with each caption: uint8 (N, H, W, 3), M strings -> (N, M)."""
    x, words = to_float(pictures), config.source().encode(captions)
    with no_grad():
        seen = parallel_map(lambda part: _on_host(model.encode_image(part)), _parts(x))
        read = parallel_map(lambda part: _on_host(model.encode_text(part)), _parts(words))
    return np.concatenate(seen) @ np.concatenate(read).T


def scores_of_pairs(
    model: CLIP, config: Config, pictures: np.ndarray, captions: Sequence[str]
) -> np.ndarray:
    """The cosine of each picture with its own caption alone: (N,)."""
    groups = zip(_parts(pictures), _parts(np.array(captions)), strict=True)
    return np.concatenate([np.diagonal(scores(model, config, p, list(c))) for p, c in groups])


def _on_host(x: Tensor) -> np.ndarray:
    return move(x.data, "cpu")


def _parts(array: np.ndarray) -> list[np.ndarray]:
    return split(array, max(1, len(array) // 50))


def scorer(run: RunFolder | WeightsFile) -> Callable[[np.ndarray, Sequence[str]], np.ndarray]:
    """A judge: pictures uint8 (N, H, W, 3) and M captions -> how well they fit, (N, M).

    It has read the weights once and for all; recipes and metrics take it as an argument.
    """
    config, model = trained(run)

    @auto_unless_chosen()
    def score(pictures: np.ndarray, captions: Sequence[str]) -> np.ndarray:
        return scores(model, config, pictures, captions)

    return score


def beside(model: CLIP, config: Config, n: int, rng: np.random.Generator) -> np.ndarray:
    """One sheet: n pictures, each beside the one among 100 that its caption finds; (H, W, 3)."""
    pictures, captions = config.source().draw(max(n, AMONG), rng)
    best = scores(model, config, pictures, captions[:n]).argmax(axis=0)  # (n,)
    both = np.stack([pictures[:n], pictures[best]], axis=1)
    return grid(both.reshape(-1, *pictures.shape[1:]), columns=12, gap=2)


@auto_unless_chosen()
def sample(run: RunFolder | WeightsFile, n: int, rng: np.random.Generator) -> np.ndarray:
    """`n` pictures, each beside the one among 100 that its caption finds."""
    config, model = trained(run)
    return beside(model, config, n, rng)


@auto_unless_chosen()
def evaluate(run: RunFolder | WeightsFile, n: int, rng: np.random.Generator) -> Report:
    """Captions found among 100, and pictures, of `n` of each kind; what chance would find beside.

    The captions of a hundred are all different and leave nothing out; those of art are English
    names. Fewer than 100 are compared where there are fewer, or n is smaller. Of scenes with two
    objects also, how often the own caption is nearer than the one that is turned over.
    """
    config, model = trained(run)
    report = Report({}, remarks=(SEEN,) if config.data == "art" and config.everything else ())
    for kind in SCENES if config.data == "scenes" else art.KINDS:
        hundreds = [_hundred(kind, config, min(AMONG, n), rng) for _ in range(max(1, n // AMONG))]
        least = min(len(captions) for _, captions in hundreds)
        groups = [scores(model, config, p[:least], c[:least]) for p, c in hundreds]
        sheet = {f"similarity_{kind.replace(' ', '_')}": heat(groups[0])}
        report |= Report(retrieval(groups, kind), sheet)
        if config.data == "scenes":
            report |= Report(
                {f"{kind}: own caption before the turned one": _order(kind, model, config, n, rng)}
            )
    return report


def _order(kind: str, model: CLIP, config: Config, n: int, rng: np.random.Generator) -> Measured:
    """In percent; chance is 50."""
    pictures, captions = sample_batch(n, rng, pairs=1, held_out=SCENES[kind])
    others = [turned(text) or text for text in captions]
    own, other = (scores_of_pairs(model, config, pictures, texts) for texts in (captions, others))
    return mean_of(100.0 * (own > other), "%", f"{n} scenes of two objects")


def _hundred(
    kind: str, config: Config, n: int, rng: np.random.Generator
) -> tuple[np.ndarray, list[str]]:
    """Up to n pictures of a kind with captions that differ."""
    if config.data == "art":
        return art.some_named(art.KINDS[kind], n, rng, size=config.source().size)
    pictures, captions = sample_batch(
        3 * n, rng, held_out=SCENES[kind], drop_size=0, drop_background=0
    )
    first = sorted(captions.index(text) for text in dict.fromkeys(captions))[:n]
    return pictures[first], [captions[k] for k in first]


def heat(similarity: np.ndarray) -> np.ndarray:
    """The matrix as greys, the largest white: (N, M) -> (H, W, 3), 4 pixels a number."""
    low, high = similarity.min(), similarity.max()
    grey = np.rint(255 * (similarity - low) / max(high - low, 1e-9)).astype(np.uint8)
    return enlarge(np.repeat(grey[..., None], 3, axis=-1), 4)


def trained(run: RunFolder | WeightsFile) -> tuple[Config, CLIP]:
    config = config_from(Config, run.config)
    model = CLIP(config.network(), rng=np.random.default_rng(0))
    model.load_state_dict(load_model(run.path)[0])
    return config, model.eval()

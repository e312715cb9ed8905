"""What the recipes share whose pictures are rows of codes: two stages, drawing, what can be told.

The first stage learns a tokeniser, pictures to codes and back, in `run.stage("autoencoder")`; the
second a Transformer that continues captions with codes. No picture can be better than what the
tokeniser makes of it: `ceiling` says how good that is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from tqdm import trange

from minigen.autograd import Tensor, no_grad
from minigen.backend import Array, move
from minigen.data.pixels import grid, to_float, to_uint8
from minigen.metrics.codes import use_of_captions, use_of_codes
from minigen.metrics.obedience import scenes_kept
from minigen.metrics.report import Measured, Report, mean_of
from minigen.recipes._text_to_image import TextToImageConfig
from minigen.recipes.clip import scorer
from minigen.train import open_model, option

BATCH = 64  # pictures that are drawn, or looked at, at once
Judge = Callable[[np.ndarray, Sequence[str]], np.ndarray]  # N pictures, M captions -> (N, M)


class Tokeniser(Protocol):
    """Pictures (N, H, W, C) in [-1, 1] to codes (N, h, w), and back."""

    def tokenise(self, x: Any) -> Array: ...

    def decode(self, codes: Array) -> Tensor: ...


@dataclass(frozen=True)
class TextToCodesConfig(TextToImageConfig):
    """Settings that both of these recipes have."""

    autoencoder_share: float = option(0.15, "of the minutes, for the first stage")
    channels: tuple[int, ...] = option((32, 64), "of the autoencoder at 16 and 8 pixels")
    blocks: int = option(1, "residual blocks of a level of the autoencoder")
    codes: int = option(256, "K, the size of the vocabulary of pictures")
    code_width: int = option(32, "numbers of a code")
    guidance: float = option(1.5, "classifier-free guidance scale of the codes' logits")
    temperature: float = option(1.0, "of the codes: below 1 likelier ones, less varied")
    top_k: int | None = option(None, "draw among so many of the likeliest codes only")

    def grid(self) -> tuple[int, int]:
        """Codes down and across."""
        side = self.source().size // 2 ** len(self.channels)
        return side, side


def in_batches(
    sample: Callable[[np.ndarray], np.ndarray], config: TextToImageConfig, captions: Sequence[str]
) -> np.ndarray:
    """A picture for each caption, drawn some at a time, uint8 (N, size, size, 3).

    sample  words (n, L) -> pictures (n, size, size, 3) in [-1, 1]
    """
    words, pictures = config.source().encode(captions), []
    alone = len(captions) <= BATCH
    for first in trange(0, len(captions), BATCH, desc="drawing", disable=alone):
        x = sample(words[first : first + BATCH])
        pictures.append(to_uint8(move(x, "cpu")))
    return np.concatenate(pictures)


def judge_of(path: str | None) -> Judge | None:
    """The CLIP of a run folder or a weights file, as a judge; None where there is no path."""
    return scorer(open_model(path)) if path else None


def of_pairs(judge: Judge) -> Callable[[np.ndarray, Sequence[str]], np.ndarray]:
    """A judge of pictures with their own captions: (pictures (N, ...), N captions) -> (N,)."""

    def score(pictures: np.ndarray, captions: Sequence[str]) -> np.ndarray:
        parts = [slice(i, i + BATCH) for i in range(0, len(pictures), BATCH)]
        return np.concatenate([np.diagonal(judge(pictures[p], captions[p])) for p in parts])

    return score


def through(tokeniser: Tokeniser, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pictures as codes, and what becomes of them: uint8 -> (N, h, w), uint8 (N, H, W, 3)."""
    codes, made = [], []
    with no_grad():
        for first in range(0, len(pictures), BATCH):
            part = tokeniser.tokenise(to_float(pictures[first : first + BATCH]))
            codes.append(move(part, "cpu"))
            made.append(to_uint8(move(tokeniser.decode(part).data, "cpu")))
    return np.concatenate(codes), np.concatenate(made)


def beside(pictures: np.ndarray, made: np.ndarray) -> np.ndarray:
    """One sheet: every picture, and to its right what became of it; (H, W, 3)."""
    both = np.stack([pictures, made], axis=1).reshape(-1, *pictures.shape[1:])
    return grid(both, columns=12, gap=2)


def ceiling(
    tokeniser: Tokeniser, config: TextToCodesConfig, n: int, rng: np.random.Generator
) -> Report:
    """What the tokeniser makes of `n` true pictures: error, use of the codes; of scenes, how many
    are still read right, which is the most that a picture drawn from a caption can reach.
    """
    pictures, _ = config.source().draw(n, rng)
    codes, made = through(tokeniser, pictures)
    errors = ((to_float(made) - to_float(pictures)) ** 2).mean(axis=(1, 2, 3))
    numbers: dict[str, float | Measured] = {"squared error of a true picture": mean_of(errors)}
    used, remarks = use_of_codes(codes, config.codes)
    numbers |= used
    if config.data == "scenes":
        kept = scenes_kept(lambda pictures: through(tokeniser, pictures)[1], n, rng)
        numbers |= {f"ceiling, {name}": share for name, share in kept.items()}
    sheet = beside(pictures[:36], made[:36])
    return Report(numbers, {"reconstructions": sheet}, tuple(remarks))


def what_captions_tell(
    log_prob: Callable[[np.ndarray, Array], Tensor],
    tokeniser: Tokeniser,
    config: TextToCodesConfig,
    n: int,
    rng: np.random.Generator,
) -> Report:
    """-ln p(codes | caption) of `n` true pictures, 2 or more, with their own captions and others'.

    log_prob  (words (N, L), codes (N, h, w)) -> (N,) in nats
    """
    source = config.source()
    pictures, captions = source.draw(max(n, 2), rng)
    codes, words = through(tokeniser, pictures)[0], source.encode(captions)
    others = np.roll(words, 1, axis=0)

    def losses(words: np.ndarray) -> np.ndarray:
        parts = [slice(i, i + BATCH) for i in range(0, len(codes), BATCH)]
        with no_grad():
            return -np.concatenate([log_prob(words[part], codes[part]).numpy() for part in parts])

    unit = f"nats of {codes[0].size} codes"
    numbers, remarks = use_of_captions(losses(words), losses(others), unit)
    return Report(numbers, remarks=tuple(remarks))

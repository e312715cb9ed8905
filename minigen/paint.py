"""From a prompt to a picture: the painter behind `minigen paint`.

    painter = Painter.load("scenes")
    pictures = painter.paint(["a red circle"], rng=np.random.default_rng(0))
    pictures.shape, pictures.dtype                                       # (1, 32, 32, 3), uint8

A picture starts as noise drawn from `rng`. A sampler follows the velocity that the network predicts
for the prompt, pushed further away from the one for no prompt (classifier-free guidance).
"""

import hashlib
import json
import logging
import math
import os
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from minigen import weights
from minigen.backend import auto_unless_chosen, move, plain_gpu_errors
from minigen.data.pixels import enlarge, grid, read_metadata, save_png, to_uint8
from minigen.data.words import Words, split_words
from minigen.models.flow_matching import flow_matching
from minigen.models.flow_matching.flow_matching import FlowMatchingConfig
from minigen.models.text_to_image.text_unet import TextUNet, TextUNetConfig
from minigen.parallel import in_parts
from minigen.samplers import check_sampler
from minigen.samplers.by_kernel import recorded_step
from minigen.train import load_model, part_of

BATCH = 16  # pictures drawn at once: enough for the cores, few enough to repeat for one of them
FILM = 10  # pictures in a strip
_log = logging.getLogger("minigen")


@dataclass(frozen=True)
class Sampling:
    """How to sample; what a model was tuned for is stored with its weights.

    Raises: ValueError for an unknown sampler, steps < 1, or a guidance that is no number.
    """

    sampler: str
    steps: int
    guidance: float

    def __post_init__(self) -> None:
        check_sampler(self.sampler)
        if self.steps < 1:
            raise ValueError(f"paint: steps is {self.steps}, expected at least 1")
        if not math.isfinite(self.guidance):
            raise ValueError(f"paint: guidance is {self.guidance}, expected a finite number")


class Painter:
    """A text-to-image network, its words, and how to sample from it.

    name     what it was loaded from
    digest   of its weights: two painters of one digest paint the same
    device   "cpu" or "cuda": where it paints. A seed means the same picture on both, but for a
             level of brightness here and there (tests/test_paint.py): noise is drawn on the host
    """

    device = "cpu"

    def __init__(self, arrays: Mapping[str, np.ndarray], config: Mapping[str, Any], name: str):
        self.words = Words(config["words"])
        self.flow = part_of(FlowMatchingConfig, config)
        self.sampling = Sampling(config["sampler"], config["sampling_steps"], config["guidance"])
        size = {"vocabulary": len(self.words)}
        self.network_config = part_of(TextUNetConfig, {**config, **size})
        self.network = TextUNet(self.network_config, rng=np.random.default_rng(0))
        self.network.load_state_dict(dict(arrays))
        self._prepare()
        self.name, self.digest = name, _digest(arrays)

    @classmethod
    def load(cls, model: str | Path = "scenes") -> "Painter":
        """A model that ships with minigen (by name), a weights file, or a run folder.

        Raises: FileNotFoundError, DamagedFileError, or ValueError for what holds no painter.
        """
        path = weights.find(model)
        arrays, note = load_model(path)
        try:
            return cls(arrays, note["config"], str(model))
        except (KeyError, TypeError) as error:
            raise ValueError(f"paint: {path} is no text-to-image model: {error}") from error

    def to(self, device: str) -> "Painter":
        """Paint on "cpu" or "cuda" from here on.

        Raises: GPUError where there is no GPU, with what is missing.
        """
        self.network.to(device)
        self.device = device
        self._prepare()
        return self

    def _prepare(self) -> None:
        """New recordings, as the old ones know where the weights were."""
        self.ask, self.step = in_parts(self.network), recorded_step(self.network)

    @auto_unless_chosen()
    def paint(
        self,
        prompts: Sequence[str],
        *,
        rng: np.random.Generator,
        steps: int | None = None,
        guidance: float | None = None,
        sampler: str | None = None,
        callback: Callable[[int, np.ndarray], None] | None = None,
    ) -> np.ndarray:
        """One picture for each prompt; what is None is as the model was tuned.

        callback  called as callback(step, pictures so far) after every step: what the network
                  takes the pictures for, uint8

        Shapes: -> uint8 (N, 32, 32, 3).
        Raises: ValueError for a prompt that is empty, too long or of unknown words; a bad setting.
        """
        if isinstance(prompts, str):
            raise ValueError("paint: prompts is one string, expected a list of them")
        sampling = self.choose(sampler, steps, guidance)
        words = self.encode(prompts)
        chunks = [words[i : i + BATCH] for i in range(0, len(words), BATCH)]
        with plain_gpu_errors("paint") if self.device != "cpu" else nullcontext():
            pictures = [self._paint(chunk, rng, sampling, callback) for chunk in chunks]
        size = self.network_config.image_size
        return np.concatenate(pictures or [np.zeros((0, size, size, 3), np.uint8)])

    def choose(self, sampler: str | None, steps: int | None, guidance: float | None) -> Sampling:
        """The model's own sampling, changed where something is given."""
        own = self.sampling
        return Sampling(
            own.sampler if sampler is None else sampler,
            own.steps if steps is None else steps,
            own.guidance if guidance is None else guidance,
        )

    def encode(self, prompts: Sequence[str]) -> np.ndarray:
        """The numbers of the prompts' words, (N, L), 0 behind the last.

        Raises: ValueError for a prompt that is empty, too long or without a known word.
        """
        for prompt in prompts:
            check_prompt(prompt, self.words)
        return self.words.encode(prompts, self.network_config.caption_length)

    def _paint(self, words: np.ndarray, rng, sampling: Sampling, callback) -> np.ndarray:
        size = self.network_config.image_size
        pictures = flow_matching.sample(
            self.ask,
            len(words),
            rng,
            (size, size, 3),
            self.flow,
            sampler=sampling.sampler,
            steps=sampling.steps,
            conditions=self.network.read(words),
            null_conditions=self.network.read(np.zeros_like(words)),
            guidance_scale=sampling.guidance,
            device=self.device,
            step=self.step,
            callback=callback and (lambda step, x, x0: callback(step, to_uint8(move(x0, "cpu")))),
        )
        return to_uint8(move(pictures, "cpu"))


def check_prompt(prompt: str, words: Words) -> list[str]:
    """What to warn about in a prompt: its unknown words, each with the nearest known one.

    Raises: ValueError for an empty prompt, or one without a single known word.
    """
    said = split_words(prompt)
    if not said:
        raise ValueError("paint: the prompt is empty")
    unknown = dict(words.unknown(prompt))
    if all(word in unknown for word in said):
        known = ", ".join(words.vocabulary)
        raise ValueError(f"paint: no word of {prompt!r} is known; the model knows: {known}")
    return [
        f"{word!r} is unknown and left out; the nearest is {near!r}"
        for word, near in unknown.items()
    ]


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode() + arrays[name].tobytes())
    return digest.hexdigest()[:16]


# --------------------------------------------------------------------------------- `minigen paint`


@dataclass(frozen=True)
class Order:
    """Everything that a file's picture depends on; it is written into the PNG as JSON.

    prompts  of all pictures that were drawn together
    batch    which batch of a list of prompts these are; None where the file shows them all
    shows    which of them the file shows; None for all
    """

    prompts: tuple[str, ...]
    batch: int | None
    shows: int | None
    seed: int
    sampler: str
    steps: int
    guidance: float
    scale: int
    strip: bool
    model: str
    digest: str

    def __post_init__(self) -> None:
        if not 1 <= self.scale <= 64:
            raise ValueError(f"paint: scale is {self.scale}, expected 1 to 64")
        if self.seed < 0:
            raise ValueError(f"paint: seed is {self.seed}, expected 0 or more")

    @classmethod
    def read(cls, path: Path) -> "Order":
        """Raises: ValueError where `path` is a picture that minigen has not painted."""
        try:
            fields = json.loads(read_metadata(path)["minigen"])
            return cls(**{**fields, "prompts": tuple(fields["prompts"])})
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"paint: {path} does not say how it was painted") from error

    def text(self) -> dict[str, str]:
        """The text chunks of the PNG: the order, and the prompt for other programs."""
        shown = self.prompts if self.shows is None else self.prompts[self.shows : self.shows + 1]
        own = json.dumps(asdict(self), ensure_ascii=False)
        return {"Description": "; ".join(dict.fromkeys(shown)), "minigen": own}

    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed if self.batch is None else [self.seed, self.batch])


def run_paint(arguments: Namespace) -> None:
    """The command `minigen paint`: one prompt, a file of prompts, or a picture once more.

    Raises: ValueError, OSError and GPUError, with a sentence for the user, before anything is
    written.
    """
    if arguments.again:
        order = Order.read(Path(arguments.again))
        out = Path(arguments.out or _numbered(Path(arguments.again).with_suffix("")))
        painter = Painter.load(arguments.model or order.model).to(arguments.device)
        if painter.digest != order.digest:
            raise ValueError(f"paint: {arguments.again} was painted with other weights")
        _save_all(painter, [order], [_check_file(out)])
        return
    painter = Painter.load(arguments.model or "scenes").to(arguments.device)
    prompts = _prompts(arguments)
    painter.encode(prompts)  # what cannot be painted is told before the first picture
    for prompt in dict.fromkeys(prompts):
        for warning in check_prompt(prompt, painter.words):
            _log.warning("paint: %s", warning)
    order = Order(
        prompts=(),
        batch=None,
        shows=None,
        seed=arguments.seed,
        **asdict(painter.choose(arguments.sampler, arguments.steps, arguments.guidance)),
        scale=arguments.scale,
        strip=arguments.strip,
        model=painter.name,
        digest=painter.digest,
    )
    if arguments.prompts is None:
        out = _check_file(Path(arguments.out or _numbered(Path(_slug(prompts[0])))))
        _save_all(painter, [replace(order, prompts=tuple(prompts))], [out])
        return
    folder = Path(arguments.out or "paintings")
    folder.mkdir(parents=True, exist_ok=True)
    orders = [
        replace(order, prompts=tuple(prompts[first : first + BATCH]), batch=first // BATCH, shows=i)
        for first in range(0, len(prompts), BATCH)
        for i in range(len(prompts[first : first + BATCH]))
    ]
    digits = max(4, len(str(len(orders) - 1)))
    paths = [_check_file(folder / f"{i:0{digits}d}.png") for i in range(len(orders))]
    _save_all(painter, orders, paths)


def _save_all(painter: Painter, orders: Sequence[Order], paths: Sequence[Path]) -> None:
    """Draw each batch once and save what its files show."""
    from tqdm import tqdm

    drawn: tuple[Order, np.ndarray] | None = None
    batches = sum(-(-len(order.prompts) // BATCH) for order in orders if not order.shows)
    with tqdm(total=batches * orders[0].steps, desc="painting", unit="step", leave=False) as bar:
        for order, path in zip(orders, paths, strict=True):
            batch = replace(order, shows=None)
            if drawn is None or drawn[0] != batch:
                drawn = batch, _film(painter, batch, bar)
            film = drawn[1]  # (N, pictures of the film, H, W, 3)
            if order.shows is not None:
                film = film[order.shows : order.shows + 1]
            save_png(path, _sheet(film, order.scale), order.text())
    print(paths[0] if len(paths) == 1 else f"{paths[0].parent}: {len(paths)} pictures")


def _film(painter: Painter, order: Order, bar: Any) -> np.ndarray:
    """The pictures of an order, (N, 1, H, W, 3), or with its strip (N, up to FILM + 1, H, W, 3)."""
    kept = set(np.linspace(0, order.steps - 1, min(FILM, order.steps)).round().astype(int))
    frames: list[list[np.ndarray]] = [[] for _ in kept]

    def look(step: int, pictures: np.ndarray) -> None:
        bar.update()
        if order.strip and step in kept:
            frames[sorted(kept).index(step)].append(pictures)

    pictures = painter.paint(
        order.prompts,
        rng=order.rng(),
        steps=order.steps,
        guidance=order.guidance,
        sampler=order.sampler,
        callback=look,
    )
    film = [np.concatenate(chunks) for chunks in frames] if order.strip else []
    return np.stack([*film, pictures], axis=1)


def _sheet(film: np.ndarray, scale: int) -> np.ndarray:
    """One picture of all: a grid, or with a film one row for each."""
    N, F = film.shape[:2]
    gap = 0 if N * F == 1 else 1
    tiles = film.reshape(N * F, *film.shape[2:])
    return enlarge(grid(tiles, columns=F if F > 1 else None, gap=gap), scale)


def _prompts(arguments: Namespace) -> list[str]:
    if (arguments.prompt is None) == (arguments.prompts is None):
        raise ValueError("paint: give one PROMPT, or --prompts FILE with one on each line")
    if arguments.n < 1:
        raise ValueError(f"paint: -n is {arguments.n}, expected at least 1")
    if arguments.prompt is not None:
        return [arguments.prompt] * arguments.n
    lines = Path(arguments.prompts).read_text(encoding="utf-8").splitlines()
    prompts = [line.strip() for line in lines if line.strip()]
    if not prompts:
        raise ValueError(f"paint: {arguments.prompts} holds no prompt")
    return [prompt for prompt in prompts for _ in range(arguments.n)]


def _slug(prompt: str) -> str:
    return "-".join(split_words(prompt))[:80]


def _numbered(stem: Path) -> Path:
    """stem.png, or stem-2.png ... : the first name that is free."""
    names = (stem.with_name(f"{stem.name}{end}.png") for end in _endings())
    return next(path for path in names if not path.exists())


def _endings() -> Iterator[str]:
    yield ""
    yield from (f"-{i}" for i in count(2))


def _check_file(path: Path) -> Path:
    """Before minutes are spent on a picture: can it be written there?

    Raises: OSError.
    """
    if path.is_dir():
        raise IsADirectoryError(f"paint: {path} is a folder, expected a file name for the picture")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"paint: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise PermissionError(f"paint: {path} cannot be written")
    return path

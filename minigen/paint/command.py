"""`minigen paint`: prompts to files, each of which says how it was painted."""

import hashlib
import json
import logging
import os
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from minigen.data.files import write_atomically
from minigen.data.pixels import enlarge, gif_bytes, grid, read_metadata, save_png
from minigen.data.words import split_words
from minigen.paint.conditions import NONE, conditions_of, read_mix
from minigen.paint.painter import BATCH, Painter

FILM = 10  # pictures in a strip
ASKED = (  # options of the command that Conditions have too
    "negative_prompt",
    "mix",
    "init",
    "strength",
    "mask",
    "palette",
    "palette_strength",
    "guidance_interval",
    "guidance_rescale",
)
_log = logging.getLogger("minigen")


@dataclass(frozen=True)
class Order:
    """Everything that a file's picture depends on; it is written into the PNG as JSON.

    prompts  of all pictures that were drawn together
    batch    which batch of a list of prompts these are; None where the file shows them all
    shows    which of them the file shows; None for all
    asked    what else was asked for, see `conditions_of`
    files    what the files of `asked` held
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
    asked: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

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
        shown = (self.asked["mix"],) if "mix" in self.asked else shown
        own = json.dumps(asdict(self), ensure_ascii=False)
        return {"Description": "; ".join(dict.fromkeys(shown)), "minigen": own}

    def check_files(self) -> None:
        """Raises: OSError or ValueError where a file is gone, or another one than it was."""
        for path, digest in self.files.items():
            if digest_of(path) != digest:
                raise ValueError(f"paint: {path} is another file than when it was used")

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
        order.check_files()
        _save_all(painter, [order], [_check_file(out)])
        return
    painter = Painter.load(arguments.model or "scenes").to(arguments.device)
    if arguments.to is not None or arguments.to_seed is not None:
        _walk(painter, arguments)
        return
    asked = {name: getattr(arguments, name) for name in ASKED}
    asked = {name: value for name, value in asked.items() if value is not None}
    if arguments.strip and not painter.sampling.steps:
        raise ValueError(f"paint: {painter.name} takes no steps, so there is no film of them")
    prompts = _prompts(arguments)
    said = (
        [*prompts, *(prompt for prompt, _ in read_mix(asked["mix"]))] if "mix" in asked else prompts
    )
    painter.encode(said)  # what cannot be painted is told before the first picture
    if asked:
        painter.check(conditions_of(asked, painter.size))
    for prompt in dict.fromkeys(said):
        for warning in painter.warnings(prompt):
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
        asked=asked,
        files={asked[name]: digest_of(asked[name]) for name in ("init", "mask") if name in asked},
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


def _walk(painter: Painter, arguments: Namespace) -> None:
    """From one prompt and seed to another: a sheet of the frames, and a film there and back."""
    others = [name for name in (*ASKED, "prompts") if getattr(arguments, name) is not None]
    if others or arguments.strip or arguments.n != 1 or arguments.prompt is None:
        raise ValueError(
            "paint: a walk takes one PROMPT, --to and --to-seed, --frames, --seed, --steps, "
            "--guidance, --sampler, --scale and --out"
        )
    ends = arguments.prompt, arguments.prompt if arguments.to is None else arguments.to
    seeds = arguments.seed, arguments.seed if arguments.to_seed is None else arguments.to_seed
    for prompt in dict.fromkeys(ends):
        for warning in painter.warnings(prompt):
            _log.warning("paint: %s", warning)
    sheet = Path(arguments.out or _numbered(Path(_slug(" to ".join(dict.fromkeys(ends))))))
    if sheet.suffix.lower() != ".png":
        raise ValueError(f"paint: --out is {sheet}, expected a name that ends in .png")
    film = _check_file(_check_file(sheet).with_suffix(".gif"))
    frames = painter.walk(
        ends,
        seeds,
        arguments.frames,
        steps=arguments.steps,
        guidance=arguments.guidance,
        sampler=arguments.sampler,
    )
    save_png(
        sheet, enlarge(grid(frames, gap=1), arguments.scale), {"Description": " to ".join(ends)}
    )
    there_and_back = np.concatenate([frames, frames[-2:0:-1]])
    write_atomically(film, gif_bytes(enlarge(there_and_back, arguments.scale)))
    print(sheet, film, sep="\n")


def _save_all(painter: Painter, orders: Sequence[Order], paths: Sequence[Path]) -> None:
    """Draw each batch once and save what its files show."""
    from tqdm import tqdm

    drawn: tuple[Order, np.ndarray] | None = None
    batches = sum(-(-len(order.prompts) // BATCH) for order in orders if not order.shows)
    with tqdm(
        total=batches * (orders[0].steps or 1), desc="painting", unit="step", leave=False
    ) as bar:
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
    steps = order.steps or 1
    kept = set(np.linspace(0, steps - 1, min(FILM, steps)).round().astype(int))
    frames: list[list[np.ndarray]] = [[] for _ in kept]

    def look(step: int, pictures: np.ndarray) -> None:
        bar.update()
        if order.strip and step in kept:
            frames[sorted(kept).index(step)].append(pictures)

    size = painter.size
    pictures = painter.paint(
        order.prompts,
        rng=order.rng(),
        steps=order.steps,
        guidance=order.guidance,
        sampler=order.sampler,
        callback=look,
        conditions=conditions_of(order.asked, size) if order.asked else NONE,
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
    if arguments.mix is not None:
        if arguments.prompt is not None or arguments.prompts is not None:
            raise ValueError("paint: --mix has the prompts, expected no others beside it")
        return [read_mix(arguments.mix)[0][0]] * arguments.n
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


def digest_of(path: str) -> str:
    """SHA-256 of a file's bytes, the first 16 digits."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


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

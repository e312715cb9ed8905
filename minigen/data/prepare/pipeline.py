"""From a folder of pictures to a folder that a training can use.

    examine every picture    decode, fingerprint                      .prepare/examined.json
    choose                   not what is broken, too small, a copy
    make every picture       reduce, denoise, segment, crop, resize, normalise, augment, caption
    report                   what was done, what was dropped and why  report.html

Everything can be stopped at any moment, by Ctrl-C, a full disk or a lost current, and goes on when
the same command is given again: each file is written whole or not at all, and each picture has in
it, as a text chunk of its PNG, of which file and by which settings it was made. The originals are
only read.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from minigen.data.files import write_atomically
from minigen.data.folder import pictures_in
from minigen.data.pixels import png_bytes, read_metadata
from minigen.data.prepare.augment import augmented, generator
from minigen.data.prepare.captions import caption
from minigen.data.prepare.decode import DroppedError, decode
from minigen.data.prepare.denoise import denoise
from minigen.data.prepare.duplicates import Fingerprint, fingerprint, originals
from minigen.data.prepare.normalise import normalised
from minigen.data.prepare.reshape import cropped, reduced, resized
from minigen.data.prepare.segment import foreground
from minigen.data.prepare.settings import Settings

MARK, NOTES = "minigen prepare", "minigen notes"  # text chunks of the new pictures
_OWN = ".prepare"  # the folder in OUT for what a later start wants to know
_FORM = 1  # of the steps; another number makes every picture anew
_SAVE_EVERY = 200  # pictures examined
_LEFT_OVER = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")  # of write_atomically, when it was killed


@dataclass
class Picture:
    """One original: what became of it."""

    path: Path
    name: str  # its path in the folder, with slashes
    stamp: str  # changes when the file does
    reason: str = ""  # why it is dropped
    pixels: int = 0
    print: Fingerprint | None = None
    notes: list[str] = field(default_factory=list)
    made: list[Path] = field(default_factory=list)  # the new pictures, the variants last


def prepare(folder: str | Path, out: str | Path, settings: Settings) -> list[Picture]:
    """Prepare all pictures of `folder` into `out`; what became of each, in the order of names.

    `out` is made, or is one of an earlier start: what it has already is kept, and what no longer
    belongs to it (an original that is gone, other settings) is replaced or removed.

    Raises: OSError if a folder or file cannot be read or written; ValueError if there are no
    pictures, `out` has other files or overlaps with `folder`, or an extra is not installed.
    """
    folder, out = Path(folder), Path(out)
    paths = pictures_in(folder)
    _check(folder, out, settings)
    (out / _OWN).mkdir(parents=True, exist_ok=True)
    for file in out.rglob(".*.tmp"):
        if _LEFT_OVER.fullmatch(file.name):
            file.unlink()
    pictures = _examine(folder, paths, out, settings)
    _drop_copies(pictures, settings)
    kept = [picture for picture in pictures if not picture.reason]
    for picture, names in zip(kept, _names(kept, settings.augment), strict=True):
        picture.made = [out / f"{name}.png" for name in names]
    _remove_others(out, kept)
    for picture in _with_bar(kept, "pictures"):
        _make(picture, settings)
    return pictures


def _check(folder: Path, out: Path, settings: Settings) -> None:
    inside, outside = folder.resolve(), out.resolve()
    if inside == outside or inside in outside.parents or outside in inside.parents:
        raise ValueError(f"prepare: {out} and {folder} overlap, expected two folders apart")
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"prepare: {out} is a file, expected a folder")
    if out.is_dir() and any(out.iterdir()) and not (out / _OWN).is_dir():
        raise ValueError(f"prepare: {out} has files of other origin, expected a new folder")
    if (settings.denoise or settings.needs_foreground) and find_spec("skimage") is None:
        raise ValueError('prepare: scikit-image is not installed: pip install "minigen[data]"')


# Examine, choose ---------------------------------------------------------------------------------


def _examine(folder: Path, paths: list[Path], out: Path, settings: Settings) -> list[Picture]:
    """Decode every picture once; what is known from an earlier start is not decoded again."""
    file = out / _OWN / "examined.json"
    known: dict[str, Any] = {}
    with suppress(OSError, ValueError):  # none yet, or damaged: begin again
        known = json.loads(file.read_text("utf-8"))
    pictures, fresh = [], 0
    try:
        for path in _with_bar(paths, "examined"):
            name, side = path.relative_to(folder).as_posix(), settings.least_side
            picture = _seen(path, name, known, side)
            if picture is None:
                picture = _look(path, name, side)
                known[name] = [picture.stamp, side, picture.reason, picture.pixels, picture.print]
                fresh += 1
                if fresh % _SAVE_EVERY == 0:
                    write_atomically(file, json.dumps(known).encode())
            pictures.append(picture)
    finally:
        if fresh:
            with suppress(OSError):  # a full disk: whatever failed first is what counts
                write_atomically(file, json.dumps(known).encode())
    return pictures


def _seen(path: Path, name: str, known: dict[str, Any], least_side: int) -> Picture | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        stamp, side, reason, pixels, print_ = known[name]
        if stamp == _stamp(path) and side == least_side:
            return Picture(path, name, stamp, reason, pixels, print_ and Fingerprint(*print_))
    return None


def _look(path: Path, name: str, least_side: int) -> Picture:
    stamp = ""
    try:
        stamp = _stamp(path)
        pixels, _ = decode(path, least_side)
    except (DroppedError, OSError) as error:
        return Picture(path, name, stamp, str(error))
    return Picture(path, name, stamp, "", pixels.shape[0] * pixels.shape[1], fingerprint(pixels))


def _stamp(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns}"


def _drop_copies(pictures: list[Picture], settings: Settings) -> None:
    whole = [picture for picture in pictures if picture.print is not None and not picture.reason]
    if settings.copies is None or not whole:
        return
    prints = [picture.print for picture in whole if picture.print is not None]
    found = originals(prints, [picture.pixels for picture in whole], settings.copies)
    for picture, of in zip(whole, found, strict=True):
        if of is not None:
            picture.reason = f"a copy of {whole[of].name}"


def _names(kept: list[Picture], variants: int) -> Iterator[list[str]]:
    """The names of the new pictures without their ending: each picture's own, and its variants'.

    No two are alike, even where a.png and A.png are one file.
    """
    taken: set[str] = set()
    for picture in kept:
        name, _, ending = picture.name.rpartition(".")
        while True:
            names = [name, *(f"{name}.{k}" for k in range(1, variants + 1))]
            if taken.isdisjoint(one.casefold() for one in names):
                break
            name = f"{name}_{ending}"
        taken.update(one.casefold() for one in names)
        yield names


def _remove_others(out: Path, kept: list[Picture]) -> None:
    """Pictures of an earlier start that no longer belong here, with their captions."""
    wanted = {path for picture in kept for path in picture.made}
    for path in sorted(out.rglob("*.png")):
        if path not in wanted and MARK in _chunks(path):
            path.unlink()
            path.with_suffix(".txt").unlink(missing_ok=True)


# Make --------------------------------------------------------------------------------------------


def _make(picture: Picture, settings: Settings) -> None:
    """The new picture, its variants and their captions, those that are not there yet."""
    mark = _mark(picture, settings)
    chunks = [_chunks(path) for path in picture.made]
    if all(found.get(MARK) == mark for found in chunks):
        picture.notes = json.loads(chunks[0].get(NOTES, "[]"))
    else:
        try:
            new, picture.notes = processed(decode(picture.path, 1), settings)
        except DroppedError as error:  # it was whole when it was examined
            picture.reason, picture.made = str(error), []
            return
        metadata = {MARK: mark, NOTES: json.dumps(picture.notes)}
        for k, path in enumerate(picture.made):
            one = (
                augmented(new, settings.kinds, generator(settings.seed, picture.name, k))
                if k
                else new
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, png_bytes(one, metadata))
    try:
        words = caption(picture.path, picture.name, settings.captions)
    except ValueError as error:
        words, picture.notes = "", [*picture.notes, str(error)]
    for path in picture.made:
        beside = path.with_suffix(".txt")
        if words and not (beside.is_file() and beside.read_bytes() == f"{words}\n".encode()):
            write_atomically(beside, f"{words}\n".encode())
        elif not words:
            beside.unlink(missing_ok=True)


def processed(
    decoded: tuple[np.ndarray, list[str]], settings: Settings
) -> tuple[np.ndarray, list[str]]:
    """Steps 3 to 6: (H, W, 3) -> (size, size, 3), and what was done."""
    picture, notes = decoded
    picture, mask, seen = reduced(picture, settings.size), None, list(notes)
    if settings.denoise:
        picture, done = denoise(picture)
        seen += done
    if settings.needs_foreground:
        mask = foreground(picture, settings.segment)
        seen.append(f"foreground is {mask.mean():.0%}" if mask.any() else "no foreground found")
        if settings.background == "white" and mask.any():
            picture = np.where(mask[:, :, None], picture, np.uint8(255))
    picture = resized(cropped(picture, settings.crop, mask), settings.size)
    if settings.normalise:
        picture, done = normalised(picture)
        seen += done
    return picture, seen


def _mark(picture: Picture, settings: Settings) -> str:
    """Of which file, by which settings; captions and what is dropped do not change the pixels."""
    chosen = asdict(settings)
    for name in ("captions", "smallest", "copies", "augment"):
        del chosen[name]
    text = json.dumps([_FORM, picture.name, picture.stamp, chosen], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _chunks(path: Path) -> dict[str, str]:
    with suppress(OSError, ValueError):  # not there, or damaged: it is made anew
        return read_metadata(path)
    return {}


def _with_bar(things: list[Any], what: str) -> Iterable[Any]:
    from tqdm import tqdm

    return tqdm(things, desc=what, disable=None, leave=False)

"""Two sets of pictures, A and B, in the folders that Pix2Pix and CycleGAN made customary.

    FOLDER/train/1.png           aligned: one file, A on the left and B on the right half
    FOLDER/trainA/1.png          aligned: two files of one name,
    FOLDER/trainB/1.jpg                   whatever their endings
    FOLDER/trainA/*.png          unaligned: any number of files in each
    FOLDER/trainB/*.png

and the same for other splits, `test` and `val`. Every picture is cut to its central square and
resized (see `minigen.data.folder`), both of a pair in the same way.

What is no plain RGB picture is brought to 8 bits a channel, and a warning says how many there were:
of an animation the first picture is taken, CMYK is converted without a colour profile, of 16 bits
the upper 8 are kept. Palettes lose nothing. Pictures of floats are refused.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from minigen.data.folder import pictures_in, square
from minigen.data.pixels import odd_kind, open_rgb

if TYPE_CHECKING:
    from PIL.Image import Image

DIRECTIONS = ("AtoB", "BtoA")
T = TypeVar("T")
_log = logging.getLogger("minigen")


@dataclass(frozen=True)
class Aligned:
    """N pairs: source[k] and target[k] show the same thing; their names without endings.

    Shapes: source, target (N, size, size, 3) uint8.
    """

    source: np.ndarray
    target: np.ndarray
    names: list[str]


@dataclass(frozen=True)
class Unaligned:
    """Two sets with nothing to pair them: source (N, size, size, 3), target (M, size, size, 3)."""

    source: np.ndarray
    target: np.ndarray


def aligned(path: str | Path, size: int, split: str = "train", direction: str = "AtoB") -> Aligned:
    """The pairs of a split, from A to B or from B to A.

    Raises: OSError if the folder or a file cannot be read; ValueError, with the names, for a
    picture without its other half, for two of different sizes, for one that is no two pictures side
    by side.
    """
    path = _checked(path, size, direction)
    whole, a, b = path / split, path / f"{split}A", path / f"{split}B"
    if whole.is_dir():
        files: list[tuple[Path, ...]] = [(file,) for file in pictures_in(whole)]
        names = [_name(file, whole) for (file,) in files]
    elif a.is_dir() and b.is_dir():
        names, files = _by_name(a, b)
    else:
        raise _missing("aligned", path, split, f"{split}/ or {split}A/ and {split}B/")
    _remark([file for pair in files for file in pair], len(files), f"pairs in {path.name}/{split}")
    both = np.empty((2, len(files), size, size, 3), np.uint8)
    for k, pair in enumerate(_with_bar(files, f"pairs of {split}")):
        first, second = _halves(*pair) if len(pair) == 1 else _same_size(*pair)
        both[0, k], both[1, k] = square(first, size), square(second, size)
    return Aligned(*_directed((both[0], both[1]), direction), names)


def unaligned(
    path: str | Path, size: int, split: str = "train", direction: str = "AtoB"
) -> Unaligned:
    """The two sets of a split, from A to B or from B to A; they need not be of one size.

    Raises: OSError if a folder or a file cannot be read; ValueError if a set is empty.
    """
    path = _checked(path, size, direction)
    sides: list[np.ndarray] = []
    for name in (f"{split}A", f"{split}B"):
        if not (path / name).is_dir():
            raise _missing("unaligned", path, split, f"{split}A/ and {split}B/")
        files = pictures_in(path / name)
        _remark(files, len(files), f"pictures in {path.name}/{name}")
        sides.append(np.empty((len(files), size, size, 3), np.uint8))
        for k, file in enumerate(_with_bar(files, name)):
            sides[-1][k] = square(open_rgb(file), size)
    return Unaligned(*_directed((sides[0], sides[1]), direction))


def _checked(path: str | Path, size: int, direction: str) -> Path:
    path = Path(path)
    if size < 1:
        raise ValueError(f"paired: got size = {size}, expected at least 1")
    if direction not in DIRECTIONS:
        raise ValueError(f"paired: got direction {direction!r}, expected 'AtoB' or 'BtoA'")
    if not path.is_dir():
        raise FileNotFoundError(f"paired: there is no folder {path}")
    return path


def _missing(kind: str, path: Path, split: str, expected: str) -> FileNotFoundError:
    found = sorted(entry.name for entry in path.iterdir() if entry.is_dir())
    there = ", ".join(f"{name}/" for name in found) or "no folders"
    return FileNotFoundError(
        f"{kind}: {path} has no split {split!r}: expected {expected}, found {there}"
    )


def _halves(file: Path) -> tuple[Image, Image]:
    """The left and the right half of a picture."""
    both = open_rgb(file)
    width, height = both.size
    if width % 2 or not height < width < 4 * height:
        raise ValueError(
            f"aligned: {file} is {width} x {height}, expected two pictures side by side: an even "
            "width, and more than the height"
        )
    middle = width // 2
    return both.crop((0, 0, middle, height)), both.crop((middle, 0, width, height))


def _by_name(a: Path, b: Path) -> tuple[list[str], list[tuple[Path, ...]]]:
    """The files of two folders that have the same names up to their endings."""
    of_a, of_b = _named(a), _named(b)
    for one, other, here, there in ((of_a, of_b, a, b), (of_b, of_a, b, a)):
        alone = sorted(one.keys() - other.keys())
        if alone:
            some = ", ".join(alone[:3]) + (", ..." if len(alone) > 3 else "")
            raise ValueError(
                f"aligned: {len(alone)} of {len(one)} pictures in {here.name}/ have no partner of "
                f"the same name in {there.name}/: {some}"
            )
    names = sorted(of_a)
    return names, [(of_a[name], of_b[name]) for name in names]


def _named(folder: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for file in pictures_in(folder):
        name = _name(file, folder)
        if name in files:
            raise ValueError(f"aligned: {folder} has more than one {name}.*, expected one")
        files[name] = file
    return files


def _name(file: Path, folder: Path) -> str:
    return file.relative_to(folder).with_suffix("").as_posix()


def _same_size(a: Path, b: Path) -> tuple[Image, Image]:
    first, second = open_rgb(a), open_rgb(b)
    if first.size != second.size:
        sizes = [f"{width} x {height}" for width, height in (first.size, second.size)]
        raise ValueError(
            f"aligned: {a} is {sizes[0]} and {b} is {sizes[1]}, expected a pair of one size"
        )
    return first, second


def _directed(
    sides: tuple[np.ndarray, np.ndarray], direction: str
) -> tuple[np.ndarray, np.ndarray]:
    return sides if direction == "AtoB" else sides[::-1]


def _with_bar(files: Sequence[T], what: str) -> Iterable[T]:
    from tqdm import tqdm

    return tqdm(files, desc=what, disable=None, leave=False)


def _remark(files: Sequence[Path], n: int, what: str) -> None:
    """Warn of what was changed, and of a set too small to learn from."""
    for kind, count in Counter(filter(None, map(odd_kind, files))).items():
        _log.warning("%d of the files of the %s: %s", count, what, kind)
    if n == 1:
        _log.warning("1 of the %s: a model can only learn it by heart", what)

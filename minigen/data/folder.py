"""A user's own pictures: a folder of image files, with captions in text files beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minigen.data.pixels import open_rgb

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")


@dataclass(frozen=True)
class Folder:
    """N pictures (N, size, size, 3) uint8, their captions ("" for none) and their files."""

    images: np.ndarray
    captions: list[str]
    paths: list[Path]


def folder(path: str | Path, size: int) -> Folder:
    """All pictures in a folder and its subfolders, in the order of their names.

    Every picture is cut to its central square and resized to `size` x `size` (Lanczos; see
    `minigen.data.pixels.open_rgb` for rotation, transparency and kinds of pixels). The caption of
    `cat.jpg` is the text in `cat.txt`, UTF-8. Hidden files are left out.

    Raises: OSError if the folder or a file cannot be read; ValueError if there are no pictures,
    or a file is not what its ending says.
    Cost: 3 size^2 bytes of memory a picture: 3 GB for a million of 32 x 32.
    """
    from tqdm import tqdm

    if size < 1:
        raise ValueError(f"folder: got size = {size}, expected at least 1")
    paths = pictures_in(Path(path))
    images = np.empty((len(paths), size, size, 3), np.uint8)
    for k, file in enumerate(tqdm(paths, desc="pictures", disable=None, leave=False)):
        images[k] = load_square(file, size)
    return Folder(images, [_caption(file) for file in paths], paths)


def load_square(path: str | Path, size: int) -> np.ndarray:
    """The central square of a picture, resized (Lanczos): (size, size, 3) uint8."""
    return square(open_rgb(path), size)


def square(picture: Image, size: int) -> np.ndarray:
    """The same of a Pillow image in RGB."""
    from PIL import ImageOps
    from PIL.Image import Resampling

    return np.asarray(ImageOps.fit(picture, (size, size), Resampling.LANCZOS))


def pictures_in(path: Path) -> list[Path]:
    """The picture files in a folder and its subfolders, by name, hidden ones left out.

    Raises: OSError if there is no such folder; ValueError if it has none.
    """
    if not path.exists():
        raise FileNotFoundError(f"folder: there is no folder {path}")
    if not path.is_dir():
        raise NotADirectoryError(f"folder: {path} is a file, expected a folder of pictures")
    files = [
        file
        for file in sorted(path.rglob("*"))
        if file.suffix.lower() in ENDINGS
        and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
    ]
    if not files:
        raise ValueError(f"folder: no pictures in {path}, looked for {' '.join(ENDINGS)}")
    return files


def _caption(picture: Path) -> str:
    file = picture.with_suffix(".txt")
    if not file.is_file():
        return ""
    try:
        return " ".join(file.read_text(encoding="utf-8-sig").split())
    except UnicodeDecodeError as error:
        raise ValueError(f"folder: the caption {file} is not UTF-8 text") from error

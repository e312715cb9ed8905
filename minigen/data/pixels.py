"""Pictures at the edges of the library: uint8 and float32, many on one sheet, files.

Inside the library a picture is float32 in [-1, 1]; files, screens and people have uint8.
"""

from __future__ import annotations

import io
import math
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minigen.data.files import renamed, write_atomically

if TYPE_CHECKING:  # Pillow is imported where it is used: `import minigen` stays quick
    from PIL.Image import Image


def to_float(images: np.ndarray) -> np.ndarray:
    """uint8 0..255 -> float32 [-1, 1], `x / 127.5 - 1`."""
    if images.dtype != np.uint8:
        raise ValueError(f"to_float: got {images.dtype}, expected uint8")
    return images.astype(np.float32) / np.float32(127.5) - np.float32(1)


def to_uint8(images: np.ndarray) -> np.ndarray:
    """float [-1, 1] -> uint8 0..255, rounded and clipped: the inverse of `to_float`.

    Raises: ValueError for NaN and for integers, which nobody can mean.
    """
    images = np.asarray(images)
    if not np.issubdtype(images.dtype, np.floating):
        raise ValueError(f"to_uint8: got {images.dtype}, expected floats in [-1, 1]")
    if np.isnan(images).any():
        raise ValueError("to_uint8: got NaN, expected floats in [-1, 1]")
    return np.rint((np.clip(images, -1, 1) + 1) * 127.5).astype(np.uint8)


def binarise(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Every pixel is drawn black or white: uint8 -> float32 {0, 1}.

    `P(x = 1) = grey / 255`, each pixel on its own: black stays 0, white stays 1. Drawn anew at
    every step of a training this is dynamically binarised MNIST; a test set is drawn once, from
    a fixed seed.

    Raises: ValueError unless the pictures are uint8.
    Source: R. Salakhutdinov and I. Murray, "On the quantitative analysis of deep belief
    networks", 2008, section 5.
    """
    if images.dtype != np.uint8:
        raise ValueError(f"binarise: got {images.dtype}, expected uint8")
    return (rng.random(images.shape, np.float32) * 255 < images).astype(np.float32)


def grid(images: np.ndarray, columns: int | None = None, gap: int = 0) -> np.ndarray:
    """Many pictures on one sheet, row by row; what is left over at the end is white.

    `columns` defaults to a sheet as square as possible; `gap` is the white space between, pixels.

    Shapes: (N, H, W, C) -> (rows (H + gap) - gap, columns (W + gap) - gap, C), the same dtype.
    """
    images = np.asarray(images)
    if images.ndim != 4 or not len(images):
        raise ValueError(f"grid: got shape {images.shape}, expected (N, H, W, C) with N > 0")
    if columns is not None and columns < 1:
        raise ValueError(f"grid: got columns = {columns}, expected at least 1")
    if gap < 0:
        raise ValueError(f"grid: got gap = {gap}, expected 0 or more")
    n, height, width, channels = images.shape
    columns = min(columns or math.ceil(math.sqrt(n)), n)
    rows = math.ceil(n / columns)
    white = 255 if images.dtype == np.uint8 else 1
    tiles = np.full((rows * columns, height + gap, width + gap, channels), white, images.dtype)
    tiles[:n, :height, :width] = images
    tiles = tiles.reshape(rows, columns, *tiles.shape[1:])
    sheet = tiles.transpose(0, 2, 1, 3, 4)  # (rows, H, columns, W, C)
    sheet = sheet.reshape(rows * (height + gap), columns * (width + gap), channels)
    return sheet[: rows * (height + gap) - gap, : columns * (width + gap) - gap]


def enlarge(image: np.ndarray, factor: int) -> np.ndarray:
    """Every pixel as a square of factor x factor: (..., H, W, C) -> (..., H f, W f, C)."""
    if factor < 1:
        raise ValueError(f"enlarge: got factor = {factor}, expected at least 1")
    return image.repeat(factor, axis=-3).repeat(factor, axis=-2)


def to_grey(images: np.ndarray) -> np.ndarray:
    """How bright colours look: uint8 (..., 3) -> uint8 (..., 1), 0.299 R + 0.587 G + 0.114 B.

    Raises: ValueError for what is not uint8 with three channels.
    Source: ITU-R BT.601, section 2.5.1.
    """
    if images.dtype != np.uint8 or images.shape[-1:] != (3,):
        raise ValueError(f"to_grey: got {images.dtype} {images.shape}, expected uint8 (..., 3)")
    return np.rint(images @ np.array([[0.299], [0.587], [0.114]])).astype(np.uint8)


# Files -------------------------------------------------------------------------------------------


def png_bytes(image: np.ndarray, metadata: Mapping[str, str] | None = None) -> bytes:
    """A picture (H, W, 3), (H, W, 1) or (H, W) uint8 as PNG, `metadata` as its text chunks."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    image = np.asarray(image)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if image.dtype != np.uint8 or not (image.ndim == 2 or image.shape[2:] == (3,)):
        raise ValueError(
            f"save_png: got {image.dtype} of shape {image.shape}, expected uint8 of shape "
            "(H, W, 3), (H, W, 1) or (H, W)"
        )
    chunks = PngInfo()
    for name, text in (metadata or {}).items():
        chunks.add_itxt(name, text)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", pnginfo=chunks)
    return file.getvalue()


def save_png(
    path: str | Path, image: np.ndarray, metadata: Mapping[str, str] | None = None
) -> None:
    """Write a picture as PNG, whole or not at all; see `png_bytes` and `write_atomically`.

    Raises: ValueError for an array that is no picture; OSError if the file cannot be written.
    """
    write_atomically(path, png_bytes(image, metadata))


def gif_bytes(frames: np.ndarray, milliseconds: int = 120) -> bytes:
    """Pictures (N, H, W, 3) uint8 as an animated GIF that begins again at its end.

    Raises: ValueError for an array that is no film.
    """
    from PIL import Image

    frames = np.asarray(frames)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or not len(frames):
        raise ValueError(
            f"gif_bytes: got {frames.dtype} of shape {frames.shape}, expected uint8 (N, H, W, 3)"
        )
    first, *rest = [Image.fromarray(frame) for frame in frames]
    file = io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=rest, duration=milliseconds, loop=0)
    return file.getvalue()


def load_image(path: str | Path) -> np.ndarray:
    """A picture of any kind as (H, W, 3) uint8; see `open_rgb`."""
    return np.array(open_rgb(path))


def read_metadata(path: str | Path) -> dict[str, str]:
    """The text chunks of a PNG; empty if it has none or is another kind of picture."""
    with _Reading(path) as image:
        image.load()  # text may stand behind the pixels
        return {name: str(text) for name, text in getattr(image, "text", {}).items()}


def open_rgb(path: str | Path) -> Image:
    """A picture file as a Pillow image in RGB, 8 bits a channel.

    Turned as its EXIF data say; transparency lies over white; of an animation the first picture.

    Raises: FileNotFoundError and other OSErrors if it cannot be read; ValueError, with the path,
    if it is no picture, damaged, or so large that it must be an attack (Pillow's limit).
    """
    from PIL import ImageOps

    with _Reading(path) as image:
        image.load()
        return _to_rgb(ImageOps.exif_transpose(image))


def odd_kind(path: str | Path) -> str:
    """What `open_rgb` changes about a picture, beside its size in memory: "" for nothing."""
    with _Reading(path) as image:
        if getattr(image, "n_frames", 1) > 1:
            return "animated, the first picture is taken"
        if image.mode == "CMYK":
            return "CMYK, converted without a colour profile"
        return "16 bits a channel, 8 are kept" if image.mode.startswith("I") else ""


def _to_rgb(image: Image) -> Image:
    from PIL import Image

    if image.mode == "F":
        raise ValueError("its pixels are floats")
    if image.mode.startswith("I"):  # 16 bits of grey: 65535 is white
        grey = np.asarray(image).astype(np.float64) / 257
        return Image.fromarray(np.clip(np.rint(grey), 0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


class _Reading:
    """Opens a picture and turns all that Pillow may raise over a bad file into one clear line."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __enter__(self) -> Any:
        from PIL import Image

        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        warnings.simplefilter("ignore")  # of damaged EXIF data and the like
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            self._image = Image.open(self.path)
            return self._image.__enter__()
        except BaseException as error:
            self._warnings.__exit__(None, None, None)
            self._explain(error)
            raise

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._image.__exit__(kind, error, trace)
        self._warnings.__exit__(None, None, None)
        if error is not None:
            self._explain(error)

    def _explain(self, error: BaseException) -> None:
        from PIL import Image, UnidentifiedImageError

        if isinstance(error, UnidentifiedImageError):
            raise ValueError(f"{self.path} is not a picture") from error
        if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
            limit = f"{(Image.MAX_IMAGE_PIXELS or 0) / 1e6:.0f} million pixels"
            raise ValueError(f"{self.path} is too large: expected at most {limit}") from error
        if isinstance(error, OSError) and error.errno is not None:
            raise renamed(error, f"cannot read {self.path}: {error.strerror}") from error
        if isinstance(error, OSError | SyntaxError | ValueError | EOFError | struct.error):
            raise ValueError(f"{self.path} cannot be used: {error}") from error

"""MNIST and Fashion-MNIST: 60,000 + 10,000 pictures of 28 x 28 in ten classes each.

The files are looked for in the folder that the environment variable MINIGEN_DATA names, then in the
cache, and are downloaded at last. Whatever the way, the SHA-256 of the content is compared with the
one below before it is used.

The format, IDX, is a header of big-endian numbers and then the values: ::

    0 0 type dimensions | size of dimension 1 | ... | values        type 8 is uint8

Source: LeCun, Cortes, Burges, The MNIST database of handwritten digits, 1998; Xiao, Rasul,
Vollgraf, Fashion-MNIST, 2017, arXiv:1708.07747.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import sys
import urllib.request
import zlib
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import numpy as np

from minigen.data.files import write_atomically

FASHION_CLASSES = (
    "t-shirt", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip

_TIMEOUT = 30.0  # seconds without an answer
_PIECE = 1 << 16  # bytes read at once
_NO_GZIP = (EOFError, zlib.error, gzip.BadGzipFile)


class DamagedError(ValueError):
    """A file that is not what it should be."""


@dataclass(frozen=True)
class ClassicSet:
    """Where the four files of a set are, and the SHA-256 of what they hold."""

    name: str
    mirrors: tuple[str, ...]
    sums: dict[str, str]


MNIST = ClassicSet(
    "mnist",
    (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    {
        "train-images-idx3-ubyte": (
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
        ),
        "train-labels-idx1-ubyte": (
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
        ),
        "t10k-images-idx3-ubyte": (
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
        ),
        "t10k-labels-idx1-ubyte": (
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
        ),
    },
)
FASHION_MNIST = ClassicSet(
    "fashion-mnist",
    (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    {
        "train-images-idx3-ubyte": (
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
        ),
        "train-labels-idx1-ubyte": (
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
        ),
        "t10k-images-idx3-ubyte": (
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
        ),
        "t10k-labels-idx1-ubyte": (
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"
        ),
    },
)


def mnist(split: str = "train") -> tuple[np.ndarray, np.ndarray]:
    """Handwritten digits, 'train' (60,000) or 'test' (10,000).

    Shapes: images (N, 28, 28, 1) uint8, white on black; labels (N,) int64.
    Raises: OSError if the files cannot be had; ValueError if a file is damaged.
    """
    return _load(MNIST, split)


def fashion_mnist(split: str = "train") -> tuple[np.ndarray, np.ndarray]:
    """Garments; as `mnist`, and the labels are indices into FASHION_CLASSES."""
    return _load(FASHION_MNIST, split)


def cache_folder() -> Path:
    """Where downloads are kept, by the custom of the operating system."""
    home = Path.home()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or home / ".cache"
    return Path(base) / "minigen"


def read_idx(content: bytes) -> np.ndarray:
    """The array in an IDX file of uint8.

    Raises: DamagedError if the header is none, or there are more or fewer values than it says.
    """
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise DamagedError("it is no IDX file of uint8")
    start = 4 + 4 * content[3]
    shape = [int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4)]
    if len(content) != start + math.prod(shape):
        raise DamagedError(
            f"it has {len(content)} bytes, expected {start + math.prod(shape)} for shape {shape}"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()


def _load(source: ClassicSet, split: str) -> tuple[np.ndarray, np.ndarray]:
    if split not in ("train", "test"):
        raise ValueError(f"{source.name}: got split {split!r}, expected 'train' or 'test'")
    prefix = "train" if split == "train" else "t10k"
    images = read_idx(_content(source, f"{prefix}-images-idx3-ubyte"))
    labels = read_idx(_content(source, f"{prefix}-labels-idx1-ubyte"))
    return images[..., None], labels.astype(np.int64)


def _content(source: ClassicSet, name: str) -> bytes:
    """The checked content of one file, wherever it is found."""
    own = os.environ.get("MINIGEN_DATA")
    if own:
        if not Path(own).is_dir():
            raise FileNotFoundError(f"{source.name}: there is no folder MINIGEN_DATA={own}")
        for path in (Path(own, source.name, name + ".gz"), Path(own, source.name, name)):
            if path.is_file():
                return _checked(source, name, path.read_bytes(), str(path))
    cached = cache_folder() / source.name / f"{name}.gz"
    if cached.is_file():
        try:
            return _checked(source, name, cached.read_bytes(), str(cached))
        except DamagedError as error:
            print(f"{error}; fetching it again", file=sys.stderr)
    return _download(source, name, cached)


def _checked(source: ClassicSet, name: str, packed: bytes, where: str) -> bytes:
    """The unpacked content, if it is what it should be."""
    try:
        content = gzip.decompress(packed) if packed[:2] == b"\x1f\x8b" else packed
    except _NO_GZIP as error:
        raise DamagedError(f"{source.name}: {where} is damaged: {error}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != source.sums[name]:
        raise DamagedError(
            f"{source.name}: {where} is damaged: SHA-256 of the content is {found[:12]}..., "
            f"expected {source.sums[name][:12]}..."
        )
    return content


def _download(source: ClassicSet, name: str, cached: Path) -> bytes:
    """Fetch a file from the first mirror that has it whole, and keep it in the cache."""
    failures = []
    for mirror in source.mirrors:
        url = f"{mirror}{name}.gz"
        try:
            packed = _fetch(url)
            content = _checked(source, name, packed, url)
        except (OSError, HTTPException, DamagedError) as error:
            failures.append(f"  {url}: {getattr(error, 'reason', None) or error}")
            continue
        try:
            cached.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(cached, packed)
        except OSError as error:  # a full disk or a read-only home: go on without a copy
            print(f"{source.name}: not kept for the next time: {error}", file=sys.stderr)
        return content
    raise OSError(
        f"{source.name}: could not get {name}.gz. Put it into the folder {cached.parent}, or into "
        f"FOLDER/{source.name} with MINIGEN_DATA=FOLDER. Tried:\n" + "\n".join(failures)
    )


def _fetch(url: str) -> bytes:
    from tqdm import tqdm

    with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:
        size = int(answer.headers.get("Content-Length") or 0)
        label = url.rsplit("/", 1)[-1]
        pieces = []
        with tqdm(total=size or None, unit="B", unit_scale=True, desc=label, disable=None) as bar:
            while piece := answer.read(_PIECE):
                pieces.append(piece)
                bar.update(len(piece))
    packed = b"".join(pieces)
    if size and len(packed) != size:
        raise DamagedError(f"the connection broke after {len(packed)} of {size} bytes")
    return packed

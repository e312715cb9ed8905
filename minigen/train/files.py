"""Files of arrays that survive a crash, a full disk and a flipped bit.

    save_weights("scenes.safetensors", model.state_dict(), {"recipe": "scenes"}, dtype="float16")
    state, note = load_weights("scenes.safetensors")

The format is safetensors: the length of the header in 8 bytes, a JSON header with the name, type,
shape and place of every array, then the raw arrays. Reading it runs no code, as pickle would.
The header's free text has one entry, "minigen": JSON with the note that was passed in and a SHA-256
of note and arrays, by which a damaged file is recognised.

A file is written beside its place, flushed to the disk and renamed. A rename is all or nothing, so
there is no moment at which a crash leaves half a file under the real name.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, numpy, safe_open

from minigen.data.files import write_atomically

State = Mapping[str, np.ndarray]


class DamagedFileError(ValueError):
    """No safetensors file, or one that was cut short or whose digest does not fit its content."""


class SaveError(OSError):
    """A file could not be written; what stood there before is intact."""

    @classmethod
    def of(cls, error: OSError, path: str | Path) -> "SaveError":
        """The system's error with the path and the reason in words."""
        clear = cls(f"cannot write {path}: {error.strerror}" if error.strerror else str(error))
        clear.errno = error.errno
        return clear


def save_bytes(path: str | Path, data: bytes) -> None:
    """Put `data` at `path`, or leave everything as it was; it stays there through a power cut.

    Raises: SaveError with the system's reason (a full disk, no permission).
    """
    try:
        write_atomically(path, data)
        _flush_folder(Path(path).parent)
    except OSError as error:
        raise SaveError.of(error, path) from error


def _flush_folder(folder: Path) -> None:
    """Make a rename outlast a power cut: the name is part of the folder, not of the file."""
    if os.name != "posix":
        return  # Windows cannot open a folder
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def save_weights(
    path: str | Path, state: State, note: Mapping[str, Any] | None = None, dtype: str | None = None
) -> None:
    """Write named arrays and a note (anything JSON can hold) to one file, atomically.

    dtype="float16" stores float32 arrays in half the space (11 bits of mantissa instead of 24).

    Raises: SaveError where the file cannot be written; ValueError where a number exceeds float16.
    """
    arrays = {name: _stored(name, a, dtype) for name, a in state.items()}
    note = json.loads(json.dumps(dict(note or {}), default=_plain))
    text = json.dumps({"note": note, "sha256": _digest(note, arrays)}, sort_keys=True)
    save_bytes(path, numpy.save(arrays, {"minigen": text}))


def _stored(name: str, a: np.ndarray, dtype: str | None) -> np.ndarray:
    """The array as it lies in the file: contiguous, which the format takes for granted."""
    a = np.asarray(a)
    if dtype not in (None, "float16", "float32"):
        raise ValueError(f'save_weights: dtype is {dtype!r}, expected "float16" or "float32"')
    if dtype and a.dtype == np.float32:
        if dtype == "float16" and (np.abs(a) > np.finfo(np.float16).max).any():
            raise ValueError(f"save_weights: {name} has numbers beyond 65504, which float16 cannot")
        a = a.astype(dtype)
    return np.asarray(a, order="C")


def _plain(x: Any) -> Any:
    """NumPy's numbers and arrays, paths and the like, as JSON has them."""
    return x.tolist() if isinstance(x, np.ndarray | np.generic) else str(x)


def _digest(note: Any, arrays: State) -> str:
    digest = hashlib.sha256(json.dumps(note, sort_keys=True).encode())
    for name in sorted(arrays):
        a = arrays[name]
        digest.update(f"{name} {a.dtype} {a.shape}".encode())
        digest.update(np.asarray(a, order="C").reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def load_weights(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """(arrays, note) of a file; float16 arrays come back as float32.

    Raises: FileNotFoundError; DamagedFileError where the content is not what was saved.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"load_weights: there is no file {path}")
    try:
        with safe_open(path, framework="np") as file:
            text = (file.metadata() or {}).get("minigen")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        stored = json.loads(text) if text else None
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise DamagedFileError(f"load_weights: {path} is damaged: {error}") from error
    if stored and stored.get("sha256") != _digest(stored.get("note"), arrays):
        raise DamagedFileError(
            f"load_weights: {path} is damaged: its content does not fit its SHA-256"
        )
    widened = {
        name: a.astype(np.float32) if a.dtype == np.float16 else a for name, a in arrays.items()
    }
    return widened, stored["note"] if stored else {}


def split_parts(arrays: State) -> dict[str, dict[str, np.ndarray]]:
    """{"model.a": ..., "ema.a": ...} -> {"model": {"a": ...}, "ema": {"a": ...}}."""
    parts: dict[str, dict[str, np.ndarray]] = {}
    for key in sorted(arrays):
        part, _, name = key.partition(".")
        parts.setdefault(part, {})[name] = arrays[key]
    return parts

"""Writing a file whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_atomically(path: str | Path, content: bytes) -> None:
    """Put `content` at `path`: a reader sees the old file or the new one, never a half.

    It is written to a temporary file in the same folder, flushed to the disk and renamed. Whatever
    fails, the temporary file is removed and an older file at `path` stays as it was.

    Raises: OSError if it cannot be written, with the path and the reason.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise renamed(error, f"cannot write {path}: {error.strerror}") from error
        raise


def renamed(error: OSError, message: str) -> OSError:
    """The same kind of error with a message for people: no number, the path without quotes."""
    clear = type(error)(message)
    clear.errno = error.errno
    return clear

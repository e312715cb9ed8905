"""Which rung is the fastest at which shapes, as `minigen bench --tune` measured it.

tuning.json, beside this file, is from a machine with two cores; a table of one's own, in the cache
folder, comes before it. An entry is

    {"op", "shape": shapes of the arrays, "settings", "threads", "rung": the fastest, "ms": of each}

A shape that is not in the table is decided by the entry nearest to it.
"""

import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from minigen.kernels.threads import width

Entry = dict[str, Any]
Features = Callable[..., tuple[Any, Sequence[float]]]


def path() -> Path:
    """Of this machine's own table: MINIGEN_TUNING, or a file in the cache folder."""
    if given := os.environ.get("MINIGEN_TUNING"):
        return Path(given)
    home = Path.home()
    caches = {
        "win32": os.environ.get("LOCALAPPDATA", home / "AppData" / "Local"),
        "darwin": home / "Library" / "Caches",
    }
    unix = os.environ.get("XDG_CACHE_HOME", home / ".cache")
    return Path(caches.get(sys.platform, unix)) / "minigen" / "tuning.json"


def save(entries: Iterable[Entry]) -> Path:
    """Write this machine's table: the entries of these ops are replaced, those of others stay."""
    entries = list(entries)
    ops, place = {entry["op"] for entry in entries}, path()
    kept = [entry for entry in read(place) if entry["op"] not in ops] if place.exists() else []
    place.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(entry) for entry in kept + entries)
    part = place.with_name(place.name + ".part")
    part.write_text(f"[\n{lines}\n]\n", "utf-8")
    part.replace(place)
    _table.cache_clear()
    _nearest.cache_clear()
    return place


def read(place: Path) -> list[Entry]:
    """The entries of a table.

    Raises: ValueError for a file that is none, with the way to make a new one.
    """
    try:
        table = json.loads(place.read_text("utf-8"))
        return [entry for entry in table if entry["op"] and entry["rung"] and entry["shape"]]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{place}: no tuning table; `minigen bench --tune` writes one") from error


@cache
def _table() -> list[Entry]:
    own = path()
    return read(own if own.is_file() else Path(__file__).with_name("tuning.json"))


def report() -> str:
    """One line: which table is in use."""
    own = path()
    where = own if own.is_file() else f"the one that ships; `minigen bench --tune` writes {own}"
    return f"{len(_table())} entries, {where}"


def fastest(
    op: str, features: Features, shapes: tuple[tuple[int, ...], ...], **settings: Any
) -> str | None:
    """The rung of the entry nearest to these arrays; None where no entry is of their kind.

    features(shapes, **settings) -> (kind, sizes)    entries of another kind do not count; the
                                                     distance is that of the sizes' logarithms
    """
    return _nearest(op, features, shapes, tuple(sorted(settings.items())), width())


@cache
def _nearest(op: str, features: Features, shapes: Any, settings: Any, threads: int) -> str | None:
    kind, sizes = features(shapes, **dict(settings))
    place = [math.log2(max(1, n)) for n in (*sizes, threads)]

    def distance(entry: Entry) -> float:
        other, sizes = features(entry["shape"], **entry["settings"])
        if entry["op"] != op or other != kind:
            return math.inf
        there = [math.log2(max(1, n)) for n in (*sizes, entry["threads"])]
        return math.dist(place, there)

    best = min(_table(), key=distance, default=None)
    return best["rung"] if best and distance(best) < math.inf else None

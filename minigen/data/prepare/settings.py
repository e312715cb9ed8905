"""What the preparation can be told; `minigen data prepare --help` is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from minigen.data.prepare.augment import KINDS
from minigen.data.prepare.captions import SOURCES
from minigen.data.prepare.reshape import CROPS

BACKGROUNDS = ("keep", "white")
METHODS = ("graph_cut", "watershed", "threshold")  # those of segment.py


def _option(default: Any, help: str, choices: Sequence[Any] | None = None) -> Any:
    return field(default=default, metadata={"help": help, "choices": choices})


@dataclass(frozen=True)
class Settings:
    """How pictures are prepared.

    Raises: ValueError for what means nothing.
    """

    size: int = _option(64, "pixels a side of the new pictures")
    crop: str = _option("centre", "to a square: its centre, all of it, or the foreground", CROPS)
    background: str = _option("keep", "what is behind the foreground", BACKGROUNDS)
    segment: str = _option("graph_cut", "how the foreground is found, where it is needed", METHODS)
    denoise: bool = _option(False, "take noise away by non-local means")
    normalise: bool = _option(False, "stretch the contrast to the whole range")
    augment: int = _option(0, "variants of each picture, beside it")
    kinds: tuple[str, ...] = _option(KINDS, f"what variants are made by: {' '.join(KINDS)}")
    captions: str = _option("names", "where captions come from, if no text is beside", SOURCES)
    smallest: int | None = _option(None, "drop what has a shorter side; default half of the size")
    copies: int | None = _option(6, "drop what differs in at most so many of 64 bits; none keeps")
    seed: int = _option(0, "of the variants")

    def __post_init__(self) -> None:
        chosen = (("crop", CROPS), ("background", BACKGROUNDS), ("segment", METHODS))
        for name, allowed in (*chosen, ("captions", SOURCES)):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"prepare: got {name} {getattr(self, name)!r}, expected {', '.join(allowed)}"
                )
        for name, least in (("size", 1), ("augment", 0), ("smallest", 0), ("copies", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"prepare: got {name} = {value}, expected at least {least}")
        unknown = [kind for kind in self.kinds if kind not in KINDS]
        if unknown:
            raise ValueError(f"prepare: got kinds {unknown[0]!r}, expected {', '.join(KINDS)}")

    @property
    def least_side(self) -> int:
        """Pixels of the shorter side below which a picture is dropped."""
        return max(1, self.size // 2 if self.smallest is None else self.smallest)

    @property
    def needs_foreground(self) -> bool:
        """Whether a picture is to be segmented."""
        return self.crop == "foreground" or self.background == "white"

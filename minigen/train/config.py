"""A recipe's settings: a frozen dataclass, of which config.json and the options of --help are made.

    @dataclass(frozen=True)
    class Config:
        steps: int = option(2000, "optimiser steps")
        minutes: float | None = option(None, "stop after so many minutes")
        data: str = option("ring", "toy set", choices=("ring", "grid25"))

Types: int, float, str, bool, tuples of one of them, each also "or None".
"""

from collections.abc import Mapping, Sequence
from dataclasses import field, fields
from typing import Any, TypeVar, get_args, get_type_hints

C = TypeVar("C")


def option(default: Any, help: str, choices: Sequence[Any] | None = None) -> Any:
    """A field of a Config with the sentence that --help shows for it."""
    return field(default=default, metadata={"help": help, "choices": choices})


def config_from(kind: type[C], values: Mapping[str, Any]) -> C:
    """A Config from the "config" part of config.json, in which tuples have become lists.

    Raises: ValueError for a name that the Config has not, for instance from another version.
    """
    hints = get_type_hints(kind)
    unknown = sorted(set(values) - {f.name for f in fields(kind)})  # type: ignore[arg-type]
    if unknown:
        raise ValueError(f"config: {', '.join(unknown)} is no setting of {kind.__module__}")
    return kind(**{name: _fitted(value, hints[name]) for name, value in values.items()})


def part_of(kind: type[C], values: Mapping[str, Any]) -> C:
    """A Config of those values that it has a name for: a network's, out of a recipe's."""
    names = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    return config_from(kind, {name: value for name, value in values.items() if name in names})


def _fitted(value: Any, hint: Any) -> Any:
    if isinstance(value, list) and getattr(hint, "__origin__", None) is tuple:
        inner = get_args(hint)[0]
        return tuple(_fitted(x, inner) for x in value)
    return value

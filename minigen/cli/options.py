"""Options of the command line, made from a recipe's dataclass or a function's arguments."""

import argparse
import inspect
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, NamedTuple, NoReturn, Union, get_args, get_origin, get_type_hints

from minigen.backend import GPUError, plain_gpu_errors, use_device


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and keeps the line breaks of its texts."""

    def __init__(self, **settings: Any):
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"minigen: error: {message} (see {self.prog} --help)\n")


class Setting(NamedTuple):
    """One option: as it is called in Python, its type, default, and what --help says."""

    name: str
    type: Any
    default: Any
    help: str
    choices: Sequence[Any] | None = None


def settings_of_config(kind: type) -> list[Setting]:
    """Those of a recipe's Config: every field that was made with `option`."""
    hints = get_type_hints(kind)
    return [
        Setting(f.name, hints[f.name], f.default, f.metadata["help"], f.metadata["choices"])
        for f in fields(kind)
        if "help" in f.metadata
    ]


def settings_of_function(function: Callable[..., Any]) -> list[Setting]:
    """The arguments behind the `*`."""
    hints = get_type_hints(function)
    return [
        Setting(p.name, hints[p.name], p.default, p.name.replace("_", " "))
        for p in inspect.signature(function).parameters.values()
        if p.kind is p.KEYWORD_ONLY
    ]


def add_settings(parser: argparse.ArgumentParser, settings: Sequence[Setting], title: str) -> None:
    """`guidance_scale: float = 3.0` becomes `--guidance-scale`; what is not given stays unset."""
    group = parser.add_argument_group(title)
    for setting in settings:
        kind, many, optional = _kind(setting.type)
        default = "" if setting.default is None else f" (default: {_shown(setting.default)})"
        how: dict[str, Any] = {"default": argparse.SUPPRESS, "dest": setting.name}
        how["help"] = (setting.help + default).replace("%", "%%")
        if kind is bool:
            how["action"] = argparse.BooleanOptionalAction
        else:
            how |= {"type": _or_none(kind) if optional else kind, "choices": setting.choices}
            if not setting.choices:
                how["metavar"] = {int: "N", float: "X"}.get(kind, "TEXT")
            if many:
                how |= {"nargs": "+", "action": _AsTuple}
        group.add_argument("--" + setting.name.replace("_", "-"), **how)


class _AsTuple(argparse.Action):
    def __call__(self, parser: Any, namespace: Any, values: Any, option: Any = None) -> None:
        setattr(namespace, self.dest, tuple(values))


def _kind(hint: Any) -> tuple[type, bool, bool]:
    """(type, whether there are many, whether there may be none).

    >>> _kind(tuple[int, ...]), _kind(float | None)
    ((<class 'int'>, True, False), (<class 'float'>, False, True))
    """
    optional = get_origin(hint) in (Union, types.UnionType)
    if optional:
        (hint,) = (a for a in get_args(hint) if a is not type(None))
    many = get_origin(hint) is tuple
    return (get_args(hint)[0] if many else hint), many, optional


def _or_none(kind: type) -> Callable[[str], Any]:
    """A type for add_argument that takes "none" too, to lift a limit that is the default."""

    def parse(text: str) -> Any:
        return None if text == "none" else kind(text)

    parse.__name__ = kind.__name__  # which argparse names in its error
    return parse


def _shown(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def given(args: argparse.Namespace, settings: Sequence[Setting]) -> dict[str, Any]:
    """The settings that stood on the command line."""
    return {s.name: getattr(args, s.name) for s in settings if hasattr(args, s.name)}


def add_device(parser: argparse.ArgumentParser) -> None:
    """--device."""
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], default="cpu", help="cuda is a GPU (default: cpu)"
    )


@contextmanager
def on_device(device: str, recipe: str) -> Iterator[None]:
    """Inside the block a recipe's networks work on `device`.

    Raises: GPUError where there is no GPU, or where the recipe does what is for the CPU only.
    """
    if device == "cpu":
        yield
        return
    with use_device(device), plain_gpu_errors(recipe):
        try:
            yield
        except TypeError as error:
            if "numpy" not in str(error).lower():
                raise
            raise GPUError(
                f"the recipe {recipe} does not work on a GPU here: it mixes arrays of NumPy and "
                f"CuPy ({error}); leave out --device cuda"
            ) from error


def number(kind: type, minimum: float) -> Callable[[str], Any]:
    """A type for add_argument: an int or a float of at least `minimum`."""

    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not minimum <= value < float("inf"):
            what = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"expected {what} of at least {minimum}, got {text}")
        return value

    return parse

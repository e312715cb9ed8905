"""Step 8: captions, from a text beside the picture, from its name, or from its folder.

A text of the user's, `cat.txt` beside `cat.jpg`, always comes first. Names that cameras give say
nothing, and numbers at the end only tell pictures apart.

    red_apple-02.jpg       red apple
    RedApple (3).png       red apple
    IMG_20240131.jpg       nothing; the folder is asked
    still life/0001.png    still life
"""

from __future__ import annotations

import re
from pathlib import Path

SOURCES = ("names", "folders", "none")
_OF_CAMERAS = re.compile(r"dsc[fn]?|im(g|age)|pxl|photo|pic(ture)?|scan|screenshot|untitled")


def caption(path: Path, name: str, source: str) -> str:
    """What a picture shows, in words, "" where nothing tells; `name` is its path in its folder.

    Raises: ValueError if the text beside it is not UTF-8.
    """
    if source == "none":
        return ""
    beside = path.with_suffix(".txt")
    if beside.is_file():
        try:
            return " ".join(beside.read_text(encoding="utf-8-sig").split())
        except UnicodeDecodeError as error:
            raise ValueError(f"the caption {beside.name} is not UTF-8 text") from error
    parts = Path(name).with_suffix("").parts
    folders = [words_of(part) for part in parts[-2::-1]]
    names = [words_of(parts[-1])] if source == "names" else []
    return next((words for words in names + folders if words), "")


def words_of(name: str) -> str:
    """A file's name as words.

    >>> words_of("red_apple-02"), words_of("RedApple (3)"), words_of("IMG_20240131"), words_of("猫")
    ('red apple', 'red apple', '', '猫')
    """
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    words = re.sub(r"[\W_]+", " ", apart).lower().split()
    while words and words[-1].isdigit():
        words.pop()
    return "" if all(map(_OF_CAMERAS.fullmatch, words)) else " ".join(words)

"""The weights that ship with minigen, and where they lie."""

from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def names() -> list[str]:
    """The models that ship.

    >>> "scenes" in names()
    True
    """
    return sorted(path.stem for path in FOLDER.glob("*.safetensors"))


def find(model: str | Path) -> Path:
    """The file of a model that ships, or the file or run folder that `model` names itself.

    Raises: FileNotFoundError, with the names there are.
    """
    if str(model) in names():
        return FOLDER / f"{model}.safetensors"
    path = Path(model)
    if not path.exists():
        shipped = ", ".join(names()) or "none"
        raise FileNotFoundError(
            f"model: {str(model)!r} is no file, no run folder and no model that ships ({shipped})"
        )
    return path

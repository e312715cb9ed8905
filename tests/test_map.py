"""docs/map.md leaves nothing out, and the order of reading is one."""

import re
from pathlib import Path

import pytest

from minigen.recipes import recipe_names
from minigen.samplers import SAMPLERS

ROOT = Path(__file__).resolve().parent.parent
MAP = (ROOT / "docs" / "map.md").read_text("utf-8")
LINKED = {(ROOT / "docs" / target).resolve() for target in re.findall(r"\]\(([^)#]+)\)", MAP)}


def files(pattern):
    """Files of the checkout, those that only make a folder a package left out."""
    found = [path for path in sorted(ROOT.glob(pattern)) if path.name != "__init__.py"]
    assert found, pattern
    return found


@pytest.mark.parametrize(
    "pattern",
    [
        "minigen/models/*/*.py",
        "minigen/samplers/*.py",
        "minigen/ops/*.py",
        "minigen/autograd/*.py",
        "minigen/nn/*.py",
        "minigen/data/*.py",
        "minigen/train/*.py",
        "minigen/metrics/*.py",
        "minigen/recipes/*.py",
        "notebooks/*.ipynb",
        "docs/derivations/*.md",
    ],
)
def test_the_map_names_every_file(pattern):
    assert [str(path.relative_to(ROOT)) for path in files(pattern) if path not in LINKED] == []


def test_the_map_names_every_single_file_room():
    rooms = {path for path in files("minigen/*.py") if path.name != "__main__.py"}
    assert sorted(path.name for path in rooms - LINKED) == []


def test_the_map_names_every_test():
    tests = {path for path in files("tests/**/test_*.py") if path.parent not in LINKED}
    assert sorted(str(path.relative_to(ROOT)) for path in tests - LINKED) == []


def test_samplers_and_recipes_are_their_files():
    names = {path.stem for path in files("minigen/samplers/*.py")}
    assert set(SAMPLERS) <= names
    assert set(recipe_names()) == {path.stem for path in files("minigen/recipes/[a-z]*.py")}


@pytest.mark.parametrize("path", files("minigen/**/*.py"), ids=lambda path: path.stem)
def test_pages_that_a_docstring_names_exist(path):
    named = re.findall(
        r"\b(?:docs|notebooks|tests)/[\w/]+\.(?:md|ipynb|py)", path.read_text("utf-8")
    )
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_reading_order_adds_up():
    text = (ROOT / "docs" / "reading_order.md").read_text("utf-8")
    minutes = [int(cells[-1]) for cells in re.findall(r"^\| \d+ \|(.*)\| *(\d+) *\|$", text, re.M)]
    assert len(minutes) > 5
    assert f"{sum(minutes)} minutes" in text

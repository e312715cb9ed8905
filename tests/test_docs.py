"""The pages run and their links lead somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "docs").rglob("*.md"))
READMES = [ROOT / "README.md", ROOT / "kernels" / "README.md"]
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\)")


def of(path):
    return str(path.relative_to(ROOT))


def python_blocks(path):
    """(first line, code) for each ```python block."""
    text = path.read_text("utf-8")
    for block in FENCE.finditer(text):
        if block[1] == "python":
            yield text[: block.start(2)].count("\n"), block[2]


def links(path):
    """Targets of the links of a page, those inside code left out."""
    text = re.sub(r"`[^`\n]*`", "", FENCE.sub("", path.read_text("utf-8")))
    return [target for target in LINK.findall(text) if "://" not in target]


@pytest.mark.parametrize("path", [p for p in [*PAGES, READMES[1]] if any(python_blocks(p))], ids=of)
def test_the_python_of_a_page_runs_in_its_order(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": path.stem}
    for line, code in python_blocks(path):
        exec(compile("\n" * line + code, str(path), "exec"), namespace)


@pytest.mark.parametrize("path", [*PAGES, *READMES], ids=of)
def test_the_links_of_a_page_lead_to_files(path):
    missing = [
        t for t in links(path) if t[0] != "#" and not (path.parent / t.split("#")[0]).exists()
    ]
    assert missing == []


def test_links_are_found():
    assert any(links(page) for page in PAGES)

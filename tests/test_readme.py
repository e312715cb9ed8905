"""What the README says is so: its commands, its table, its Python."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from minigen.cli import COMMANDS
from minigen.data.scene_parser import judge
from minigen.paint import Painter
from minigen.recipes import recipe_names

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
CI = (ROOT / ".ci" / "run").read_text("utf-8")
CONSOLE = re.findall(r"^```console\n(.*?)^```", README, re.M | re.S)
PYTHON = re.findall(r"^```python\n(.*?)^```", README, re.M | re.S)
SET_UP = [block.strip() for block in CONSOLE if block.startswith("pip install")]
ROWS = re.findall(r"^\| [^|]+ \| \[.*$", README, re.M)  # of the table of systems
NUMBERS = re.findall(r"^\| .*\| *([^|]+?) *\|$", README, re.M)


def test_there_are_two_set_up_commands_of_one_line():
    assert len(SET_UP) == 2
    assert not any("\n" in command for command in SET_UP)


@pytest.mark.parametrize("command", SET_UP)
def test_ci_runs_the_set_up_commands_word_for_word(command):
    assert f"check '{command}'" in CI.splitlines()


def test_the_set_up_command_paints_exactly_what_it_says():
    prompt = shlex.split(SET_UP[0])[-1]
    picture = Painter.load("scenes").paint([prompt], rng=np.random.default_rng(0))[0]
    assert judge(picture, prompt).all_right


def test_every_recipe_has_a_row_and_every_row_a_recipe():
    named = [re.findall(r"\[(\w+)\]\(minigen/recipes/(\w+)\.py\)", row) for row in ROWS]
    assert [pairs[0][0] for pairs in named] == [pairs[0][1] for pairs in named]
    assert sorted(pairs[0][1] for pairs in named) == recipe_names()


def test_every_number_is_measured():
    assert NUMBERS
    assert "to be measured" not in README


@pytest.mark.parametrize("line", [line for block in CONSOLE for line in block.splitlines()])
def test_every_command_of_minigen_exists(line):
    words = shlex.split(line.rpartition("&&")[2])
    if words[0] != "minigen":
        return
    assert words[1] in COMMANDS
    if words[1] == "train" and not words[2].startswith("--"):
        assert words[2] in recipe_names()


@pytest.mark.parametrize("code", PYTHON)
def test_the_python_of_the_readme_prints_what_its_comments_say(code, capsys):
    exec(compile(code, "README.md", "exec"), {})
    printed = capsys.readouterr().out.split("\n")
    promised = re.findall(r"^(?:print\(.*\) +)?# (.*)$", code, re.M)
    assert promised == printed[:-1]

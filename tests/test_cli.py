"""The command line: help, exit codes, one line for a wrong input, a training from start to end."""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from minigen import __version__, explain
from minigen.cli import COMMANDS, main
from minigen.cli.options import (
    Parser,
    add_settings,
    given,
    settings_of_config,
    settings_of_function,
)
from minigen.paint.command import ASKED
from minigen.recipes import recipe_names, toy_flow
from minigen.train import NotFiniteError, RunFolder, SaveError, option

TINY = ["--steps=12", "--width=8", "--batch-size=16", "--save-every=5", "--log-every=4"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Every test stands in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MINIGEN_KERNELS", raising=False)
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of twelve steps."""
    runs = tmp_path_factory.mktemp("runs")
    assert main(["train", "toy_flow", *TINY, "--runs", str(runs)]) == 0
    return runs / "toy_flow-1"


@pytest.fixture
def run(trained, folder):
    """A copy of it, to be changed."""
    copy = folder / "runs" / "toy_flow-1"
    copy.parent.mkdir()
    subprocess.run(["cp", "-r", trained, copy], check=True)
    return str(copy)


def minigen(*words, **settings):
    """Run the command line in a process of its own, with these settings in its environment."""
    command = [sys.executable, "-c", PROGRAM, *words]
    return subprocess.run(command, capture_output=True, text=True, env=ONE_THREAD | settings)


ONE_THREAD = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}

# SIGINT is ignored in what a shell starts with &, and so in all that is started from there
PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from minigen.cli import main
sys.exit(main())
"""


# --------------------------------------------------------------------------------------------- help


@pytest.mark.parametrize(
    "words", [["--help"], [], *([name, "--help"] for name in COMMANDS)], ids=str
)
def test_help_has_examples_and_ends_well(words, capsys):
    assert main(words) == 0
    text, error = capsys.readouterr()
    examples = text.partition("examples:\n")[2].splitlines()
    command = f"minigen {words[0]} " if len(words) == 2 else "minigen "
    assert any(line.strip().startswith(command.strip()) for line in examples)
    assert error == ""


@pytest.mark.parametrize("name", recipe_names())
def test_the_help_of_a_recipe_shows_its_text_and_settings(name, capsys):
    assert main(["train", name, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"options of {name}" in text
    assert "--seed N" in text


def test_the_recipes_are_listed_with_their_first_lines(capsys):
    assert main(["train", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == recipe_names()
    assert any("Flow matching on points in the plane" in line for line in lines)


def test_the_version_is_told(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"minigen {__version__}\n"


def test_help_imports_nothing_slow():
    slow = "{'matplotlib', 'numba', 'PIL', 'tqdm', 'safetensors', 'cupy'}"
    program = "import sys; from minigen.cli import main; main(['--help']); "
    program += f"print({slow} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "set()"


# ------------------------------------------------------------------------------- wrong inputs, bugs

WRONG = [
    (["pant"], "invalid choice: 'pant'"),
    (["paint", "a red circle", "--steps", "-3"], "expected a whole number of at least 1, got -3"),
    (["paint", "a red circle", "-n", "many"], "got many"),
    (["paint", "a red circle", "--guidance", "much"], "invalid float value"),
    (["paint", "a red circle", "--colour"], "unrecognized arguments: --colour"),
    (["train"], "name a recipe first"),
    (["train", "toy"], "there is no recipe 'toy'; there are "),
    (["train", "toy_flow", "--data", "cubes"], "invalid choice: 'cubes'"),
    (["train", "toy_flow", "--width", "wide"], "invalid int value: 'wide'"),
    (["train", "toy_flow", "--steps", "0"], "steps is 0"),
    (["train", "toy_flow", "--steps", "none"], "neither steps nor minutes"),
    (["train", "toy_flow", "--resume", "nowhere"], "nowhere is none: it has no config.json"),
    (["sample"], "required: MODEL"),
    (["sample", "nowhere"], "'nowhere' is no file, no run folder and no model that ships"),
    (["eval", "nowhere", "--seed", "-1"], "at least 0, got -1"),
    (["train", "toy_flow", "--runs", sys.executable], "cannot make a run folder in"),
]


@pytest.mark.parametrize(("words", "message"), WRONG, ids=lambda x: " ".join(x)[:40])
def test_a_wrong_input_gets_one_line_and_exit_code_2(words, message, capsys):
    assert main(words) == 2
    lines = [
        line for line in capsys.readouterr().err.splitlines() if "the run's folder" not in line
    ]
    assert len(lines) == 1
    assert lines[0].startswith("minigen: error: ")
    assert message in lines[0]
    assert not list(Path("runs").glob("*"))


def failing_with(error):
    def train(config, run):
        raise error

    return train


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (ValueError("conv2d: x has C = 3\n channels"), 2, "conv2d: x has C = 3 channels"),
        (FileNotFoundError(2, "No such file or directory", "a.txt"), 2, "a.txt: No such file"),
        (SaveError("cannot write a.png: No space left on device"), 1, "No space left on device"),
        (NotFiniteError("train: step 8: loss = nan"), 1, "train: step 8: loss = nan"),
        (MemoryError(), 1, "out of memory"),
    ],
    ids=lambda x: type(x).__name__,
)
def test_errors_of_a_run_get_one_line(monkeypatch, capsys, error, code, text):
    error.add_note("step 5 is saved")
    monkeypatch.setattr(toy_flow, "train", failing_with(error))
    assert main(["train", "toy_flow"]) == code
    (line,) = capsys.readouterr().err.splitlines()[1:]
    assert line.startswith("minigen: error: ")
    assert text in line
    assert line.endswith("; step 5 is saved")


def test_a_bug_shows_where_it_is(monkeypatch):
    monkeypatch.setattr(toy_flow, "train", failing_with(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        main(["train", "toy_flow"])


def test_traceback_shows_where_an_error_arose(monkeypatch):
    monkeypatch.setattr(toy_flow, "train", failing_with(ValueError()))
    with pytest.raises(ValueError):
        main(["train", "toy_flow", "--traceback"])


def test_ctrl_c_ends_with_130(monkeypatch):
    monkeypatch.setattr(toy_flow, "train", failing_with(KeyboardInterrupt()))
    assert main(["train", "toy_flow"]) == 130


@pytest.mark.parametrize("words", ["--help", "doctor"])
def test_a_reader_who_leaves_is_no_error(words):
    command = f"'{sys.executable}' -m minigen {words} | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stderr == ""


# -------------------------------------------------------------------------------- kernels, messages


@pytest.mark.parametrize(("chosen", "why"), [(None, "no kernel"), ("reference", "the default")])
def test_kernels_are_auto_unless_the_environment_says_else(monkeypatch, chosen, why):
    if chosen:
        monkeypatch.setenv("MINIGEN_KERNELS", chosen)
    seen = []
    monkeypatch.setattr(
        toy_flow, "train", lambda config, run: seen.append(explain("exp", np.ones(3)))
    )
    before = explain("exp", np.ones(3))
    assert main(["train", "toy_flow"]) == 0
    assert why in seen[0]
    assert explain("exp", np.ones(3)) == before


# ------------------------------------------------------------------------------------------ options


@dataclass(frozen=True)
class Config:
    steps: int = option(5, "100 % of the steps")
    minutes: float | None = option(2.0, "minutes")
    channels: tuple[int, ...] = option((8, 16), "channels")
    flip: bool = option(True, "mirror pictures")
    data: str = option("ring", "which points", choices=("ring", "grid25"))


def parsed(settings, *words):
    parser = Parser(prog="test")
    add_settings(parser, settings, "options")
    parser.format_help()
    return given(parser.parse_args(words), settings)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], {}),
        (["--steps", "7"], {"steps": 7}),
        (["--minutes", "0.5"], {"minutes": 0.5}),
        (["--minutes", "none"], {"minutes": None}),
        (["--channels", "1", "2", "3"], {"channels": (1, 2, 3)}),
        (["--no-flip"], {"flip": False}),
        (["--data", "grid25"], {"data": "grid25"}),
    ],
)
def test_a_config_becomes_options_of_the_right_types(words, expected):
    assert parsed(settings_of_config(Config), *words) == expected


@pytest.mark.parametrize("words", [["--steps", "none"], ["--data", "x"], ["--step", "3"]])
def test_what_a_config_does_not_allow_is_refused(words, capsys):
    with pytest.raises(SystemExit, match="2"):
        parsed(settings_of_config(Config), *words)
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_functions_arguments_behind_the_star_become_options():
    def sample(run, n, rng, *, guidance_scale: float = 2.0, label: str | None = None): ...

    settings = settings_of_function(sample)
    assert parsed(settings, "--guidance-scale", "3") == {"guidance_scale": 3.0}
    assert parsed(settings, "--label", "bag") == {"label": "bag"}


def test_help_shows_defaults(capsys):
    parser = Parser(prog="test")
    add_settings(parser, settings_of_config(Config), "options")
    text = " ".join(parser.format_help().split())
    assert "100 % of the steps (default: 5)" in text
    assert "channels (default: 8 16)" in text


# -------------------------------------------------------------------------- a run from start to end


def test_a_training_leaves_everything_in_its_folder(trained):
    found = {str(path.relative_to(trained)) for path in trained.rglob("*") if path.is_file()}
    assert found == {
        "config.json",
        "log.csv",
        "loss.png",
        "weights.safetensors",
        "samples/step_00000012.png",
        "checkpoints/step_00000010.safetensors",
        "checkpoints/step_00000012.safetensors",
    }
    assert RunFolder(trained).config["width"] == 8


def test_samples_are_drawn_from_a_run(run, folder, capsys):
    assert main(["sample", run, "-n", "10", "--steps", "2"]) == 0
    assert capsys.readouterr().out == f"{run}/samples/seed_0.png\n"
    assert main(["sample", run, "-n", "10", "--seed", "3", "--out", "a.png"]) == 0
    assert (folder / "a.png").read_bytes().startswith(b"\x89PNG")
    assert main(["sample", run, "--out", "nowhere/a.png"]) == 2
    assert capsys.readouterr().err == "minigen: error: sample: there is no folder nowhere\n"


def test_a_run_is_measured(run, capsys):
    assert main(["eval", run, "-n", "50", "--steps", "2"]) == 0
    shown = dict(line.rsplit("  ", 1) for line in capsys.readouterr().out.splitlines())
    stored = json.loads(Path(run, "evaluation.json").read_text())
    assert stored["settings"] == {"n": 50, "control": False, "seed": 0, "steps": 2, "device": "cpu"}
    assert {name.strip(): float(x) for name, x in shown.items()} == pytest.approx(
        stored["numbers"], rel=1e-5
    )


def test_the_options_of_a_runs_recipe_are_shown(run, capsys):
    assert main(["sample", run, "--help"]) == 0
    assert "--steps N" in capsys.readouterr().out


def test_a_run_goes_on_for_more_steps(run, capsys):
    assert main(["train", "toy_flow", "--resume", run, "--steps", "14"]) == 0
    said = capsys.readouterr().err
    assert "going on after step 12" in said
    assert f"look at samples with: minigen sample {run}" in said
    assert RunFolder(run).config["steps"] == 14
    assert RunFolder(run).load_checkpoint()[1]["step"] == 14


@pytest.mark.parametrize(
    ("recipe", "words", "message"),
    [
        ("toy_flow", ["--width", "9"], "--width of .* is 8 and stays so"),
        ("toy_flow", ["--steps", "-2"], "steps is -2"),
        ("scenes", [], "is a run of toy_flow, not of scenes"),
    ],
)
def test_a_run_does_not_become_another(run, capsys, recipe, words, message):
    before = RunFolder(run).config
    assert main(["train", recipe, "--resume", run, *words]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert RunFolder(run).config == before


def test_ctrl_c_in_a_real_process_and_going_on_give_the_same_bits(folder):
    options = ["--steps", "400", "--width", "8", "--batch-size", "16", "--log-every", "5"]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "train", "toy_flow", *options],
        stderr=subprocess.PIPE,
        text=True,
        env=ONE_THREAD,
    )
    log = folder / "runs" / "toy_flow-1" / "log.csv"
    while not log.exists():
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert "minigen train toy_flow --resume runs/toy_flow-1" in said
    assert "Traceback" not in said
    stopped = RunFolder("runs/toy_flow-1").load_checkpoint()[1]["step"]
    assert 5 <= stopped < 400
    assert minigen("train", "toy_flow", "--resume", "runs/toy_flow-1").returncode == 0
    assert minigen("train", "toy_flow", *options).returncode == 0
    (a, note), (b, other) = (RunFolder(f"runs/toy_flow-{i}").load_checkpoint() for i in (1, 2))
    assert note["step"] == other["step"] == 400
    assert all(a[name].tobytes() == b[name].tobytes() for name in b)


def test_an_options_namespace_is_all_that_paint_is_given(monkeypatch):
    seen = []
    monkeypatch.setattr("minigen.paint.run_paint", seen.append)
    assert main(["paint", "a red circle", "-n", "4", "--strip", "--scale", "1"]) == 0
    expected = {"prompt": "a red circle", "n": 4, "strip": True, "scale": 1, "seed": 0}
    expected |= {"device": "cpu"}
    expected |= dict.fromkeys(["prompts", "model", "steps", "guidance", "sampler", "out", "again"])
    expected |= {**dict.fromkeys(ASKED), "to": None, "to_seed": None, "frames": 12}
    assert {k: v for k, v in vars(seen[0]).items() if k not in ("command", "traceback")} == expected
    assert isinstance(seen[0], argparse.Namespace)


def test_what_a_command_compiled_is_added_up_at_its_end_and_not_again(tmp_path):
    """In a process of its own, with an empty cache: Numba keeps what it has compiled."""
    text = (
        "import numpy as np, minigen.cli.doctor as doctor\n"
        "from minigen import ops, Tensor, use_kernels\n"
        "from minigen.cli import main\n"
        "def run(args):\n"
        "    ops.silu(Tensor(np.ones(3, np.float32)))\n"
        "    return 0\n"
        "doctor.run = run\n"
        "main(['doctor'])\n"
        "main(['doctor'])\n"
    )
    cache = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", text]
    done = subprocess.run(command, capture_output=True, text=True, env=cache, check=True)
    assert done.stderr.count("compiling kernels, once on this machine") == 1
    assert done.stderr.count("functions compiled in") == 1

"""`minigen paint` with models of every recipe that draws from captions, tiny and hardly trained."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from minigen.cli import main
from minigen.data.byte_pairs import BytePairs
from minigen.data.pixels import load_image, read_metadata
from minigen.paint import Conditions, Painter
from minigen.recipes import dalle, dit
from minigen.train import RunFolder

PROMPT = "a red ring"
QUICK = {"steps": 1, "minutes": None, "batch_size": 4, "workers": 1, "sample_every": 9}


def trained(recipe, name, folder, **sizes):
    config = replace(recipe.Config(), **QUICK, **sizes)
    run = RunFolder.create(name, asdict(config), folder)
    recipe.train(config, run)
    return run.path


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    """One whose steps can be edited."""
    sizes = {"width": 16, "layers": 1, "heads": 2, "text_width": 16, "text_layers": 1}
    return trained(dit, "dit", tmp_path_factory.mktemp("runs"), **sizes, sampling_steps=2)


@pytest.fixture(scope="module")
def codes(tmp_path_factory):
    """One that draws code by code."""
    sizes = {"width": 16, "layers": 1, "heads": 2, "codes": 8}
    return trained(dalle, "dalle", tmp_path_factory.mktemp("runs"), **sizes)


@pytest.mark.parametrize("kind", ["flow", "codes"])
def test_it_paints_and_paints_again(kind, request, tmp_path):
    out, copy = tmp_path / "a.png", tmp_path / "b.png"
    model = request.getfixturevalue(kind)
    words = ["--model", str(model), "--out", str(out), "--scale", "1", "-n", "2"]
    assert main(["paint", PROMPT, *words]) == 0
    assert load_image(out).shape == (32, 65, 3)
    assert read_metadata(out)["Description"] == PROMPT
    assert main(["paint", "--again", str(out), "--out", str(copy)]) == 0
    assert copy.read_bytes() == out.read_bytes()


def test_an_overlong_prompt_in_bytes_is_told_where_it_is_cut(flow):
    painter = Painter.load(flow)
    painter.words, painter.caption_length = BytePairs(), 10
    (warning,) = painter.warnings("a red ring above")
    assert warning == "the prompt is cut behind 'a red rin'; left out: 'g above'"
    assert painter.warnings("戴眼镜") == []


def test_a_flow_over_pixels_takes_conditions(flow):
    hole = np.zeros((32, 32), bool)
    hole[:5] = True
    asked = Conditions(init=np.full((32, 32, 3), 77, np.uint8), mask=hole)
    (picture,) = Painter.load(flow).paint([PROMPT], rng=np.random.default_rng(0), conditions=asked)
    assert (picture[5:] == 77).all()
    assert (picture[:5] != 77).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--palette", "#d33"], "takes a prompt only, no other condition"),
        (["--steps", "3"], "draws code by code, it has no steps"),
        (["--strip"], "takes no steps, so there is no film of them"),
        (["zebra", "zoo"], "unrecognized arguments"),
    ],
)
def test_what_a_model_cannot_do_is_one_clear_line(codes, options, message, tmp_path, capsys):
    out = ["--out", str(tmp_path / "a.png")]
    assert main(["paint", PROMPT, "--model", str(codes), *out, *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "a.png").exists()

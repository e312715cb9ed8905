"""Pictures as rows of codes, DALL-E and Parti, from end to end on a few thousand weights."""

from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest

from minigen.metrics.obedience import KINDS
from minigen.recipes import dalle, parti
from minigen.recipes._text_to_codes import BATCH, ceiling, judge_of, of_pairs
from minigen.train import RunFolder, load_model

SIZES = {
    "channels": (8, 8),
    "codes": 16,
    "code_width": 4,
    "width": 16,
    "layers": 1,
    "heads": 2,
    "batch_size": 8,
    "steps": 2,
    "log_every": 1,
    "save_every": 1,
    "sample_every": 2,
    "workers": 2,
}
RECIPES = {
    "dalle": (dalle, dalle.Config(**SIZES)),
    "parti": (parti, parti.Config(**SIZES, text_layers=1)),
}


@pytest.fixture(scope="module", params=RECIPES)
def trained(request, tmp_path_factory):
    recipe, config = RECIPES[request.param]
    run = RunFolder.create(request.param, asdict(config), tmp_path_factory.mktemp("runs"))
    recipe.train(config, run)
    return recipe, config, run


def test_both_stages_leave_what_one_wants_to_see(trained):
    _, _, run = trained
    for folder in (run, run.stage("autoencoder")):
        assert len(folder.read_log()["loss"]) == 2
        assert (folder.path / "samples" / "step_00000002.png").is_file()
    assert {"perplexity", "squared_error"} <= set(run.stage("autoencoder").read_log())
    assert "codes_loss" in run.read_log()


def test_the_last_weights_hold_the_autoencoder_of_the_first_stage(trained):
    _, _, run = trained
    first, last = load_model(run.stage("autoencoder").path)[0], load_model(run.path)[0]
    for name, weight in first.items():
        np.testing.assert_array_equal(last[f"autoencoder.{name}"], weight)


def test_a_run_that_goes_on_skips_what_is_done(trained, tmp_path):
    recipe, config, run = trained
    before = run.checkpoints()[0].stat().st_mtime_ns
    recipe.train(config, run)
    assert run.checkpoints()[0].stat().st_mtime_ns == before
    longer = replace(config, steps=3)
    recipe.train(longer, run)
    assert run.checkpoints()[0].name == "step_00000003.safetensors"
    assert len(run.read_log()["loss"]) == 3


def test_a_run_can_be_sampled_and_evaluated(trained):
    recipe, _, run = trained
    rng = np.random.default_rng(0)
    settings = {"guidance": 2.0, "temperature": 0.9, "top_k": 4}
    assert recipe.sample(run, 3, rng, **settings).shape == (3, 32, 32, 3)
    report = recipe.evaluate(run, 2, rng)
    assert {f"{kind}: exactly right" for kind in KINDS} <= set(report.numbers)
    shares = ("ceiling, one object: exactly right", "ceiling, two objects: named right")
    assert {*shares, "perplexity of the codes", "more with another's caption"} <= set(
        report.numbers
    )
    assert report.pictures["reconstructions"].shape[-1] == 3


def test_settings_change_what_is_drawn_and_none_of_them_does_not(trained):
    recipe, _, run = trained
    config, model = recipe.trained(run)
    captions = ["a red circle", "a blue ring above a green square"]

    def drawn(**settings):
        return recipe.draw(model, config, captions, np.random.default_rng(0), **settings)

    np.testing.assert_array_equal(drawn(), drawn(guidance=config.guidance))
    np.testing.assert_array_equal(drawn(top_k=1), drawn(temperature=1e-6))


def test_a_tokeniser_that_changes_nothing_has_a_ceiling_of_1(rng):
    class Kept:
        def tokenise(self, x):
            self.x = x
            return np.arange(len(x) * 16).reshape(len(x), 4, 4) % 16

        def decode(self, codes):
            return SimpleNamespace(data=self.x)

    numbers = ceiling(Kept(), RECIPES["dalle"][1], 20, rng).numbers
    assert float(numbers["squared error of a true picture"]) < 1e-9
    assert numbers["ceiling, two objects: exactly right"] == 1
    assert float(numbers["perplexity of the codes"]) == pytest.approx(16)


def test_a_judge_of_pairs_gives_each_picture_the_score_of_its_caption():
    pictures, captions = np.arange(BATCH + 9), [f"{i}" for i in range(BATCH + 9)]

    def judge(pictures, captions):
        return 1000 * pictures[:, None] + np.array([int(text) for text in captions])

    np.testing.assert_array_equal(of_pairs(judge)(pictures, captions), 1001 * pictures)
    assert judge_of(None) is None

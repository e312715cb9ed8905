"""DiT, MMDiT and latent diffusion from end to end, on networks of a few thousand weights."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from minigen.backend import use_device
from minigen.data.scenes import sample_batch
from minigen.metrics.obedience import KINDS, scenes_right
from minigen.recipes import dit, latent_diffusion, mmdit
from minigen.train import RunFolder, load_model

QUICK = {
    "minutes": None,
    "steps": 2,
    "batch_size": 4,
    "text_width": 16,
    "text_layers": 1,
    "sampling_steps": 2,
    "workers": 2,
    "log_every": 1,
    "save_every": 1,
    "sample_every": 2,
}
TOKENS = {"width": 16, "layers": 2, "heads": 2}
LATENTS = {"autoencoder_channels": (8,), "channels": (8, 8), "attention": (False, True)}
CONFIGS = {
    dit: dit.Config(**QUICK, **TOKENS),
    mmdit: mmdit.Config(**QUICK, **TOKENS),
    latent_diffusion: latent_diffusion.Config(**QUICK, **LATENTS),
}


def new_run(recipe, where):
    return RunFolder.create(recipe.__name__.rpartition(".")[2], asdict(CONFIGS[recipe]), where)


@pytest.fixture(scope="module", params=CONFIGS, ids=lambda recipe: recipe.__name__.split(".")[-1])
def trained(request, tmp_path_factory):
    run = new_run(request.param, tmp_path_factory.mktemp("runs"))
    request.param.train(CONFIGS[request.param], run)
    return request.param, run


def test_a_run_leaves_its_log_its_samples_and_its_weights(trained):
    _, run = trained
    assert len(run.read_log()["loss"]) == 2
    assert (run.path / "samples" / "step_00000002.png").is_file()
    assert (run.path / "weights.safetensors").is_file()


def test_a_run_goes_on_where_it_stood(trained):
    recipe, run = trained
    before = load_model(run.path)[0]
    recipe.train(CONFIGS[recipe], run)  # at its end: nothing is left to do
    assert all((load_model(run.path)[0][name] == w).all() for name, w in before.items())
    recipe.train(replace(CONFIGS[recipe], steps=3), run)
    assert run.read_log()["step"] == [1, 2, 3]


def test_pictures_follow_from_the_noise_the_captions_and_the_settings(trained):
    recipe, run = trained
    one, two = (recipe.sample(run, 3, np.random.default_rng(0)) for _ in range(2))
    assert one.shape == (3, 32, 32, 3)
    assert one.dtype == np.uint8
    np.testing.assert_array_equal(one, two)
    assert (
        recipe.sample(run, 3, np.random.default_rng(0), sampler="ddim", steps=1).shape == one.shape
    )


def test_an_evaluation_says_obedience_and_the_use_of_the_text(trained):
    recipe, run = trained
    report = recipe.evaluate(run, 2, np.random.default_rng(0))
    assert {f"{kind}: exactly right" for kind in KINDS} <= set(report.numbers)
    assert report.numbers["loss with its own caption"].value > 0
    assert "more with another's caption" in report.numbers


def test_guidance_1_asks_for_no_null_prompt(trained):
    recipe, run = trained
    config, model = recipe.trained(run)
    captions = ["a red ring", "a blue cross"]
    plain = recipe.draw(model, config, captions, np.random.default_rng(0), guidance=1.0)
    model.read = lambda words: type(model).read(model, words) if words.any() else {}
    same = recipe.draw(model, config, captions, np.random.default_rng(0), guidance=1.0)
    np.testing.assert_array_equal(plain, same)


def test_the_second_stage_leaves_the_autoencoder_as_it_was(tmp_path):
    run = new_run(latent_diffusion, tmp_path)
    latent_diffusion.train(CONFIGS[latent_diffusion], run)
    first, both = (load_model(path)[0] for path in (run.path / "autoencoder", run.path))
    assert {f"autoencoder.{name}" for name in first} < set(both)
    assert all((both[f"autoencoder.{name}"] == weight).all() for name, weight in first.items())
    fresh = latent_diffusion.new_model(CONFIGS[latent_diffusion]).state_dict()
    moved = [name for name in both if (both[name] != fresh[name]).any()]
    assert any(name.startswith("denoiser.") for name in moved)


def test_true_pictures_can_be_looked_at_behind_the_autoencoder(tmp_path):
    run = new_run(latent_diffusion, tmp_path)
    latent_diffusion.train(CONFIGS[latent_diffusion], run)
    rng = np.random.default_rng(0)
    pairs = latent_diffusion.sample(run, 3, rng, reconstructions=True)
    true = latent_diffusion.captioned_pictures(
        CONFIGS[latent_diffusion], 3, np.random.default_rng(0)
    )
    np.testing.assert_array_equal(pairs[::2], true)


def test_the_ceiling_is_1_of_a_perfect_autoencoder_and_a_bad_one_is_told():
    class Copy:
        def __call__(self, x):
            return type("Same", (), {"data": x})

    shares = latent_diffusion.ceiling(Copy(), 3, np.random.default_rng(0))
    assert set(shares.values()) == {1.0}
    assert latent_diffusion.autoencoder_remarks(shares) == []
    worse = shares | {"autoencoder, two objects: exactly right": 0.4}
    (remark,) = latent_diffusion.autoencoder_remarks(worse)
    assert remark.startswith("the autoencoder itself spoils 60% of the true scenes")


def test_shuffled_scenes_are_not_right():
    pictures, captions = sample_batch(12, np.random.default_rng(0), drop_size=0, drop_background=0)
    assert scenes_right(pictures, captions) == {"exactly right": 1.0, "named right": 1.0}
    assert scenes_right(pictures, captions[1:] + captions[:1])["exactly right"] < 0.5


def test_a_gpu_paints_the_same_pictures(trained, fake_cupy, monkeypatch):
    recipe, run = trained
    monkeypatch.setenv("MINIGEN_KERNELS", "reference")
    here = recipe.sample(run, 2, np.random.default_rng(0), steps=1)
    with use_device("cuda"):
        there = recipe.sample(run, 2, np.random.default_rng(0), steps=1)
    assert np.abs(here.astype(int) - there).max() <= 1

"""CLIP from end to end on a few thousand weights: train, go on, sample, evaluate, judge."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from minigen import use_kernels
from minigen.backend import use_device
from minigen.data import art as art_room
from minigen.data.captioned import captioned
from minigen.data.openmoji import OpenMoji
from minigen.recipes import clip
from minigen.recipes._text_to_image import TextToImageConfig, obedience
from minigen.train import RunFolder, load_model, open_model

CONFIG = clip.Config(
    stem=8,
    width=16,
    heads=2,
    image_layers=1,
    text_layers=1,
    embedding_width=8,
    batch_size=8,
    steps=2,
    log_every=1,
    save_every=1,
    sample_every=2,
    workers=2,
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    run = RunFolder.create("clip", asdict(CONFIG), tmp_path_factory.mktemp("runs"))
    clip.train(CONFIG, run)
    return run


def test_a_training_leaves_what_one_wants_to_see(trained):
    log = trained.read_log()
    assert len(log["loss"]) == 2
    assert log["guess"] == pytest.approx([np.log(4)] * 2)  # each of two cores has 4 of 8 pictures
    assert (trained.path / "samples" / "step_00000002.png").is_file()


def test_a_run_goes_on_and_a_finished_one_stays_as_it_is(trained, tmp_path):
    before = trained.checkpoints()[0].stat().st_mtime_ns
    clip.train(CONFIG, trained)
    assert trained.checkpoints()[0].stat().st_mtime_ns == before
    short = replace(CONFIG, steps=1)
    run = RunFolder.create("clip", asdict(short), tmp_path)
    clip.train(short, run)
    clip.train(CONFIG, run)
    ours, theirs = load_model(run.path)[0], load_model(trained.path)[0]
    assert all(ours[name].shape == theirs[name].shape for name in theirs)
    assert load_model(run.path)[1]["step"] == 2


def test_a_gpu_learns_the_same(fake_cupy, tmp_path):
    config, runs = replace(CONFIG, workers=1), []
    for device in ("cpu", "cuda"):
        run = RunFolder.create("clip", asdict(config), tmp_path)
        with use_kernels("reference"), use_device(device):
            clip.train(config, run)
            numbers = clip.evaluate(run, 10, np.random.default_rng(0)).numbers
        runs.append((load_model(run.path)[0], numbers))
    (ours, here), (theirs, there) = runs
    for name, weight in ours.items():
        np.testing.assert_allclose(theirs[name], weight, rtol=1e-3, atol=1e-4)
    assert {k: float(v) for k, v in here.items()} == {k: float(v) for k, v in there.items()}


def test_samples_stand_beside_what_their_captions_find(trained, rng):
    sheet = clip.sample(trained, 6, rng)
    assert (sheet.dtype, sheet.shape[-1]) == (np.uint8, 3)
    assert sheet.shape[1] == 12 * 32 + 11 * 2  # six pairs a row


def test_an_evaluation_has_both_ways_and_chance(trained, rng):
    report = clip.evaluate(trained, 20, rng)
    for kind in clip.SCENES:
        assert float(report.numbers[f"{kind}: chance"]) == 5
        assert 0 <= float(report.numbers[f"{kind}: own caption before the turned one"]) <= 100
        for way in ("caption of a picture", "picture of a caption"):
            assert 0 <= float(report.numbers[f"{kind}: {way} found"]) <= 100
    assert report.pictures["similarity_new_scenes"].shape == (80, 80, 3)


def test_scenes_stand_beside_their_twins_unless_they_should_not(rng):
    captions = CONFIG.source().draw(60, rng)[1]
    alone = replace(CONFIG, twins=False).source().draw(60, rng)[1]
    other_words = [
        sum(len(set(a.split()) ^ set(b.split())) <= 2 for a, b in zip(c[::2], c[1::2], strict=True))
        for c in (captions, alone)
    ]
    assert other_words[0] > 25 > 5 > other_words[1]


def test_captions_that_are_compared_differ(rng):
    for kind in clip.SCENES:
        pictures, captions = clip._hundred(kind, CONFIG, 100, rng)
        assert len(set(captions)) == len(captions) == len(pictures) == 100


def test_a_judge_says_how_well_pictures_fit_captions(trained, rng):
    path = trained.export_weights()
    pictures, captions = captioned("scenes").draw(7, rng)
    ours, theirs = clip.scorer(trained), clip.scorer(open_model(path))
    assert ours(pictures, captions[:3]).shape == (7, 3)
    assert np.abs(ours(pictures, captions)).max() <= 1 + 1e-6
    np.testing.assert_allclose(
        ours(pictures, captions), theirs(pictures, captions), atol=2e-2
    )  # float16


@pytest.fixture
def some_art(monkeypatch, rng):
    """64 animals that look like noise, in every split."""
    codes = [f"{code:X}" for code in range(0x1F400, 0x1F440)]
    colour = rng.integers(0, 256, (64, 32, 32, 3), dtype=np.uint8)
    words = [f"animal {k}" for k in range(64)]
    pieces = OpenMoji(colour, colour[..., :1], codes, words, words, ["a"] * 64, ["b"] * 64)
    monkeypatch.setattr(art_room, "_art", lambda split, size: pieces)
    art_room._drawn_from.cache_clear()
    yield pieces
    art_room._drawn_from.cache_clear()


def test_art_is_compared_by_its_names(some_art, tmp_path, rng):
    config = replace(CONFIG, data="art", steps=1, sample_every=9)
    run = RunFolder.create("clip", asdict(config), tmp_path)
    clip.train(config, run)
    report = clip.evaluate(run, 100, rng)
    assert "OpenMoji" in (run.path / "ATTRIBUTION.txt").read_text("utf-8")
    assert [float(report.numbers[f"{kind}: chance"]) for kind in art_room.KINDS] == [100 / 64] * 3


def test_a_batch_without_wrong_answers_is_refused(trained):
    with pytest.raises(ValueError, match="batch_size is 3, expected 2 or more for each of 2"):
        clip.train(replace(CONFIG, batch_size=3), trained)


def test_a_judge_of_art_may_know_everything_and_says_so(some_art, tmp_path, monkeypatch, rng):
    asked = []
    monkeypatch.setattr(art_room, "art", lambda split, size: asked.append(split) or some_art)
    config = replace(CONFIG, data="art", everything=True, steps=1, sample_every=9)
    run = RunFolder.create("clip", asdict(config), tmp_path)
    clip.train(config, run)
    assert set(asked) == {"all"}
    assert clip.evaluate(run, 10, rng).remarks == (clip.SEEN,)


def test_painted_art_is_judged_by_a_clip_and_by_nothing_else(some_art, trained, rng):
    config = TextToImageConfig(data="art")

    def draw(captions):
        return np.stack([some_art.colour[some_art.names.index(text)] for text in captions])

    def knows_all(pictures, captions):
        return -abs(draw(captions)[None] - pictures[:, None].astype(float)).mean(axis=(2, 3, 4))

    with pytest.raises(ValueError, match="art is judged by a CLIP, and none was given"):
        obedience(draw, config, 10, rng)
    assert obedience(draw, config, 10, rng, knows_all) == {
        f"{kind}: name found": 1.0 for kind in art_room.KINDS
    }

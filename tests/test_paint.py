"""The painter and `minigen paint`, with an untrained model: what it promises for any weights."""

import json
import shutil
import sys

import numpy as np
import pytest
from tiny import CONFIG, save_tiny, tiny_network

from minigen.backend import use_kernels
from minigen.cli import main
from minigen.data.pixels import load_image, read_metadata
from minigen.data.words import Words
from minigen.kernels import gpu, graph
from minigen.models.text_to_image.text_unet import TextUNet, TextUNetConfig
from minigen.paint import BATCH, Painter, check_prompt
from minigen.paint.painter import Sampling
from minigen.recipes import scenes
from minigen.trace import trace

PROMPT = "a large red circle above a small blue square on a white background"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("weights") / "tiny.safetensors")


@pytest.fixture(scope="module")
def painter(model):
    return Painter.load(model)


def paint(model, tmp_path, *words):
    """Run the command; the picture's path and the exit code."""
    out = tmp_path / "out.png"
    return out, main(["paint", "--model", str(model), "--out", str(out), *words])


def rng(seed=0):
    return np.random.default_rng(seed)


# ------------------------------------------------------------------------------------- the painter


def test_pictures_are_uint8_of_the_native_size(painter):
    pictures = painter.paint([PROMPT, "a red ring"], rng=rng())
    assert pictures.shape == (2, 32, 32, 3)
    assert pictures.dtype == np.uint8


def test_the_same_seed_paints_the_same_bytes(painter):
    first, again = (painter.paint([PROMPT] * 3, rng=rng(5)) for _ in range(2))
    assert np.array_equal(first, again)


def test_another_seed_paints_another_picture(painter):
    assert not np.array_equal(*(painter.paint([PROMPT], rng=rng(s)) for s in (0, 1)))


def test_the_order_of_the_words_matters(painter):
    prompts = ["a red ring above a blue cross", "a blue cross above a red ring"]
    assert not np.array_equal(*(painter.paint([prompt], rng=rng()) for prompt in prompts))


def test_guidance_one_is_the_conditional_model(painter):
    words = painter.words.encode([PROMPT])
    from minigen.models.flow_matching import flow_matching

    plain = flow_matching.sample(
        painter.network, 1, rng(), (32, 32, 3), painter.flow, steps=2, conditions={"words": words}
    )
    painted = painter.paint([PROMPT], rng=rng(), guidance=1.0, steps=2, sampler="flow_euler")
    assert np.abs(painted - (plain.clip(-1, 1) + 1) * 127.5).max() <= 0.51


def test_the_recipe_draws_what_the_painter_paints(painter):
    with use_kernels("auto"):  # as the painter does, where nothing was chosen
        drawn = scenes.draw(tiny_network(), CONFIG, [PROMPT] * 3, rng(3))
    assert np.array_equal(drawn, painter.paint([PROMPT] * 3, rng=rng(3)))


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "euler", "heun", "dpmpp_2m", "flow_euler"])
def test_every_sampler_paints(painter, sampler):
    assert painter.paint(["a red ring"], rng=rng(), sampler=sampler, steps=3).std() > 0


def test_the_callback_sees_every_step(painter):
    seen = []
    painter.paint(
        [PROMPT], rng=rng(), steps=4, callback=lambda step, x: seen.append((step, x.shape))
    )
    assert seen == [(step, (1, 32, 32, 3)) for step in range(4)]


def test_no_prompts_are_no_pictures(painter):
    assert painter.paint([], rng=rng()).shape == (0, 32, 32, 3)


@pytest.mark.parametrize(
    ("prompts", "settings", "message"),
    [
        ([""], {}, "empty"),
        (["!?"], {}, "empty"),
        (["purpur zebra"], {}, "the model knows: a, on, background"),
        (["a red ring"], {"steps": 0}, "steps is 0"),
        (["a red ring"], {"steps": -3}, "steps is -3"),
        (["a red ring"], {"sampler": "eulr"}, "did you mean"),
        (["a red ring"], {"guidance": float("nan")}, "guidance is nan"),
        ("a red ring", {}, "one string"),
        (["a red ring " * 9], {}, "expected at most 14"),
    ],
)
def test_bad_input_is_named(painter, prompts, settings, message):
    with pytest.raises(ValueError, match=message):
        painter.paint(prompts, rng=rng(), **settings)


def test_unknown_words_are_named_with_the_nearest(painter):
    (warning,) = check_prompt("a red cirlce", painter.words)
    assert "'cirlce'" in warning
    assert "'circle'" in warning


# ------------------------------------------------------------------------------------- the command


def test_one_prompt_is_one_png(model, tmp_path, capsys):
    out, code = paint(model, tmp_path, PROMPT, "--scale", "4")
    assert code == 0
    assert load_image(out).shape == (128, 128, 3)
    assert capsys.readouterr().out.strip() == str(out)


def test_the_command_paints_what_python_paints(model, painter, tmp_path):
    out, _ = paint(model, tmp_path, PROMPT, "--scale", "1", "--seed", "3")
    assert np.array_equal(load_image(out), painter.paint([PROMPT], rng=rng(3))[0])


def test_the_painter_takes_kernels_unless_something_was_chosen(painter):
    def ran():
        with trace() as record:
            painter.paint([PROMPT], rng=rng(), steps=1)
        return {row.ran for row in record if row.op == "conv2d"}

    assert "reference" not in ran()
    with use_kernels("reference"):
        assert ran() == {"reference"}


def test_several_pictures_make_a_grid(model, tmp_path):
    out, _ = paint(model, tmp_path, PROMPT, "--scale", "1", "-n", "4")
    assert load_image(out).shape == (65, 65, 3)  # 2 x 2 of 32 pixels, 1 between


def test_a_strip_adds_the_film(model, tmp_path):
    out, _ = paint(model, tmp_path, PROMPT, "--scale", "1", "--strip", "--steps", "5")
    picture = load_image(out)
    assert picture.shape == (32, 6 * 33 - 1, 3)  # five steps and the picture
    assert np.array_equal(picture[:, -32:], picture[:, 4 * 33 : 4 * 33 + 32])  # x0_hat at the end


@pytest.mark.parametrize("options", [[], ["-n", "3", "--strip"], ["--sampler", "ddpm"]])
def test_again_draws_the_same_bytes(model, tmp_path, options):
    out, _ = paint(model, tmp_path, PROMPT, "--seed", "9", *options)
    copy = tmp_path / "copy.png"
    assert main(["paint", "--again", str(out), "--out", str(copy)]) == 0
    assert copy.read_bytes() == out.read_bytes()


def test_again_works_for_one_of_a_list(model, tmp_path):
    (tmp_path / "prompts.txt").write_text("a red ring\n" * (BATCH + 2))
    prompts, folder, copy = str(tmp_path / "prompts.txt"), tmp_path / "many", tmp_path / "copy.png"
    main(["paint", "--prompts", prompts, "--model", str(model), "--out", str(folder)])
    last = folder / f"{BATCH + 1:04d}.png"
    main(["paint", "--again", str(last), "--out", str(copy)])
    assert copy.read_bytes() == last.read_bytes()


def test_a_prompt_too_long_is_told_before_the_first_picture_is_painted(model, tmp_path, capsys):
    lines = ["a red ring"] * (BATCH + 1) + ["a red ring " * 6]
    (tmp_path / "prompts.txt").write_text("\n".join(lines))
    folder = tmp_path / "many"
    arguments = ["--prompts", str(tmp_path / "prompts.txt"), "--model", str(model)]
    assert main(["paint", *arguments, "--out", str(folder)]) == 2
    assert "18 words" in capsys.readouterr().err
    assert not folder.exists()


def test_a_file_of_prompts_is_painted_in_line_order(model, painter, tmp_path):
    lines = ["a red ring", "a blue cross", "a white circle"]
    (tmp_path / "prompts.txt").write_text("\n\n".join(lines))
    main(
        ["paint", "--prompts", str(tmp_path / "prompts.txt"), "--model", str(model)]
        + ["--out", str(tmp_path / "many"), "--scale", "1"]
    )
    files = sorted((tmp_path / "many").iterdir())
    assert [file.name for file in files] == ["0000.png", "0001.png", "0002.png"]
    assert [read_metadata(file)["Description"] for file in files] == lines


def test_the_png_says_how_it_was_painted(model, tmp_path):
    out, _ = paint(model, tmp_path, PROMPT, "--seed", "4", "--steps", "3")
    order = json.loads(read_metadata(out)["minigen"])
    assert (order["prompts"], order["seed"], order["steps"]) == ([PROMPT], 4, 3)
    assert order["sampler"] == CONFIG.sampler


def test_without_out_the_picture_is_named_by_its_prompt(model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        main(["paint", "a red ring", "--model", str(model)])
    assert capsys.readouterr().out.split() == ["a-red-ring.png", "a-red-ring-2.png"]


def refused(capsys, words, message):
    """The command ends with code 2 and one line that says why."""
    code = main(["paint", *map(str, words)])
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert code == 2
    assert message in error, error
    assert error.startswith("minigen: error: ") or "error:" in error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([""], "empty"),
        (["zebra"], "the model knows"),
        (["a red ring", "--sampler", "eulr"], "did you mean"),
        (["a red ring", "--steps", "-1"], "steps"),
        (["a red ring", "--scale", "0"], "scale"),
        (["a red ring", "--scale", "65"], "scale"),
        (["a red ring", "-n", "0"], "-n"),
        (["a red ring", "--seed", "-1"], "seed"),
        (["a red ring", "--guidance", "inf"], "guidance"),
        ([], "PROMPT"),
        (["--prompts", "nowhere.txt"], "nowhere.txt"),
        (["a red ring", "--prompts", "nowhere.txt"], "PROMPT"),
    ],
)
def test_the_command_refuses_bad_input(model, capsys, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    refused(capsys, [*words, "--model", model], message)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_model_is_named(capsys):
    refused(capsys, ["a red ring", "--model", "nobody"], "nobody")


def test_a_damaged_model_is_named(model, capsys, tmp_path):
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(model.read_bytes()[:-100])
    refused(capsys, ["a red ring", "--model", damaged], "damaged")


def test_a_folder_that_cannot_be_written_is_named(model, capsys, tmp_path):
    out = tmp_path / "no" / "where.png"
    refused(capsys, ["a red ring", "--model", model, "--out", out], "no folder")


def test_again_refuses_other_weights(model, tmp_path, capsys):
    own = shutil.copy(model, tmp_path / "own.safetensors")
    out, _ = paint(own, tmp_path, PROMPT)
    save_tiny(own, seed=1)
    refused(capsys, ["--again", out], "other weights")


def test_again_refuses_a_picture_of_somebody_else(tmp_path, capsys):
    from minigen.data.pixels import save_png

    save_png(tmp_path / "photo.png", np.zeros((4, 4, 3), np.uint8))
    refused(capsys, ["--again", tmp_path / "photo.png"], "does not say how")


def test_a_full_disk_leaves_no_half_picture(model, tmp_path, monkeypatch, capsys):
    def full(path, image, metadata):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("minigen.paint.command.save_png", full)
    out, code = paint(model, tmp_path, PROMPT)
    assert code in (1, 2)
    assert "No space left" in capsys.readouterr().err
    assert not out.exists()


def test_unknown_words_among_known_ones_are_a_warning(model, tmp_path, capsys):
    _, code = paint(model, tmp_path, "a rde circle")
    assert code == 0
    assert "'rde' is unknown" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------- on a GPU

QUICK = {  # on the emulator, where no kernel is fast, those of few threads are
    "conv2d": "k1_naive",
    "group_norm_silu": "k1_two_pass",
    "layer_norm": "k1_two_pass",
    "linear": "k1_shared_tile",
    "scaled_dot_product_attention": "k1_three_kernels",
}


def small_painter():
    """One of 8 x 8 pixels."""
    sizes = {"image_size": 8, "channels": (8,), "attention": (True,), "heads": 2}
    sizes |= {"text_width": 8, "text_layers": 1, "text_heads": 2, "layout_size": 2}
    sizes |= {"layout_channels": 2, "embedding_width": 8, "caption_length": 4}
    words = Words(["red", "ring", "above", "blue", "cross"])
    network = TextUNet(TextUNetConfig(vocabulary=6, **sizes), rng=rng())
    for weight in network.parameters():
        weight.data += 0.1 * rng(1).standard_normal(weight.shape).astype(np.float32)
    return Painter(network, words, CONFIG.flow(), Sampling("dpmpp_2m", 3, 2.0), "small")


def test_a_gpu_paints_what_the_cpu_paints(fake_cupy, caplog, monkeypatch):
    monkeypatch.setattr(graph, "WARM_UP", 1)  # there is nothing to compile
    made, recording = [], graph.Recording
    monkeypatch.setattr(graph, "Recording", lambda work: made.append(1) or recording(work))
    frames = [], []
    pictures = small_painter().paint(
        ["red ring"], rng=rng(3), callback=lambda step, x: frames[0].append(x)
    )
    painter = small_painter().to("cuda")
    with use_kernels("auto", **QUICK):
        again = painter.paint(
            ["red ring"], rng=rng(3), callback=lambda step, x: frames[1].append(x)
        )
        painter.paint(["blue cross"], rng=rng(4))
    assert not caplog.records  # it was recorded, and no op fell back
    assert made == [1]  # once for all
    for ours, theirs in zip([*frames[0], pictures], [*frames[1], again], strict=True):
        assert ours.dtype == theirs.dtype == np.uint8
        assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_a_gpu_that_cannot_record_paints_the_same_and_says_so_once(fake_cupy, caplog):
    with use_kernels("reference"):
        pictures = small_painter().paint(["red ring"], rng=rng(3))
        again = small_painter().to("cuda").paint(["red ring"], rng=rng(3))
    assert np.abs(pictures.astype(int) - again).max() <= 1
    (record,) = caplog.records
    assert "no CUDA graph" in record.getMessage()
    assert "cuBLAS" in record.getMessage()


def test_without_a_gpu_the_command_says_what_is_missing(model, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    gpu.require.cache_clear()
    out, code = paint(model, tmp_path, "a red ring", "--device", "cuda")
    assert code == 2
    assert 'minigen: error: CuPy is not installed: pip install "minigen[' in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.gpu
@pytest.mark.parametrize("sampler", ["flow_euler", "heun", "dpmpp_2m"])
def test_the_real_gpu_paints_what_the_cpu_paints(real_cupy, sampler):
    painter = Painter.load("scenes")
    pictures = painter.paint([PROMPT] * 2, rng=rng(7), sampler=sampler)
    again = painter.to("cuda").paint([PROMPT] * 2, rng=rng(7), sampler=sampler)
    differences = np.abs(pictures.astype(int) - again)
    assert differences.max() <= 8
    assert (differences > 1).mean() < 1e-3

"""`--device cuda`: recipes that know of no GPU train, draw and are measured on one, here a fake."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny import save_tiny

from minigen import Tensor, nn, use_kernels
from minigen.autograd import no_grad
from minigen.backend import use_device
from minigen.cli import main
from minigen.cli.options import on_device
from minigen.data.pixels import load_image
from minigen.kernels import gpu
from minigen.kernels.errors import GPUError
from minigen.models.vae.vq_vae import VQVAE, VQVAEConfig
from minigen.parallel import in_parts
from minigen.recipes import toy_flow
from minigen.train import RunFolder, load_model

TINY = ["--steps=6", "--width=8", "--batch-size=16", "--save-every=3", "--log-every=2"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINIGEN_KERNELS", "reference")
    draw = toy_flow._draw
    monkeypatch.setattr(
        toy_flow, "_draw", lambda model, n, *a, **b: draw(model, min(n, 40), *a, **b)
    )
    monkeypatch.setattr(toy_flow, "picture", lambda name, points: np.zeros((4, 4, 3), np.uint8))
    monkeypatch.setattr(RunFolder, "plot_loss", lambda run: None)
    return tmp_path


def toy(*words):
    assert main(["train", "toy_flow", *TINY, *words]) == 0


def weights(run):
    return load_model(run)[0]


def test_a_training_goes_as_on_the_cpu(fake_cupy):
    toy("--device", "cpu")
    toy("--device", "cuda")
    ours, theirs = weights("runs/toy_flow-1"), weights("runs/toy_flow-2")
    assert "cupy.linalg.norm" in fake_cupy.used  # in Muon: it was there
    for name, a in ours.items():
        np.testing.assert_allclose(theirs[name], a, rtol=1e-3, atol=1e-4)


def test_a_run_goes_on_on_the_other_device(fake_cupy):
    toy("--device", "cuda")
    run = "runs/toy_flow-1"
    assert main(["train", "toy_flow", "--resume", run, "--steps", "8", "--device", "cpu"]) == 0
    assert main(["train", "toy_flow", "--resume", run, "--steps", "9", "--device", "cuda"]) == 0
    assert RunFolder(run).load_checkpoint()[1]["step"] == 9
    assert "device" not in RunFolder(run).config


def test_a_run_is_measured_with_the_same_numbers(fake_cupy):
    toy()
    found = []
    for device in ("cpu", "cuda"):
        command = ["eval", "runs/toy_flow-1", "-n", "40", "--steps", "3", "--device", device]
        assert main(command) == 0
        found.append(json.loads(Path("runs/toy_flow-1/evaluation.json").read_text()))
    assert [one["settings"]["device"] for one in found] == ["cpu", "cuda"]
    assert found[1]["numbers"] == pytest.approx(found[0]["numbers"], rel=1e-4)


def test_a_picture_is_that_of_the_cpu(fake_cupy):
    save_tiny(Path("tiny.safetensors"))
    for device in ("cpu", "cuda"):
        command = ["sample", "tiny.safetensors", "-n", "1", "--steps", "2", "--device", device]
        assert main([*command, "--out", f"{device}.png"]) == 0
    ours, theirs = load_image("cpu.png").astype(int), load_image("cuda.png")
    assert np.abs(ours - theirs).max() <= 1


def test_without_a_gpu_the_commands_say_what_is_missing(monkeypatch, capsys):
    toy()
    capsys.readouterr()
    monkeypatch.setitem(sys.modules, "cupy", None)
    gpu.require.cache_clear()
    for command in (
        ["train", "toy_flow"],
        ["sample", "runs/toy_flow-1"],
        ["eval", "runs/toy_flow-1"],
    ):
        assert main([*command, "--device", "cuda"]) == 2
        said = capsys.readouterr().err.splitlines()
        assert len(said) == 1
        assert said[0].startswith('minigen: error: CuPy is not installed: pip install "minigen[')
    assert [run.name for run in Path("runs").iterdir()] == ["toy_flow-1"]


def test_a_recipe_that_mixes_arrays_is_refused_with_one_sentence(fake_cupy):
    refused = pytest.raises(GPUError, match="the recipe mixer does not work on a GPU here: it mix")
    with refused, on_device("cuda", "mixer"):
        np.ones(2) + fake_cupy.ones(2)
    with pytest.raises(TypeError, match="another"), on_device("cuda", "mixer"):
        raise TypeError("another mistake")


# ------------------------------------------------------------------------------ what the block does


def network(rng):
    return nn.Sequential(nn.Linear(3, 4, rng=rng), nn.Linear(4, 2, rng=rng))


def test_a_network_that_is_asked_from_the_host_answers_there(fake_cupy, rng):
    model, x = network(rng), rng.standard_normal((5, 3)).astype(np.float32)
    expected = model(x).numpy()
    with use_device("cuda"):
        model.load_state_dict(model.state_dict())
        assert {p.device for p in model.parameters()} == {"gpu"}
        with no_grad():
            y = model(Tensor(x))
            there = model(Tensor(x).to("cuda"))
        assert (y.device, there.device) == ("cpu", "gpu")
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-5)
        loss = (model(x) - expected).sum()  # for backward() it stays where it is
        assert loss.device == "gpu"
        loss.backward()
    assert {p.grad.device for p in model.parameters()} == {"gpu"}
    with pytest.raises(TypeError):  # outside of the block nothing follows
        model(x)


def test_parts_of_a_batch_are_one_recording(fake_cupy, rng):
    model = network(rng)

    def scaled(xt, t, by):
        return model(xt) * Tensor(by)

    with use_device("cuda"), use_kernels(linear="k1_shared_tile"):
        model.to("cuda")
        ask = in_parts(scaled)
        for by in (2.0, 3.0):
            x, factor = rng.standard_normal((5, 3)).astype("f"), np.full((5, 1), by, "f")
            with no_grad():
                y = ask(Tensor(x), np.zeros(5, "f"), by=factor)
            assert y.device == "cpu"
            with use_device("cpu"), use_kernels("reference", linear="reference"):
                expected = network(np.random.default_rng(0))(x).numpy() * by
            np.testing.assert_allclose(y.numpy(), expected, rtol=1e-4, atol=1e-5)


def test_a_device_is_one_of_two():
    with (
        pytest.raises(ValueError, match='device is \'tpu\', expected "cpu" or "gpu"'),
        use_device("tpu"),
    ):
        pass


def test_codes_are_looked_up_where_they_are_asked_for(fake_cupy, rng):
    model = VQVAE(VQVAEConfig(), rng=rng)
    z = rng.standard_normal((2, 3, 3, model.codebook.vectors().shape[1])).astype(np.float32)
    codes = model.codebook.nearest(z)
    pictures = model.decode(codes).numpy()
    with use_device("cuda"), no_grad():
        model.load_state_dict(model.state_dict())
        np.testing.assert_array_equal(model.codebook.nearest(z), codes)
        there = model.codebook.nearest(Tensor(z).to("cuda").data)
        np.testing.assert_array_equal(there.get(), codes)
        for found in (model.decode(codes), model.decode(there)):
            np.testing.assert_allclose(found.numpy(), pictures, rtol=1e-3, atol=1e-4)

"""Weights files, checkpoints and run folders: what comes back, what is noticed, what survives."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import numpy as np
import pytest
from safetensors.numpy import save_file

from minigen.train import (
    DamagedFileError,
    RunFolder,
    SaveError,
    config_from,
    load_model,
    load_weights,
    option,
    save_picture,
    save_weights,
)

NUMBERS = np.arange(12, dtype=np.float32).reshape(3, 4)
STATE = {"a": NUMBERS, "b": np.float64(3.5) * np.ones(()), "steps": np.array(7)}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_weights(path, STATE, {"recipe": "toy_flow"})
    return path


# ------------------------------------------------------------------------------------ weights files


@pytest.mark.parametrize(
    "a",
    [
        NUMBERS,
        NUMBERS.T,
        NUMBERS[::2, ::-1],
        np.broadcast_to(np.float32(2), (2, 3)),
        np.array(1.5),
        np.zeros((0, 3), np.float32),
        np.array([True, False]),
        np.array([-1, 2**62]),
        np.array([2**64 - 1], np.uint64),
        np.array([np.nan, np.inf, -0.0], np.float32),
    ],
    ids=lambda a: f"{a.dtype}{a.shape}",
)
def test_an_array_comes_back_as_it_was(tmp_path, a):
    save_weights(tmp_path / "a.safetensors", {"a": a})
    (back,) = load_weights(tmp_path / "a.safetensors")[0].values()
    assert (back.shape, back.dtype) == (a.shape, a.dtype)
    assert back.tobytes() == a.tobytes()
    assert back.flags.writeable


def test_the_note_comes_back_with_large_and_odd_numbers(tmp_path):
    note = {"state": 2**127 + 1, "nan": float("inf"), "none": None, "text": 'ä "quoted"', "l": [1]}
    save_weights(tmp_path / "a.safetensors", STATE, note | {"array": np.arange(3)})
    assert load_weights(tmp_path / "a.safetensors")[1] == note | {"array": [0, 1, 2]}


def test_the_same_content_gives_the_same_bytes(tmp_path, file):
    again = tmp_path / "again.safetensors"
    save_weights(again, dict(reversed(STATE.items())), {"recipe": "toy_flow"})
    assert again.read_bytes() == file.read_bytes()


def test_float16_halves_the_file_and_comes_back_as_float32(tmp_path):
    weights = {"w": np.random.default_rng(0).standard_normal(4096).astype(np.float32)}
    save_weights(tmp_path / "full.safetensors", weights)
    save_weights(tmp_path / "half.safetensors", weights | {"n": np.array(3)}, dtype="float16")
    back = load_weights(tmp_path / "half.safetensors")[0]
    assert (tmp_path / "half.safetensors").stat().st_size < 0.6 * 4 * 4096
    assert (back["w"].dtype, back["n"].dtype) == (np.float32, np.int64)
    assert (np.abs(back["w"] - weights["w"]) <= 2.0**-11 * np.abs(weights["w"])).all()


def test_numbers_that_float16_cannot_hold_are_refused(tmp_path):
    with pytest.raises(ValueError, match="w has numbers beyond 65504"):
        save_weights(tmp_path / "a.safetensors", {"w": np.float32([1e5])}, dtype="float16")
    with pytest.raises(ValueError, match="dtype is 'int8'"):
        save_weights(tmp_path / "a.safetensors", STATE, dtype="int8")
    assert not (tmp_path / "a.safetensors").exists()


def test_a_file_of_another_program_loads_without_a_note(tmp_path):
    save_file({"w": NUMBERS}, tmp_path / "a.safetensors", {"format": "pt"})
    state, note = load_weights(tmp_path / "a.safetensors")
    assert (state["w"] == NUMBERS).all()
    assert note == {}


def test_every_shortened_file_is_noticed(file):
    content = file.read_bytes()
    for length in [*range(0, len(content), 7), len(content) - 1]:
        file.write_bytes(content[:length])
        with pytest.raises(DamagedFileError, match=r"weights\.safetensors is damaged"):
            load_weights(file)


def test_every_flipped_bit_is_noticed(run):
    path = run.save_checkpoint(STATE, {"step": 3})
    content = path.read_bytes()
    for i in range(0, len(content), 3):
        path.write_bytes(content[:i] + bytes([content[i] ^ 1 << i % 8]) + content[i + 1 :])
        with pytest.raises(DamagedFileError, match="no other checkpoint is left"):
            run.load_checkpoint()


@pytest.mark.parametrize("content", [b"", b"a text", b"PK\x03\x04" * 99, b"\x00" * 999])
def test_a_file_of_another_kind_is_said_to_be_damaged(file, content):
    file.write_bytes(content)
    with pytest.raises(DamagedFileError, match="is damaged"):
        load_weights(file)


@pytest.mark.parametrize("name", ["nothing.safetensors", ""])
def test_a_missing_file_or_a_folder_is_said_to_be_no_file(tmp_path, name):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load_weights(tmp_path / name)


# ---------------------------------------------------------------------------- writing that fails


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_alone(file, monkeypatch, failing):
    def fail(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = file.read_bytes()
    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(SaveError, match=r"weights\.safetensors: No space left on device") as caught:
        save_weights(file, {"other": NUMBERS})
    assert caught.value.errno == errno.ENOSPC
    assert file.read_bytes() == before
    assert os.listdir(file.parent) == [file.name]


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(SaveError, match=r"nowhere.*: No such file or directory"):
        save_weights(tmp_path / "nowhere" / "a.safetensors", STATE)


def test_a_killed_writer_leaves_a_whole_file(run):
    program = f"""
import numpy as np
from minigen.train import RunFolder
run = RunFolder({str(run.path)!r})
for step in range(10**6):
    run.save_checkpoint({{"w": np.full(200_000, step, np.float32)}}, {{"step": step}})
"""
    process = subprocess.Popen([sys.executable, "-c", program])
    while len(run.checkpoints()) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    arrays, note = run.load_checkpoint()
    assert (arrays["w"] == note["step"]).all()
    run.set_aside(note["step"])
    assert not list(run.path.rglob("*.tmp"))


# -------------------------------------------------------------------------------------- checkpoints


def test_the_newest_two_are_kept(run):
    for step in (5, 9, 10, 100):
        run.save_checkpoint(STATE, {"step": step})
    names = ["step_00000100.safetensors", "step_00000010.safetensors"]
    assert [path.name for path in run.checkpoints()] == names


def test_a_damaged_checkpoint_is_passed_over_with_a_warning(run, caplog):
    run.save_checkpoint(STATE, {"step": 5})
    newest = run.save_checkpoint(STATE, {"step": 10})
    newest.write_bytes(newest.read_bytes()[:-1])
    assert run.load_checkpoint()[1]["step"] == 5
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert f"{newest} is damaged" in record.message
    assert "the checkpoint of step 5 is used" in record.message


def test_without_checkpoints_there_is_none(run):
    assert run.load_checkpoint() is None


def test_what_lies_beyond_the_step_is_set_aside(run):
    for step in (5, 10):
        run.save_checkpoint(STATE, {"step": step})
        run.log({"step": step, "loss": 1 / step})
    run.set_aside(5)
    names = sorted(os.listdir(run.path / "checkpoints"))
    assert names == ["step_00000005.safetensors", "step_00000010.damaged"]
    assert run.read_log() == {"step": [5], "loss": [0.2]}


def test_a_models_weights_are_the_averages_and_the_own_buffers(run):
    arrays = {"model.w": NUMBERS, "model.mean": NUMBERS + 1, "ema.w": NUMBERS + 2}
    arrays |= {"ema.updates": np.array(3), "optimizer0.w.m": NUMBERS}
    run.save_checkpoint(arrays, {"step": 4, "generators": {}})
    state, note = load_model(run.path)
    assert state.keys() == {"w", "mean"}
    assert (state["w"] == NUMBERS + 2).all()
    assert (state["mean"] == NUMBERS + 1).all()
    assert note == {"recipe": "toy_flow", "config": {"seed": 0}, "step": 4}


def test_a_model_can_be_a_weights_file_too(file):
    state, note = load_model(file)
    assert state.keys() == STATE.keys()
    assert note == {"recipe": "toy_flow"}


def test_the_exported_weights_are_the_averages_in_float16(run):
    w = np.random.default_rng(0).standard_normal(64).astype(np.float32)
    run.save_checkpoint({"model.w": w + 1, "ema.w": w}, {"step": 4, "seconds": 2.5})
    state, note = load_weights(run.export_weights())
    assert (state["w"] == w.astype(np.float16)).all()
    assert note == {"recipe": "toy_flow", "config": {"seed": 0}, "step": 4, "seconds": 2.5}


def test_a_run_without_checkpoint_has_no_model(run):
    with pytest.raises(FileNotFoundError, match="holds no checkpoint yet"):
        load_model(run.path)


# ---------------------------------------------------------------------------------- run folders


def test_runs_are_numbered_on(tmp_path):
    for name in ("toy_flow-1", "toy_flow-7", "toy_flow-x", "other-9"):
        (tmp_path / name).mkdir()
    assert RunFolder.create("toy_flow", {}, tmp_path).path.name == "toy_flow-8"


def test_a_run_is_opened_with_its_config(run):
    run.change_config(steps=9)
    again = RunFolder(run.path)
    assert (again.recipe, again.config) == ("toy_flow", {"seed": 0, "steps": 9})
    assert json.loads((run.path / "config.json").read_text())["numpy"] == np.__version__


def test_a_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="has no config"):
        RunFolder(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", '{"recipe": "a"}', "\udcff"])
def test_a_damaged_config_is_named(run, content):
    (run.path / "config.json").write_bytes(content.encode("utf8", "surrogateescape"))
    with pytest.raises(DamagedFileError, match=r"config\.json is damaged"):
        RunFolder(run.path)


def test_a_runs_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(OSError, match=r"runs: (File exists|Not a directory)"):
        RunFolder.create("toy_flow", {}, tmp_path / "runs")


def test_the_first_line_of_the_log_decides_on_its_columns(run):
    run.log({"step": 1, "loss": 0.123456789})
    run.log({"step": 2, "other": 4.0})
    assert (run.path / "log.csv").read_text().splitlines() == ["step,loss", "1,0.1234568", "2,"]
    assert np.isnan(run.read_log()["loss"][1])


def test_the_loss_is_drawn(run):
    run.plot_loss()
    assert not (run.path / "loss.png").exists()
    run.log({"step": 1, "loss": 0.5})
    run.log({"step": 2, "loss": 0.25})
    run.plot_loss()
    assert (run.path / "loss.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("shape", [(4, 8, 8, 3), (4, 8, 8, 1), (8, 9, 3)])
def test_pictures_are_saved_as_one(tmp_path, shape):
    save_picture(tmp_path / "a.png", np.zeros(shape, np.uint8))
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


# ------------------------------------------------------------------------------------------- config


@dataclass(frozen=True)
class Config:
    channels: tuple[int, ...] = option((8, 16), "channels")
    minutes: float | None = option(None, "minutes")


def test_a_config_survives_json():
    config = Config(channels=(1, 2), minutes=0.5)
    stored = json.loads(json.dumps({"channels": config.channels, "minutes": config.minutes}))
    assert config_from(Config, stored) == config
    assert config_from(Config, {}) == Config()


def test_a_setting_that_a_config_has_not_is_named():
    with pytest.raises(ValueError, match="width is no setting"):
        config_from(Config, {"width": 3})

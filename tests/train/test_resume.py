"""Stopped and gone on with: bit for bit what was not stopped, also after Ctrl-C."""

import os
import signal

import numpy as np
import pytest
from tiny_training import assert_same_state, breaking, denoising, go, network

from minigen import nn
from minigen.optim import AdamW
from minigen.schedules import warmup_cosine
from minigen.train import RunFolder
from minigen.train.interrupts import Interrupts

pytestmark = pytest.mark.usefixtures("no_plot")


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("stop", [1, 5, 7])
def test_stopped_and_resumed_is_bit_for_bit_uninterrupted(run, tmp_path, stop, prefetch):
    whole = RunFolder.create("toy_flow", {"seed": 0}, tmp_path)
    go(whole, lr_schedule=warmup_cosine)
    with pytest.raises(KeyboardInterrupt):
        go(run, loss=breaking(stop), prefetch=prefetch, lr_schedule=warmup_cosine)
    assert run.load_checkpoint()[1]["step"] == stop - 1
    go(run, prefetch=prefetch, lr_schedule=warmup_cosine)
    assert_same_state(run, whole)


def test_n_steps_and_n_more_are_two_n_steps(run, tmp_path):
    whole = RunFolder.create("toy_flow", {"seed": 0}, tmp_path)
    go(whole, 12, log_every=100)
    go(run, 6, log_every=100)
    go(run, 12, log_every=100)
    arrays, others = run.load_checkpoint()[0], whole.load_checkpoint()[0]
    assert all(arrays[name].tobytes() == others[name].tobytes() for name in others)


def test_resuming_with_workers_and_drawn_batches_is_bit_for_bit(run, tmp_path):
    def part(folder, **settings):
        model = network(np.random.default_rng(0), 0.0)
        batches = lambda rng: (rng.standard_normal((6, 2)).astype(np.float32),)  # noqa: E731
        go(folder, 10, model=model, workers=2, batches=batches, **settings)

    whole = RunFolder.create("toy_flow", {"seed": 0}, tmp_path)
    part(whole)
    with pytest.raises(KeyboardInterrupt):
        part(run, loss=breaking(9))
    part(run)
    assert_same_state(run, whole)


def test_an_interrupted_step_leaves_no_trace_in_running_means(run, tmp_path):
    def model():
        rng = np.random.default_rng(0)
        return nn.Sequential(nn.Linear(2, 3, rng=rng), nn.BatchNorm2d(3), nn.Linear(3, 2, rng=rng))

    whole = RunFolder.create("toy_flow", {"seed": 0}, tmp_path)
    loss = breaking(4)
    batches = {"batches": lambda rng: (rng.standard_normal((2, 3, 3, 2)).astype(np.float32),)}
    go(whole, 6, model=model(), **batches)
    with pytest.raises(KeyboardInterrupt):
        go(run, 6, model=model(), loss=loss, **batches)
    go(run, 6, model=model(), **batches)
    assert_same_state(run, whole)


def test_the_log_has_every_line_once_after_a_crash(run, tmp_path):
    whole = RunFolder.create("toy_flow", {"seed": 0}, tmp_path)
    go(whole, 12, log_every=2)
    with pytest.raises(ZeroDivisionError):
        go(run, 12, log_every=2, loss=breaking(10, ZeroDivisionError))
    with open(run.path / "log.csv", "a") as file:
        file.write("9,0.0")  # cut off while it was written
    go(run, 12, log_every=2)
    assert run.read_log()["step"] == [2, 4, 6, 8, 10, 12]
    assert run.read_log()["loss"] == whole.read_log()["loss"]


def test_going_on_past_a_damaged_checkpoint(run, tmp_path, caplog):
    whole = RunFolder.create("toy_flow", {"seed": 0}, tmp_path)
    go(whole)
    go(run)
    newest = run.checkpoints()[0]
    newest.write_bytes(newest.read_bytes()[:-100])
    go(run)
    assert "step_00000012.safetensors is damaged" in caplog.text
    assert_same_state(run, whole)


def test_a_run_at_its_end_is_left_alone(run):
    go(run)
    before = run.checkpoints()[0].read_bytes()
    go(run)
    assert run.checkpoints()[0].read_bytes() == before


@pytest.mark.parametrize("change", ["width", "optimizers", "ema"])
def test_a_checkpoint_of_another_model_is_refused(run, change):
    go(run)
    settings = {"steps": 20}
    if change == "width":
        settings["model"] = nn.Linear(2, 2, rng=np.random.default_rng(0))
    if change == "optimizers":
        settings["model"] = network(np.random.default_rng(0))
        settings["optimizers"] = [AdamW(settings["model"].named_parameters())]
    with pytest.raises(ValueError, match=r"resume: |load_state_dict"):
        go(run, ema=change != "ema", **settings)
    assert run.load_checkpoint()[1]["step"] == 12


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_or_kill_is_noted_and_the_second_one_raises(number):
    with Interrupts() as interrupts:
        signal.raise_signal(number)
        assert interrupts.wanted
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_second_ctrl_c_waits_until_what_is_held_is_done():
    done = []

    def change():
        with interrupts.held():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            done.append(True)

    with Interrupts() as interrupts, pytest.raises(KeyboardInterrupt):
        change()
    assert done == [True]


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.default_int_handler])
def test_the_handler_before_is_there_again(handler):
    before = signal.signal(signal.SIGINT, handler)
    try:
        with Interrupts() as interrupts:
            if handler is signal.SIG_IGN:
                signal.raise_signal(signal.SIGINT)
                assert not interrupts.wanted
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_finishes_the_step_and_says_how_to_go_on(run, caplog):
    caplog.set_level("INFO", "minigen")
    with pytest.raises(KeyboardInterrupt):
        go(run, loss=pressing(3))
    assert run.load_checkpoint()[1]["step"] == 3
    command = f"minigen train toy_flow --resume {run.path}"
    assert f"stopped after step 3; go on with: {command}" in caplog.text


def pressing(step, times=1):
    """The loss, during which Ctrl-C is pressed when it is called for the given time."""
    calls = []

    def loss(model, batch, rng):
        calls.append(0)
        if len(calls) == step:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
        return denoising(model, batch, rng)

    return loss


def test_pressed_twice_it_saves_the_step_before(run, tmp_path):
    whole = RunFolder.create("toy_flow", {"seed": 0}, tmp_path)
    go(whole)
    with pytest.raises(KeyboardInterrupt):
        go(run, loss=pressing(3, times=2))
    assert run.load_checkpoint()[1]["step"] == 2
    go(run)
    assert_same_state(run, whole)


def test_pressed_in_the_middle_of_a_save_the_file_is_whole(run, monkeypatch):
    flush = os.fsync

    def pressed(handle):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        flush(handle)

    monkeypatch.setattr(os, "fsync", pressed)
    with pytest.raises(KeyboardInterrupt):
        go(run)
    assert run.load_checkpoint()[1]["step"] == 5


def test_pressed_in_the_middle_of_a_picture_the_own_weights_are_saved(run, tmp_path):
    def sample(model, rng):
        raise KeyboardInterrupt

    whole = RunFolder.create("toy_flow", {"seed": 0}, tmp_path)
    go(whole)
    with pytest.raises(KeyboardInterrupt):
        go(run, sample=sample, sample_every=7)
    assert run.load_checkpoint()[1]["step"] == 7
    go(run)
    assert_same_state(run, whole)

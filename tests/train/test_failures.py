"""The first NaN is named, and a full disk loses nothing."""

import csv
import errno
import math
import os

import numpy as np
import pytest
from tiny_training import assert_same_state, denoising, go, network

from minigen.ops import log, sqrt
from minigen.train import NotFiniteError, RunFolder, SaveError

pytestmark = pytest.mark.usefixtures("no_plot")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_first_nan_is_named_by_step_and_op(run):
    def loss(model, batch, rng):
        value, extra = denoising(model, batch, rng)
        drawn = float(rng.random())  # the same number in the second run of the step
        calls.append(drawn)
        return (value + log(value * 0 - drawn) if len(calls) > 7 else value), extra

    calls = []
    with pytest.raises(NotFiniteError, match=r"step 8: loss = nan: log: NaN in the output"):
        go(run, loss=loss)
    assert calls[-1] == calls[-2]
    assert run.load_checkpoint()[1]["step"] == 5


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_infinite_gradient_is_named_by_the_ops_rule(run):
    def loss(model, batch, rng):
        value, _ = denoising(model, batch, rng)
        return value + sqrt(value * 0)

    with pytest.raises(NotFiniteError, match=r"step 1: the norm of the gradients is .*sqrt"):
        go(run, loss=loss)
    assert run.checkpoints() == []


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_weight_that_is_not_finite_is_named(run):
    model = network(np.random.default_rng(0))
    model[2].bias.data[0] = np.inf
    with pytest.raises(NotFiniteError, match=r"the weight 2\.bias was not finite before"):
        go(run, model=model)


def test_a_nan_that_does_not_come_back_is_said_to_be_one(run):
    values = iter([math.nan, 1.0])

    def loss(model, batch, rng):
        return denoising(model, batch, rng)[0] * next(values)

    with pytest.raises(NotFiniteError, match="the same batch again gave finite numbers"):
        go(run, loss=loss)


def test_after_a_nan_the_note_says_what_is_saved(run):
    def loss(model, batch, rng):
        calls.append(0)
        return denoising(model, batch, rng)[0] * (math.nan if len(calls) > 6 else 1.0)

    calls = []
    with pytest.raises(NotFiniteError) as caught:
        go(run, loss=loss)
    assert caught.value.__notes__ == [
        f"step 5 is saved; go on with: minigen train toy_flow --resume {run.path}"
    ]


@pytest.mark.parametrize("failing", ["checkpoint", "log"])
def test_a_full_disk_stops_the_training_and_loses_nothing(run, tmp_path, monkeypatch, failing):
    whole = RunFolder.create("toy_flow", {"seed": 0}, tmp_path)
    go(whole)
    with monkeypatch.context() as patch:
        if failing == "checkpoint":
            patch.setattr(os, "fsync", full_after(2))
        else:
            patch.setattr(csv.DictWriter, "writerow", full_after(2))
        with pytest.raises(SaveError, match="No space left on device") as caught:
            go(run)
    assert "step 5 is saved" in caught.value.__notes__[0]
    assert not list(run.path.rglob("*.tmp"))
    assert run.load_checkpoint()[1]["step"] == 5
    go(run)
    assert_same_state(run, whole)


def full_after(times):
    """A function that works so many times, then finds the disk full."""
    calls = []

    def write(*args):
        calls.append(args)
        if len(calls) > times:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return write

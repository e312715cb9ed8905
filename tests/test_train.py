"""The training loop: what it computes, resuming bit for bit, Ctrl-C, NaN, a full disk."""

import csv
import errno
import math
import os
import signal

import numpy as np
import pytest

from minigen import Tensor, nn
from minigen.data.loader import Loader
from minigen.ops import log, sqrt
from minigen.optim import EMA, SGD, AdamW, Muon, split_matrices
from minigen.schedules import warmup_cosine
from minigen.train import NotFiniteError, RunFolder, SaveError, train
from minigen.train.interrupts import Interrupts

POINTS = np.random.default_rng(5).standard_normal((20, 2)).astype(np.float32)


@pytest.fixture
def run(tmp_path):
    return RunFolder.create("toy_flow", {"seed": 0}, tmp_path)


@pytest.fixture(autouse=True)
def no_plot(monkeypatch):
    """Drawing takes longer than these trainings."""
    monkeypatch.setattr(RunFolder, "plot_loss", lambda self: None)


def denoising(model, batch, rng):
    eps = Tensor(rng.standard_normal(batch[0].shape).astype(np.float32))
    error = model(Tensor(batch[0]) + eps * 0.5) - eps
    return (error * error).mean(), {"points": len(batch[0])}


def network(rng, dropout=0.1):
    return nn.Sequential(
        nn.Linear(2, 16, rng=rng), nn.Dropout(dropout, rng=rng), nn.Linear(16, 2, rng=rng)
    )


def go(run, steps=12, *, loss=denoising, model=None, prefetch=2, ema=True, **settings):
    """Train a tiny network, or go on with it; returns it."""
    rng = np.random.default_rng(0)
    model = model or network(rng)
    settings.setdefault("batches", Loader([POINTS], 8, rng=1, prefetch=prefetch))
    if "optimizers" not in settings:
        matrices, rest = split_matrices(model.named_parameters())
        settings["optimizers"] = [Muon(matrices.items()), AdamW(rest.items(), lr=0.01)]
    settings = {"sample_every": 5, "save_every": 5, "log_every": 4} | settings
    batches = settings.pop("batches")
    average = EMA(model, 0.9) if ema else None
    train(model, loss, batches, run=run, rng=rng, steps=steps, ema=average, **settings)
    return model


def breaking(step, error=KeyboardInterrupt):
    """The loss, which draws its numbers and then raises an error in the given step."""
    calls = []

    def loss(model, batch, rng):
        calls.append(0)
        result = denoising(model, batch, rng)
        if len(calls) >= step:
            raise error
        return result

    return loss


def assert_same_state(a, b):
    (arrays, note), (others, other) = a.load_checkpoint(), b.load_checkpoint()
    assert arrays.keys() == others.keys()
    for name in arrays:
        assert arrays[name].tobytes() == others[name].tobytes(), name
    assert {**note, "seconds": 0} == {**other, "seconds": 0}


# ------------------------------------------------------------------------------- what it computes


def test_the_loss_falls(run):
    go(run, 60, log_every=5, model=network(np.random.default_rng(0), 0.0))
    losses = run.read_log()["loss"]
    assert losses[-1] < 0.6 * losses[0]


def test_one_step_is_the_optimisers_step_on_the_clipped_gradient(run):
    model = nn.Linear(1, 1, bias=False, rng=np.random.default_rng(0))
    before = model.weight.numpy().copy()
    optimizer = SGD(model.named_parameters(), lr=1.0)
    go(run, 1, model=model, loss=lambda m, b, rng: m.weight.sum() * 100, optimizers=[optimizer])
    np.testing.assert_allclose(model.weight.numpy(), before - 1.0, rtol=1e-6)


def test_without_max_norm_the_gradient_stays_as_it_is(run):
    model = nn.Linear(1, 1, bias=False, rng=np.random.default_rng(0))
    before = model.weight.numpy().copy()
    settings = {"optimizers": [SGD(model.named_parameters(), lr=1.0)], "max_norm": None}
    go(run, 1, model=model, loss=lambda m, b, rng: m.weight.sum() * 3, **settings)
    np.testing.assert_allclose(model.weight.numpy(), before - 3.0, rtol=1e-6)


def test_the_log_holds_means_norm_rate_and_extra_numbers(run):
    go(run, 12)
    log = run.read_log()
    assert log["step"] == [4, 8, 12]
    assert log["points"] == [8, 8, 8]
    assert {"minutes", "loss", "grad_norm", "lr", "images_per_second"} <= log.keys()
    assert all(math.isfinite(x) and x > 0 for column in log.values() for x in column)


def test_the_schedule_scales_every_optimisers_rate(run):
    seen = []
    model = network(np.random.default_rng(0))
    (a, b) = list(model.named_parameters())[:2], list(model.named_parameters())[2:]
    optimizers = [SGD(a, lr=1.0), SGD(b, lr=10.0)]

    def schedule(step, steps):
        seen.append((step, steps))
        return 0.5 ** (step + 1)

    go(run, 3, model=model, optimizers=optimizers, lr_schedule=schedule)
    assert seen == [(0, 3), (1, 3), (2, 3)]
    assert [o.lr for o in optimizers] == [0.125, 1.25]


def test_minutes_end_the_run_and_drive_the_schedule(run):
    fractions = []

    def schedule(step, steps):
        fractions.append(step / steps)
        return 1.0

    go(run, None, minutes=0.004, lr_schedule=schedule)
    (_, note) = run.load_checkpoint()
    assert note["seconds"] >= 0.24
    assert fractions[0] == 0
    assert fractions == sorted(fractions)
    assert 0.2 < fractions[-1] < 1


def test_minutes_count_what_an_earlier_part_took(run):
    go(run, 4)
    arrays, note = run.load_checkpoint()
    run.save_checkpoint(arrays, note | {"seconds": 60.0})
    go(run, 1000, minutes=1.0)
    assert run.load_checkpoint()[1]["step"] == 4


def test_the_sample_comes_from_the_averages_in_eval_mode(run):
    seen = []

    def sample(model, rng):
        seen.append((model.training, model.state_dict(), rng.random()))
        return np.zeros((4, 4, 4, 3), np.uint8)

    model = go(run, 10, sample=sample)
    averages = {
        k.removeprefix("ema."): a for k, a in run.load_checkpoint()[0].items() if "ema" in k
    }
    assert [mode for mode, _, _ in seen] == [False, False]
    assert all((a == averages[name]).all() for name, a in seen[-1][1].items())
    assert not (model.state_dict()["0.weight"] == averages["0.weight"]).all()
    assert model.training
    assert seen[0][2] == seen[1][2]
    assert [p.name for p in sorted((run.path / "samples").iterdir())] == [
        "step_00000005.png",
        "step_00000010.png",
    ]


def test_sampling_and_logging_leave_the_training_as_it_is(run, tmp_path):
    other = RunFolder.create("toy_flow", {"seed": 0}, tmp_path)
    go(run, 12)
    sample = lambda model, rng: np.zeros((2, 4, 4, 3), np.uint8)  # noqa: E731
    go(other, 12, sample=sample, sample_every=3, save_every=2, log_every=4)
    assert_same_state(run, other)


def test_a_batch_function_draws_from_the_loops_generator(run):
    seen = []

    def batches(rng):
        seen.append(rng.standard_normal((3, 2)).astype(np.float32))
        return (seen[-1],)

    go(run, 2, batches=batches)
    assert not (seen[0] == seen[1]).all()


def test_data_that_ends_starts_again(run):
    class Twice:
        def __iter__(self):
            return iter([(POINTS[:8],), (POINTS[8:16],)])

        def state(self):
            return {}

    go(run, 5, batches=Twice())
    assert run.load_checkpoint()[1]["step"] == 5


def test_workers_compute_the_same_gradient(run, tmp_path):
    def loss(model, batch, rng):
        y = model(Tensor(batch[0]))
        return (y * y).mean()

    other = RunFolder.create("toy_flow", {}, tmp_path)
    for folder, workers in ((run, 1), (other, 2)):
        model = network(np.random.default_rng(0), 0.0)
        optimizers = [SGD(model.named_parameters(), lr=0.1)]
        go(folder, 3, loss=loss, model=model, optimizers=optimizers, workers=workers)
    mine, theirs = run.load_checkpoint()[0], other.load_checkpoint()[0]
    np.testing.assert_allclose(mine["model.0.weight"], theirs["model.0.weight"], rtol=1e-5)


# --------------------------------------------------------------------------------- stop and go on


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


# ----------------------------------------------------------------------------------------- Ctrl-C


def test_ctrl_c_is_noted_and_the_second_one_raises():
    with Interrupts() as interrupts:
        signal.raise_signal(signal.SIGINT)
        assert interrupts.wanted
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


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


# ------------------------------------------------------------------------------ NaN and full disks


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


# ------------------------------------------------------------------------------------ wrong inputs


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": None}, "neither steps nor minutes"),
        ({"steps": 0}, "steps is 0, expected a number above 0"),
        ({"minutes": -1.0}, "minutes is -1.0"),
        ({"minutes": math.nan}, "minutes is nan"),
        ({"workers": 2}, "Dropout"),
        ({"batches": type("Empty", (list,), {"state": dict})()}, "batches holds no batch"),
    ],
)
def test_wrong_settings_are_refused(run, settings, message):
    with pytest.raises(ValueError, match=message):
        go(run, **settings)
    assert run.checkpoints() == []

"""The training loop: what it computes, and which settings it refuses."""

import math

import numpy as np
import pytest
from tiny_training import POINTS, assert_same_state, go, network

from minigen import Tensor, nn
from minigen.optim import SGD
from minigen.train import RunFolder

pytestmark = pytest.mark.usefixtures("no_plot")


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

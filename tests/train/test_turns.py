"""Turns of a step: who moves, when, by whose loss; what is logged; and when a game is stopped."""

import logging
import math

import numpy as np
import pytest
from tiny_training import assert_same_state, go

from minigen import Tensor, nn
from minigen.optim import EMA, SGD, AdamW
from minigen.train import DivergedError, NotFiniteError, RunFolder, Turn, load_model, train

pytestmark = pytest.mark.usefixtures("no_plot")


class Game(nn.Module):
    """Two numbers, each a network: what D and G do to each other can be reckoned by hand."""

    def __init__(self, D=1.0, G=2.0):
        self.D, self.G = nn.Parameter(np.float32([D])), nn.Parameter(np.float32([G]))


def batches(rng):
    return rng.standard_normal(4).astype(np.float32)


def turns(game, d_loss, g_loss, lr=0.1, optimizer=SGD, **every):
    """D moves by its loss, then G by its own."""
    return [
        Turn(name, loss, [optimizer([(name, weight)], lr=lr)], every.get(name, 1))
        for name, weight, loss in (("D", game.D, d_loss), ("G", game.G, g_loss))
    ]


def product(game, batch, rng):
    return (game.D * game.G).sum()


def play(run, game, steps, turns, **settings):
    settings = {"log_every": 2, "save_every": 100} | settings
    rng = np.random.default_rng(0)
    train(game, turns, batches, run=run, rng=rng, steps=steps, max_norm=None, **settings)
    return game


def test_each_turn_sees_what_the_turn_before_it_did(run):
    game = Game()
    play(run, game, 1, turns(game, product, product))
    assert game.D.numpy() == np.float32(1 - 0.1 * 2)
    assert game.G.numpy() == pytest.approx(2 - 0.1 * 0.8)


def test_the_other_side_gets_no_gradient(run):
    game, seen = Game(), []

    def d_loss(game, batch, rng):
        seen.append((game.D.requires_grad, game.G.requires_grad))
        return product(game, batch, rng)

    play(run, game, 3, turns(game, d_loss, product))
    assert set(seen) == {(True, False)}
    assert game.D.requires_grad
    assert game.G.requires_grad


def test_a_turn_may_come_now_and_then_and_comes_in_the_first_step(run):
    game, when = Game(), []

    def g_loss(game, batch, rng):
        when.append(len(d_steps))
        return product(game, batch, rng)

    d_steps = []
    play(run, game, 7, turns(game, lambda *a: d_steps.append(0) or product(*a), g_loss, G=3))
    assert when == [1, 4, 7]


def test_one_optimiser_may_have_two_turns(run):
    game = Game()
    sgd = SGD([("D", game.D)], lr=1.0)
    two = [Turn(name, lambda g, b, rng: (g.D * 0.25).sum(), [sgd]) for name in ("D", "R1")]
    play(run, game, 1, two)
    assert game.D.numpy() == 0.5


def test_the_log_has_the_losses_of_every_turn(run):
    game = Game()
    play(run, game, 6, turns(game, product, lambda *a: (product(*a), {"score": 0.5}), G=4))
    log = run.read_log()
    assert {"D_loss", "D_grad_norm", "G_loss", "G_grad_norm", "score"} <= log.keys()
    assert [math.isnan(x) for x in log["G_loss"]] == [False, True, False]


def test_a_game_that_was_resumed_ends_with_the_same_bits(run, tmp_path):
    def start(run, *steps):
        for n in steps:
            game = Game()
            both = turns(game, product, product, optimizer=AdamW, lr=0.01, G=2)
            play(run, game, n, both, save_every=3, ema=EMA([("G", game.G)], 0.9))

    another_run = RunFolder.create("toy_flow", {"seed": 0}, tmp_path)
    start(run, 8)
    start(another_run, 3, 8)
    assert_same_state(run, another_run)


def test_the_average_of_one_side_is_what_one_samples_with(run):
    game, drawn = Game(), []
    settings = {"ema": EMA([("G", game.G)], 0.99), "sample_every": 4}

    def sample(game, rng):
        drawn.append((float(game.D.numpy()[0]), float(game.G.numpy()[0])))
        return np.zeros((1, 2, 2, 3), np.uint8)

    play(run, game, 4, turns(game, product, product), sample=sample, **settings)
    weights = load_model(run.path)[0]
    assert drawn[-1] == (game.D.numpy()[0], weights["G"][0])
    assert weights["G"] != game.G.numpy()


def test_a_loss_that_grows_without_end_stops_the_run_at_its_last_checkpoint(run):
    game = Game()
    both = turns(game, product, product, lr=-1.0)
    with pytest.raises(DivergedError, match=r"[DG]_loss = .* beyond 1000: .*diverged") as caught:
        play(run, game, 100, both, max_loss=1000.0, save_every=2)
    saved = run.load_checkpoint()[1]["step"]
    assert saved >= 2
    assert f"step {saved} is saved" in caught.value.__notes__[0]


def test_a_nan_in_a_later_turn_names_the_turn_and_keeps_the_checkpoint(run):
    game = Game()
    calls = []

    def g_loss(game, batch, rng):
        calls.append(0)
        return product(game, batch, rng) * (math.nan if len(calls) > 2 else 1.0)

    with pytest.raises(NotFiniteError, match="step 3: G_loss = nan"):
        play(run, game, 9, turns(game, product, g_loss), save_every=1)
    assert run.load_checkpoint()[1]["step"] == 2


def test_each_remark_of_diagnose_is_said_once(run, caplog):
    game, asked = Game(), []

    def diagnose(numbers, pictures):
        asked.append((set(numbers), pictures is not None))
        return ["D wins"]

    sheet = {"sample": lambda m, rng: np.zeros((1, 2, 2, 3), np.uint8), "sample_every": 2}
    with caplog.at_level(logging.WARNING, "minigen"):
        play(run, game, 4, turns(game, product, product), diagnose=diagnose, **sheet)
    assert [r.getMessage() for r in caplog.records] == ["step 2: D wins"]
    assert {pictures for _, pictures in asked} == {False, True}
    assert any("G_loss" in numbers for numbers, _ in asked)


def test_threads_share_a_turns_batch(run):
    game = Game()

    def d_loss(game, batch, rng):
        return (game.D * Tensor(batch)).mean()

    play(run, game, 1, turns(game, d_loss, product), workers=2)
    mean = batches(np.random.default_rng(0)).mean()
    assert game.D.numpy()[0] == pytest.approx(1 - 0.1 * mean, rel=1e-5)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda a, b: [a, a], "are named"),
        (lambda a, b: [], "no turn comes in every step"),
        (lambda a, b: [Turn("x", a.loss, a.optimizers, 2)], "no turn comes in every step"),
    ],
)
def test_games_that_cannot_be_played(run, change, match):
    game = Game()
    with pytest.raises(ValueError, match=match):
        play(run, game, 1, change(*turns(game, product, product)))


def test_turns_bring_their_own_optimisers(run):
    game = Game()
    with pytest.raises(ValueError, match="optimizers of their own"):
        go(run, 1, model=game, loss=turns(game, product, product), optimizers=[1], ema=False)
    with pytest.raises(ValueError, match="every is 0"):
        Turn("D", product, [1], every=0)
    with pytest.raises(ValueError, match="D has no optimizers"):
        Turn("D", product, [])

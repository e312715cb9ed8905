"""One training loop for every recipe.

    for step in 1 ... steps:
        batch         = next of the data
        loss          = loss(model, batch, rng)
        gradients     = d loss / d weights, scaled to a common norm of at most max_norm    (1)
        weights       = optimizer(weights, gradients, lr * lr_schedule(step, steps))
        averages      = moving average of the weights

and beside it: the bar, the log, sample pictures, checkpoints, Ctrl-C, the search for the first NaN.
Where networks play against each other, loss, gradients and weights come once for each turn of the
game, each turn with a loss and weights of its own (turn.py).

Source: (1) Pascanu, Mikolov and Bengio, On the difficulty of training recurrent neural networks,
2013, Alg. 1, arXiv 1211.5063.
"""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen.autograd import no_grad
from minigen.backend import in_use, move
from minigen.nn import Module
from minigen.optim import EMA, clip_grad_norm
from minigen.parallel import one_blas_thread, size_of
from minigen.trace import stop_at_nan
from minigen.train.data_parallel import check_parallel, parallel_backward
from minigen.train.files import SaveError
from minigen.train.interrupts import Interrupts
from minigen.train.meter import Meter, clock
from minigen.train.run_folder import RunFolder
from minigen.train.state import Batches, TrainingState
from minigen.train.turn import Loss, Turn, only, turns_of

Sample = Callable[[Any, np.random.Generator], np.ndarray]
Diagnose = Callable[[Mapping[str, float], np.ndarray | None], Sequence[str]]
_log = logging.getLogger("minigen")


class DivergedError(ArithmeticError):
    """A loss grew beyond `max_loss`, or is not finite."""


class NotFiniteError(DivergedError):
    """A loss or gradient became NaN or infinite; the message names the step and the op."""


def train(
    model: Module,
    loss: Loss | Sequence[Turn],
    batches: Batches,
    *,
    optimizers: Sequence[Any] = (),
    run: RunFolder,
    rng: np.random.Generator,
    steps: int | None = None,
    minutes: float | None = None,
    lr_schedule: Callable[[float, float], float] | None = None,
    ema: EMA | None = None,
    max_norm: float | None = 1.0,
    max_loss: float | None = None,
    workers: int = 1,
    sample: Sample | None = None,
    diagnose: Diagnose | None = None,
    sample_every: int = 1000,
    save_every: int = 500,
    log_every: int = 20,
) -> None:
    """Train `model` in `run`, from its newest checkpoint if there is one, up to steps or minutes.

    loss         (model, batch, rng) -> a scalar, or (a scalar, numbers for the log); or the turns
                 of a game, which have the optimizers
    batches      an iterable with state() and load_state(), as a Loader; or a function rng -> batch
    optimizers   each steps once per batch, for instance Muon for matrices and AdamW for the rest
    steps        in all, those before a resume included. A run that was stopped and resumed ends
                 with the same bits as one that was not (same machine, same number of threads)
    minutes      of wall clock in all; the first of the two limits ends the run. Where only minutes
                 are given, the learning rate follows the clock, and no two runs are the same
    lr_schedule  (step, steps) -> factor on each lr; steps is an estimate under minutes alone
    ema          a moving average of the weights; sampled from, saved beside them
    max_norm     of all gradients of a turn together; None for no limit
    max_loss     a loss beyond it, above or below 0, ends the run; None for no limit
    workers      threads that share each batch, one BLAS thread in each; see data_parallel.py.
                 On a GPU (`minigen.backend.use_device`) there is one, and batches stay on the host
    sample       (model, rng) -> uint8, (N, H, W, 3) or one picture (H, W, 3); always the same rng
    diagnose     (numbers, pictures) -> what looks wrong, in words. It is asked about the numbers of
                 each log line, with no pictures, and about each sheet of samples, with no numbers;
                 each remark is printed once
    *_every      steps between pictures, checkpoints, log lines

    Raises: NotFiniteError at the first NaN, DivergedError beyond max_loss, both with the newest
    checkpoint kept as it was; SaveError where a file cannot be written;
    KeyboardInterrupt after Ctrl-C, when the last completed step is saved; ValueError where there is
    no limit, or the checkpoint is of another model.
    """
    if steps is None and minutes is None:
        raise ValueError("train: neither steps nor minutes is given, expected at least one")
    for name, value in {"steps": steps, "minutes": minutes}.items():
        if value is not None and not value > 0:
            raise ValueError(f"train: {name} is {value}, expected a number above 0")
    if in_use.get() != "cpu":
        model.to(in_use.get())
        workers = 1
    turns = turns_of(loss, optimizers)
    optimizers = list({id(o): o for turn in turns for o in turn.optimizers}.values())
    state = TrainingState(model, optimizers, ema, batches, rng)
    if workers > 1:
        check_parallel(model)
    for optimizer in optimizers:
        optimizer.workers = workers
    training = _Training(
        state=state,
        run=run,
        turns=turns,
        steps=steps,
        minutes=minutes,
        lr_schedule=lr_schedule or (lambda step, steps: 1.0),
        max_norm=math.inf if max_norm is None else max_norm,
        max_loss=math.inf if max_loss is None else max_loss,
        workers=workers,
        sample=sample,
        diagnose=diagnose,
        sample_every=sample_every,
        save_every=save_every,
        log_every=log_every,
    )
    training.resume()
    with one_blas_thread() if workers > 1 else nullcontext():
        training.go_on()


@dataclass
class _Training:
    """The parts of the loop, and what they share."""

    state: TrainingState
    run: RunFolder
    turns: Sequence[Turn]
    steps: int | None
    minutes: float | None
    lr_schedule: Callable[[float, float], float]
    max_norm: float
    max_loss: float
    workers: int
    sample: Sample | None
    diagnose: Diagnose | None
    sample_every: int
    save_every: int
    log_every: int
    saved: int | None = None  # the step of the newest checkpoint

    def __post_init__(self) -> None:
        self.learning_rates = [optimizer.lr for optimizer in self.state.optimizers]
        self.meter, self.interrupts = Meter(), Interrupts()
        self.said: set[str] = set()  # remarks of diagnose

    def remember(self) -> None:
        """Keep the place to go on from, should the next step not be completed."""
        self.place = self.state.note(), self.state.buffers()

    def resume(self) -> None:
        """Take over the newest checkpoint, if there is one."""
        checkpoint = self.run.load_checkpoint()
        if checkpoint:
            self.state.load(*checkpoint)
            self.saved = self.state.step
            over = " and at its end" if self.done() >= 1 else ""
            _log.info("%s: going on after step %d%s", self.run.path, self.saved, over)
        self.run.set_aside(self.state.step)
        self.remember()

    def go_on(self) -> None:
        """Run the loop to its end, to the first error or to Ctrl-C."""
        self.state.model.train()
        try:
            with self.interrupts, self.meter:
                try:
                    self.steps_to_end()
                    self.finish()
                except KeyboardInterrupt:
                    with self.interrupts.held():
                        self.save()
                    raise
            done = f"{self.run.path}: {self.state.step} steps in {clock(self.state.seconds)}"
            last = self.run.path == self.run.whole  # not a stage that others follow
            _log.info(done + (f"; look at samples with: minigen sample {self.run.path}" * last))
        except KeyboardInterrupt:
            _log.info("stopped after step %d; go on with: %s", self.saved, self.command())
            raise
        except (SaveError, DivergedError) as error:
            if self.saved is not None:
                error.add_note(f"step {self.saved} is saved; go on with: {self.command()}")
            raise

    def steps_to_end(self) -> None:
        state = self.state
        start = time.monotonic() - state.seconds
        while self.done() < 1:
            began = time.monotonic()
            batch = state.next_batch()
            first, *others = [turn for turn in self.turns if state.step % turn.every == 0]
            numbers = self.compute(first, batch)
            drawing = bool(self.sample) and (state.step + 1) % self.sample_every == 0
            with self.interrupts.held():
                self.update(first)
                for turn in others:
                    numbers |= self.compute(turn, batch)
                    self.update(turn)
                self.complete(numbers)
                state.seconds = time.monotonic() - start
                self.meter.count(size_of(batch), time.monotonic() - began)
                if state.step % self.log_every == 0:
                    self.log()
                self.remember()
                if state.step % self.save_every == 0 or drawing:
                    self.save()  # also before a picture: should that fail, no step is lost
            self.meter.show(state.step, numbers, self.done(), self.seconds_left())
            if drawing and self.done() < 1 and not self.interrupts.wanted:
                self.draw()
            if self.interrupts.wanted:
                raise KeyboardInterrupt

    # ------------------------------------------------------------------------------------- one step

    def compute(self, turn: Turn, batch: Any) -> dict[str, float]:
        """Loss and gradients of a turn, the gradients clipped: nothing yet that cannot be redone.

        Raises: NotFiniteError, DivergedError.
        """
        state, generators = self.state, self.state.generator_states()
        value, extra = self.loss_and_gradients(turn, batch)
        norm = float(clip_grad_norm(turn.parameters(), self.max_norm))
        if not (math.isfinite(value) and math.isfinite(norm)):
            state.set_generators(generators)
            raise self.not_finite(turn, batch, value, norm)
        if abs(value) > self.max_loss:
            raise DivergedError(
                f"train: step {state.step + 1}: {turn.named('loss')} = {value:.4g} is beyond "
                f"{self.max_loss:g}: the training has diverged; try a smaller learning rate"
            )
        own = {turn.named("loss"): value, turn.named("grad_norm"): norm}
        return own | {name: float(x) for name, x in extra.items()}

    def loss_and_gradients(self, turn: Turn, batch: Any) -> tuple[float, dict[str, Any]]:
        state = self.state
        for optimizer in turn.optimizers:
            optimizer.zero_grad()
        with only(turn, state.model) if len(self.turns) > 1 else nullcontext():
            if self.workers > 1:
                return parallel_backward(turn.loss, state.model, batch, state.rng, self.workers)
            result = turn.loss(state.model, batch, state.rng)
            loss, extra = result if isinstance(result, tuple) else (result, {})
            loss.backward()
        return loss.item(), extra

    def not_finite(self, turn: Turn, batch: Any, value: float, norm: float) -> NotFiniteError:
        """The error for a step that went wrong: once more, with a look at every op's output."""
        what = f"{turn.named('loss')} = {value}"
        if math.isfinite(value):
            what = f"the norm of the gradients is {norm}"
        where = f"train: step {self.state.step + 1}: {what}"
        for name, weight in self.state.model.named_parameters():
            if not np.isfinite(weight.numpy()).all():
                return NotFiniteError(f"{where}: the weight {name} was not finite before the step")
        try:
            with stop_at_nan():
                self.loss_and_gradients(turn, batch)
        except FloatingPointError as error:
            return NotFiniteError(f"{where}: {error}")
        return NotFiniteError(f"{where}; the same batch again gave finite numbers")

    def update(self, turn: Turn) -> None:
        """The step of a turn's optimisers."""
        state = self.state
        done = self.done()
        steps = self.steps or (state.step / done if done else math.inf)
        factor = self.lr_schedule(state.step, steps)
        for optimizer, lr in zip(state.optimizers, self.learning_rates, strict=True):
            if any(optimizer is own for own in turn.optimizers):
                optimizer.lr = lr * factor
                optimizer.step()

    def complete(self, numbers: dict[str, float]) -> None:
        """The moving average, and the step is counted."""
        state = self.state
        if state.ema is not None:
            state.ema.update()
        state.step += 1
        state.pending.append(numbers)

    # -------------------------------------------------------------------------------- around a step

    def done(self) -> float:
        """The part of the run that lies behind, 1 at its end."""
        by_clock = self.state.seconds / (60 * self.minutes) if self.minutes else 0.0
        by_steps = self.state.step / self.steps if self.steps else by_clock
        return 1.0 if by_clock >= 1 else by_steps

    def seconds_left(self) -> float:
        """Until the first of the limits, at the speed so far."""
        left = [60 * self.minutes - self.state.seconds] if self.minutes else []
        if self.steps:
            left.append(self.state.seconds * (self.steps / self.state.step - 1))
        return max(0.0, min(left))

    def log(self) -> None:
        """A line of means over the steps since the last one."""
        state = self.state
        rows, state.pending = state.pending, []
        columns: dict[str, list[float]] = {}
        for row in rows:
            for name, x in row.items():
                columns.setdefault(name, []).append(x)
        means = {name: sum(column) / len(column) for name, column in columns.items()}
        clock = {"step": state.step, "minutes": state.seconds / 60}
        speed = {"lr": state.optimizers[0].lr, "images_per_second": self.meter.rate}
        self.run.log(clock | means | speed)
        self.remark(means, None)

    def remark(self, numbers: Mapping[str, float], pictures: np.ndarray | None) -> None:
        """Print what `diagnose` says and has not said before."""
        for text in self.diagnose(numbers, pictures) if self.diagnose else ():
            if text not in self.said:
                self.said.add(text)
                _log.warning("step %d: %s", self.state.step, text)

    def save(self) -> None:
        """A checkpoint of the last completed step."""
        note, buffers = self.place
        if note["step"] != self.saved:
            self.run.save_checkpoint({**self.state.arrays(), **buffers}, note)
            self.saved = note["step"]
            self.run.plot_loss()

    def draw(self) -> None:
        """Sample with the averaged weights, from the same noise every time."""
        if self.sample is None:
            return
        with self.state.averaged() as model, no_grad():
            pictures = move(self.sample(model, np.random.default_rng(0)), "cpu")
        self.run.save_samples(self.state.step, pictures)
        self.remark({}, pictures)

    def finish(self) -> None:
        """The last checkpoint, the weights alone, log line, plot and picture."""
        self.save()
        self.run.export_weights()
        if self.state.pending:
            self.log()
        self.run.plot_loss()
        self.draw()

    def command(self) -> str:
        recipe = self.run.recipe.partition("/")[0]  # of a stage, that of its run
        return f"minigen train {recipe} --resume {self.run.whole}"

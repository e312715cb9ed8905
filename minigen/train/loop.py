"""One training loop for every recipe.

    for step in 1 ... steps:
        batch         = next of the data
        loss          = loss(model, batch, rng)
        gradients     = d loss / d weights, scaled to a common norm of at most max_norm    (1)
        weights       = optimizer(weights, gradients, lr * lr_schedule(step, steps))
        averages      = moving average of the weights

and beside it: the bar, the log, sample pictures, checkpoints, Ctrl-C, the search for the first NaN.

Source: (1) Pascanu, Mikolov and Bengio, On the difficulty of training recurrent neural networks,
2013, Alg. 1, arXiv 1211.5063.
"""

import logging
import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen.autograd import Tensor, no_grad
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

Loss = Callable[[Any, Any, np.random.Generator], Tensor | tuple[Tensor, dict[str, Any]]]
Sample = Callable[[Any, np.random.Generator], np.ndarray]
_log = logging.getLogger("minigen")


class NotFiniteError(ArithmeticError):
    """A loss or gradient became NaN or infinite; the message names the step and the op."""


def train(
    model: Module,
    loss: Loss,
    batches: Batches,
    *,
    optimizers: Sequence[Any],
    run: RunFolder,
    rng: np.random.Generator,
    steps: int | None = None,
    minutes: float | None = None,
    lr_schedule: Callable[[float, float], float] | None = None,
    ema: EMA | None = None,
    max_norm: float | None = 1.0,
    workers: int = 1,
    sample: Sample | None = None,
    sample_every: int = 1000,
    save_every: int = 500,
    log_every: int = 20,
) -> None:
    """Train `model` in `run`, from its newest checkpoint if there is one, up to steps or minutes.

    loss         (model, batch, rng) -> a scalar, or (a scalar, numbers for the log)
    batches      an iterable with state() and load_state(), as a Loader; or a function rng -> batch
    optimizers   each steps once per batch, for instance Muon for matrices and AdamW for the rest
    steps        in all, those before a resume included. A run that was stopped and resumed ends
                 with the same bits as one that was not (same machine, same number of threads)
    minutes      of wall clock in all; the first of the two limits ends the run. Where only minutes
                 are given, the learning rate follows the clock, and no two runs are the same
    lr_schedule  (step, steps) -> factor on each lr; steps is an estimate under minutes alone
    ema          a moving average of the weights; sampled from, saved beside them
    max_norm     of all gradients together; None for no limit
    workers      threads that share each batch, one BLAS thread in each; see data_parallel.py.
                 On a GPU (`minigen.backend.use_device`) there is one, and batches stay on the host
    sample       (model, rng) -> uint8, (N, H, W, 3) or one picture (H, W, 3); always the same rng
    *_every      steps between pictures, checkpoints, log lines

    Raises: NotFiniteError at the first NaN; SaveError where a file cannot be written;
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
    state = TrainingState(model, optimizers, ema, batches, rng)
    if workers > 1:
        check_parallel(model)
    for optimizer in optimizers:
        optimizer.workers = workers
    training = _Training(
        state=state,
        run=run,
        loss=loss,
        steps=steps,
        minutes=minutes,
        lr_schedule=lr_schedule or (lambda step, steps: 1.0),
        max_norm=math.inf if max_norm is None else max_norm,
        workers=workers,
        sample=sample,
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
    loss: Loss
    steps: int | None
    minutes: float | None
    lr_schedule: Callable[[float, float], float]
    max_norm: float
    workers: int
    sample: Sample | None
    sample_every: int
    save_every: int
    log_every: int
    saved: int | None = None  # the step of the newest checkpoint

    def __post_init__(self) -> None:
        self.learning_rates = [optimizer.lr for optimizer in self.state.optimizers]
        self.meter, self.interrupts = Meter(), Interrupts()

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
            _log.info("%s; look at samples with: minigen sample %s", done, self.run.path)
        except KeyboardInterrupt:
            _log.info("stopped after step %d; go on with: %s", self.saved, self.command())
            raise
        except (SaveError, NotFiniteError) as error:
            if self.saved is not None:
                error.add_note(f"step {self.saved} is saved; go on with: {self.command()}")
            raise

    def steps_to_end(self) -> None:
        state = self.state
        start = time.monotonic() - state.seconds
        while self.done() < 1:
            began = time.monotonic()
            batch = state.next_batch()
            numbers = self.compute(batch)
            drawing = bool(self.sample) and (state.step + 1) % self.sample_every == 0
            with self.interrupts.held():
                self.update(numbers)
                state.seconds = time.monotonic() - start
                self.meter.count(size_of(batch), time.monotonic() - began)
                if state.step % self.log_every == 0:
                    self.log()
                self.remember()
                if state.step % self.save_every == 0 or drawing:
                    self.save()  # also before a picture: should that fail, no step is lost
            self.meter.show(state.step, numbers["loss"], self.done(), self.seconds_left())
            if drawing and self.done() < 1 and not self.interrupts.wanted:
                self.draw()
            if self.interrupts.wanted:
                raise KeyboardInterrupt

    # ------------------------------------------------------------------------------------- one step

    def compute(self, batch: Any) -> dict[str, float]:
        """Loss and gradients, the gradients clipped: nothing yet that cannot be done again.

        Raises: NotFiniteError.
        """
        state, generators = self.state, self.state.generator_states()
        value, extra = self.loss_and_gradients(batch)
        norm = float(clip_grad_norm(state.model.parameters(), self.max_norm))
        if not (math.isfinite(value) and math.isfinite(norm)):
            state.set_generators(generators)
            raise self.not_finite(batch, value, norm)
        return {"loss": value, "grad_norm": norm} | {name: float(x) for name, x in extra.items()}

    def loss_and_gradients(self, batch: Any) -> tuple[float, dict[str, Any]]:
        for optimizer in self.state.optimizers:
            optimizer.zero_grad()
        if self.workers > 1:
            return parallel_backward(
                self.loss, self.state.model, batch, self.state.rng, self.workers
            )
        result = self.loss(self.state.model, batch, self.state.rng)
        loss, extra = result if isinstance(result, tuple) else (result, {})
        loss.backward()
        return loss.item(), extra

    def not_finite(self, batch: Any, value: float, norm: float) -> NotFiniteError:
        """The error for a step that went wrong: once more, with a look at every op's output."""
        what = f"the norm of the gradients is {norm}" if math.isfinite(value) else f"loss = {value}"
        where = f"train: step {self.state.step + 1}: {what}"
        for name, weight in self.state.model.named_parameters():
            if not np.isfinite(weight.numpy()).all():
                return NotFiniteError(f"{where}: the weight {name} was not finite before the step")
        try:
            with stop_at_nan():
                self.loss_and_gradients(batch)
        except FloatingPointError as error:
            return NotFiniteError(f"{where}: {error}")
        return NotFiniteError(f"{where}; the same batch again gave finite numbers")

    def update(self, numbers: dict[str, float]) -> None:
        """The optimisers' step and the moving average."""
        state = self.state
        done = self.done()
        steps = self.steps or (state.step / done if done else math.inf)
        factor = self.lr_schedule(state.step, steps)
        for optimizer, lr in zip(state.optimizers, self.learning_rates, strict=True):
            optimizer.lr = lr * factor
            optimizer.step()
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
        columns = {name: [row[name] for row in rows if name in row] for name in rows[-1]}
        means = {name: sum(column) / len(column) for name, column in columns.items()}
        clock = {"step": state.step, "minutes": state.seconds / 60}
        speed = {"lr": state.optimizers[0].lr, "images_per_second": self.meter.rate}
        self.run.log(clock | means | speed)

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
            pictures = self.sample(model, np.random.default_rng(0))
        self.run.save_samples(self.state.step, move(pictures, "cpu"))

    def finish(self) -> None:
        """The last checkpoint, the weights alone, log line, plot and picture."""
        self.save()
        self.run.export_weights()
        if self.state.pending:
            self.log()
        self.run.plot_loss()
        self.draw()

    def command(self) -> str:
        return f"minigen train {self.run.recipe} --resume {self.run.path}"

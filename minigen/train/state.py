"""What has to be written down so that a training goes on as if it had never stopped."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minigen.nn import Module
from minigen.optim import EMA
from minigen.train.files import State, split_parts

Batches = Any  # an iterable with state() and load_state(), or a function rng -> batch


@dataclass
class TrainingState:
    """All that changes from step to step.

    arrays()  weights, moving averages, optimisers' moments: the tensors of a checkpoint
    note()    step, time, random generators, place in the data: its JSON
    """

    model: Module
    optimizers: Sequence[Any]
    ema: EMA | None
    batches: Batches
    rng: np.random.Generator
    step: int = 0  # completed
    seconds: float = 0.0  # spent in training, earlier parts of a resumed run included
    pending: list[dict[str, float]] = field(default_factory=list)  # steps since the last log line
    iterator: Iterator[Any] | None = None

    def next_batch(self) -> Any:
        """The next batch; data that comes to its end starts again.

        Raises: ValueError where there is no batch at all.
        """
        if callable(self.batches):
            return self.batches(self.rng)
        for _ in range(2):
            if self.iterator is None:
                self.iterator = iter(self.batches)
            try:
                return next(self.iterator)
            except StopIteration:
                self.iterator = None
        raise ValueError("train: batches holds no batch, expected at least one")

    def arrays(self) -> dict[str, np.ndarray]:
        parts = {"model": self.model.state_dict()}
        parts |= {f"optimizer{i}": o.state_dict() for i, o in enumerate(self.optimizers)}
        if self.ema is not None:
            parts["ema"] = self.ema.state_dict()
        return {f"{part}.{name}": a for part, state in parts.items() for name, a in state.items()}

    def buffers(self) -> dict[str, np.ndarray]:
        """What computing a loss changes (running means), copied, by their names in arrays()."""
        return {f"model.{name}": np.array(b.numpy()) for name, b in self.model.named_buffers()}

    def note(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "seconds": self.seconds,
            "pending": list(self.pending),
            "generators": self.generator_states(),
            "batches": None if callable(self.batches) else self.batches.state(),
        }

    def load(self, arrays: State, note: dict[str, Any]) -> None:
        """Take over a checkpoint.

        Raises: ValueError where it is of another model or was made with other optimisers.
        """
        parts = split_parts(arrays)
        expected = split_parts(self.arrays())
        if parts.keys() != expected.keys():
            raise ValueError(f"resume: the checkpoint holds {[*parts]}, expected {[*expected]}")
        try:
            self.model.load_state_dict(parts["model"])
        except KeyError as error:
            raise ValueError(f"resume: {error.args[0]}") from error
        for i, optimizer in enumerate(self.optimizers):
            optimizer.load_state_dict(parts.get(f"optimizer{i}", {}))
        if self.ema is not None:
            self.ema.load_state_dict(parts["ema"])
        self.set_generators(note["generators"])
        if not callable(self.batches):
            self.batches.load_state(note["batches"])
        self.step, self.seconds, self.pending = note["step"], note["seconds"], note["pending"]

    @contextmanager
    def averaged(self) -> Iterator[Module]:
        """Inside the block the model is in eval mode and has its averaged weights."""
        self.model.eval()
        try:
            with self.ema.applied(self.ema.parameters.items()) if self.ema else nullcontext():
                yield self.model
        finally:
            self.model.train()

    def generator_states(self) -> dict[str, Any]:
        """Of the loop's generator and of those that layers hold, as Dropout does."""
        return {"loop": self.rng.bit_generator.state, "model": self.model.rng_state()}

    def set_generators(self, states: dict[str, Any]) -> None:
        self.rng.bit_generator.state = states["loop"]
        self.model.load_rng_state(states["model"])

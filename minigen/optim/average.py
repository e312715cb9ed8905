"""The moving average of a model's weights."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minigen.autograd import Tensor
from minigen.backend import array_module, as_array, move, select
from minigen.optim.optimizer import Scratch, compare, named


class EMA:
    """The exponential moving average of a model's parameters: what one samples with.

        n = n + 1;  d = min(decay, (1 + n) / (10 + n));  average = d average + (1 - d) p

    The second bound lets the average follow fast while the model is young. Takes a Module, or
    parameters as optimisers do.
    Source: Ho et al., 2020, appendix B, arXiv 2006.11239; the warm-up is that of
    tf.train.ExponentialMovingAverage.
    """

    def __init__(self, model: Any, decay: float = 0.999):
        if not 0 <= decay < 1:
            raise ValueError(f"EMA: decay is {decay}, expected 0 <= decay < 1")
        self.parameters = _parameters_of(model)
        self.decay, self.updates = decay, 0
        self.averages = {name: p.data.copy() for name, p in self.parameters.items()}
        self.scratch = Scratch()

    def update(self) -> None:
        """Take in the parameters as they are now, after an optimiser's step."""
        self.updates += 1
        d = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, p in self.parameters.items():
            self.averages[name] = as_array(move(self.averages[name], p.device), p.dtype)
        averages, ps = [*self.averages.values()], [p.data for p in self.parameters.values()]
        kernel = select("ema", (averages, ps), {"decay": d})
        if kernel is not None:
            kernel.launch(averages, ps, decay=d)
            return
        for average, p in zip(averages, ps):
            difference = self.scratch.like(average)
            array_module(average).subtract(p, average, out=difference)
            difference *= 1 - d
            average += difference

    def copy_to(self, model: Any) -> None:
        """Write the averages into a model's parameters of the same names."""
        own = _parameters_of(model)
        compare("EMA", self.averages, {name: p.data for name, p in own.items()})
        for name, p in own.items():
            p.data[...] = array_module(p.data).asarray(move(self.averages[name], p.device), p.dtype)

    @contextmanager
    def applied(self, model: Any) -> Iterator[None]:
        """Inside the block the model has the averages, afterwards its own weights again."""
        own = {name: p.data.copy() for name, p in _parameters_of(model).items()}
        self.copy_to(model)
        try:
            yield
        finally:
            for name, p in _parameters_of(model).items():
                p.data[...] = own[name]

    def state_dict(self) -> dict[str, np.ndarray]:
        """Name -> a copy of the average, and "updates" as a 0-d array."""
        averages = {name: np.array(move(a, "cpu")) for name, a in self.averages.items()}
        return {"updates": np.array(self.updates, np.int64), **averages}

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        """Take over what `state_dict` gave.

        Raises: ValueError where names or shapes differ; nothing is changed then.
        """
        compare("EMA", state, self.state_dict())
        self.updates = int(state["updates"])
        for name, a in self.averages.items():
            a[...] = array_module(a).asarray(state[name], a.dtype)


def _parameters_of(model: Any) -> dict[str, Tensor]:
    """Of a Module, or of an iterable of parameters or pairs."""
    pairs: Callable[[], Any] | None = getattr(model, "named_parameters", None)
    return named(pairs() if pairs else model, "EMA")

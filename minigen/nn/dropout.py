"""Dropout."""

import numpy as np

from minigen.autograd import Tensor
from minigen.backend import array_module
from minigen.nn.module import Module


class Dropout(Module):
    """In training, each element is 0 with probability p, else divided by 1 - p: the mean stays.

    In use, the identity.

    It draws on the host from a generator of its own, spawned from `rng`, so weights drawn later
    from `rng` do not depend on whether there is dropout. `Module.rng_state` and `load_rng_state`
    save and restore its place.

    Shapes: any -> the same.
    Raises: ValueError for p outside [0, 1).
    Source: Srivastava et al., 2014.
    """

    def __init__(self, p: float, *, rng: np.random.Generator):
        if not 0 <= p < 1:
            raise ValueError(f"Dropout: p is {p}, expected 0 <= p < 1")
        self.p = p
        self.rng = rng.spawn(1)[0] if p > 0 else None

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rng is None:
            return x
        kept = self.rng.random(x.shape, np.float32) >= self.p
        scale = np.where(kept, np.asarray(1 / (1 - self.p), x.dtype), np.asarray(0, x.dtype))
        return x * array_module(x.data).asarray(scale)

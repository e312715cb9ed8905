"""Gradient descent with momentum."""

from minigen.backend import Array, array_module
from minigen.optim.optimizer import Optimizer, Parameters


class SGD(Optimizer):
    """Gradient descent with momentum.

        g = g + weight_decay p
        b = momentum b + g, from b = 0
        p = p - lr (g + momentum b if nesterov else b)

    Source: Sutskever et al., 2013, in the form of torch.optim.SGD.
    """

    def __init__(
        self,
        parameters: Parameters,
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ):
        if nesterov and not momentum:
            raise ValueError("SGD: nesterov needs a momentum above 0")
        self.slots = ("momentum",) if momentum else ()
        super().__init__(parameters, lr, weight_decay)
        self.momentum, self.nesterov = momentum, nesterov

    def update(self, p: Array, g: Array, **buffers: Array) -> None:
        xp, step = array_module(p), self.scratch.like(p)
        xp.multiply(p, self.weight_decay, out=step)
        step += g
        if self.momentum:
            b = buffers["momentum"]
            b *= self.momentum
            b += step
            if self.nesterov:
                step *= self.lr
                p -= step
            xp.multiply(b, self.momentum if self.nesterov else 1.0, out=step)
        step *= self.lr
        p -= step

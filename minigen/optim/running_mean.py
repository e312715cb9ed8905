"""Running means of what a network computes, kept as parameters that descent moves.

    p = decay p + (1 - decay) s                 a running mean of s
    p = p - lr (p - s),   lr = 1 - decay        the same: descent on |p - s|^2 / 2

So a statistic needs no place of its own in the training: `follow(p, s)` in the loss gives p the
gradient p - s, which is added up over the threads that share a batch like every gradient, and
`RunningMean` among the optimisers takes the step. The trainer saves p as it saves weights.
"""

from minigen.autograd import Tensor
from minigen.backend import Array
from minigen.optim.optimizer import Parameters
from minigen.optim.sgd import SGD


def follow(p: Tensor, s: Array | float) -> Tensor:
    """A term of a loss that has the value 0 and the gradient p - s: that of |p - s|^2 / 2.

    Where a loss is a mean over pictures, so must s be: then the parts of a batch add up to it.

    Shapes: p and s (...) -> ().
    """
    term = ((p - s) ** 2).sum() * 0.5
    return term - term.detach()


class RunningMean(SGD):
    """Descent at the rate of a running mean, whatever rate a schedule says.

        d_n = min(decay, (1 + n) / (10 + n)) in step n = 0, 1, ...;   p = d_n p + (1 - d_n) s

    The second bound lets the mean follow fast at first, as in EMA. A limit on the norm of all
    gradients would slow it down: train with max_norm=None.
    """

    def __init__(self, parameters: Parameters, decay: float = 0.99):
        if not 0 <= decay < 1:
            raise ValueError(f"RunningMean: decay is {decay}, expected 0 <= decay < 1")
        super().__init__(parameters, lr=1 - decay)
        self.decay = decay

    def step(self) -> None:
        self.lr = 1 - min(self.decay, (1 + self.steps) / (10 + self.steps))
        super().step()

"""The turns of a step, where networks are trained against each other.

    for turn in turns:
        gradients = d turn.loss / d (the weights of turn.optimizers), all other weights held still
        weights   = turn.optimizers(weights, gradients)

An ordinary training is a game of one turn. A GAN has two, of the discriminator and of the
generator: Goodfellow et al., Generative Adversarial Networks, 2014, Alg. 1, arXiv 1406.2661. A
penalty that is taken only now and then is one more, with an optimiser that has its turn already:
Karras et al., Analyzing and Improving the Image Quality of StyleGAN, 2020, section 3.1, arXiv
1912.04958.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen.autograd import Tensor
from minigen.nn import Module

Loss = Callable[[Any, Any, np.random.Generator], Tensor | tuple[Tensor, dict[str, Any]]]


@dataclass(frozen=True)
class Turn:
    """A loss, and who follows its gradient.

    name        before its numbers in the log: D_loss, D_grad_norm
    loss        (model, batch, rng) -> a scalar, or (a scalar, numbers for the log)
    optimizers  of the parameters that move; the gradients of all others are not computed
    every       steps from one such turn to the next; the first step has all turns
    """

    name: str
    loss: Loss
    optimizers: Sequence[Any]
    every: int = 1

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"Turn: every is {self.every}, expected at least 1")
        if not self.optimizers:
            raise ValueError(f"Turn: {self.name or 'it'} has no optimizers, expected at least one")

    def named(self, what: str) -> str:
        """The name of one of its numbers.

        >>> Turn("D", abs, ["Adam"]).named("loss")
        'D_loss'
        """
        return f"{self.name}_{what}" if self.name else what

    def parameters(self) -> list[Tensor]:
        """Those of its optimisers."""
        return [p for optimizer in self.optimizers for p in optimizer.parameters.values()]


def turns_of(loss: Loss | Sequence[Turn], optimizers: Sequence[Any]) -> list[Turn]:
    """What `train` was given, as turns.

    Raises: ValueError for turns beside optimizers, no turn, names that are not different, or no
    turn that comes in every step.
    """
    if callable(loss):
        return [Turn("", loss, optimizers)]
    turns = list(loss)
    if optimizers:
        raise ValueError("train: turns have optimizers of their own, expected no others")
    if len({turn.name for turn in turns}) < len(turns):
        raise ValueError(f"train: turns are named {[turn.name for turn in turns]}, expected others")
    if not any(turn.every == 1 for turn in turns):
        raise ValueError("train: no turn comes in every step, expected at least one")
    return turns


@contextmanager
def only(turn: Turn, model: Module) -> Iterator[None]:
    """Inside the block the parameters of no other turn ask for a gradient."""
    own = {id(p) for p in turn.parameters()}
    others = [p for p in model.parameters() if p.requires_grad and id(p) not in own]
    for p in others:
        p.requires_grad = False
    try:
        yield
    finally:
        for p in others:
            p.requires_grad = True

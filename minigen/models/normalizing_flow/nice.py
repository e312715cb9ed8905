"""NICE: a flow of additive couplings.

Laurent Dinh, David Krueger, Yoshua Bengio, NICE: Non-linear Independent Components Estimation,
2014, arXiv 1410.8516.

The idea: split the numbers of a picture into two halves and add to one half anything that the other
half says. That can be undone by subtracting it, and stretches no volume; after a few such layers
with the halves taking turns, a scale for each number says how much it matters. What comes out is
asked to be independent noise.

    y_1 = x_1,   y_2 = x_2 + m(x_1)                                          section 3.2
    z   = exp(s) y,   log_det = sum(s)                                       section 3.3
    log p(x) = sum(log p_logistic(z)) + sum(s)                               (4) and section 3.4

Shapes: x (N, H, W, C) in [0, 1] -> z (N, H W C), log_det ().

Differs from the paper in: the last layer of each network starts at 0, so that a coupling starts as
the identity; sizes are settings.

Recipe: minigen/recipes/mnist_normalizing_flow.py.
Derivation: docs/derivations/normalizing_flows.md.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from minigen import nn
from minigen.autograd import Tensor, no_grad
from minigen.backend import Array
from minigen.nn.init import zeroed
from minigen.nn.invertible import (
    Chain,
    Invertible,
    Permute,
    check_shape,
    log_sigmoid_slope,
    summed,
)
from minigen.ops import concat, exp, relu, slice
from minigen.ops.elementwise import as_tensor


@dataclass(frozen=True)
class NICEConfig:
    """Sizes of the flow."""

    shape: tuple[int, int, int] = (28, 28, 1)  # of a picture
    couplings: int = 4
    width: int = 1000  # units of a hidden layer
    hidden: int = 5  # hidden layers of each coupling


class AdditiveCoupling(Invertible):
    """The second half plus what the first says, or with `flipped` the other way round.

    Shapes: (N, D) -> the same, log_det 0.
    """

    def __init__(self, D: int, width: int, hidden: int, flipped: bool, *, rng: np.random.Generator):
        self.half, self.flipped = D // 2, flipped
        heard = D - D // 2 if flipped else D // 2
        sizes = [heard, *[width] * hidden]
        layers: list[Any] = []
        for ins, outs in pairwise(sizes):
            layers += [nn.Linear(ins, outs, rng=rng), relu]
        self.network = nn.Sequential(*layers, zeroed(nn.Linear(width, D - heard, rng=rng)))

    def forward(self, x: Any) -> tuple[Tensor, float]:
        return self._shift(x, 1.0), 0.0

    def inverse(self, z: Any) -> Tensor:
        return self._shift(z, -1.0)

    def _shift(self, x: Any, sign: float) -> Tensor:
        first, second = slice(x, 0, self.half), slice(x, self.half, x.shape[-1])
        if self.flipped:
            return concat([first + self.network(second) * sign, second], axis=-1)
        return concat([first, second + self.network(first) * sign], axis=-1)


class Scaling(Invertible):
    """Every number times exp(s).

    Shapes: (N, D) -> the same, log_det ().
    """

    def __init__(self, D: int):
        self.s = nn.Parameter(np.zeros(D, np.float32))

    def forward(self, x: Any) -> tuple[Tensor, Tensor]:
        return x * exp(self.s), self.s.sum()

    def inverse(self, z: Any) -> Tensor:
        return z * exp(-self.s)


class NICE(Invertible):
    """Every second number against the others, in turns; then the scaling."""

    def __init__(self, config: NICEConfig, *, rng: np.random.Generator):
        self.config = config
        D = math.prod(config.shape)
        layers: list[Invertible] = [Permute([*range(0, D, 2), *range(1, D, 2)])]
        for i in range(config.couplings):
            layers.append(
                AdditiveCoupling(D, config.width, config.hidden, flipped=i % 2 == 1, rng=rng)
            )
        self.layers = Chain([*layers, Scaling(D)])

    def forward(self, x: Any) -> tuple[Tensor, Any]:
        x = as_tensor(x)
        check_shape("NICE", x, self.config.shape)
        return self.layers(x.reshape(x.shape[0], math.prod(x.shape[1:])))

    def inverse(self, z: Any) -> Tensor:
        x = self.layers.inverse(as_tensor(z))
        return x.reshape(len(x), *self.config.shape)


def log_prob(model: NICE, x: Any) -> Tensor:
    """log p(x) in nats; log p_logistic(z) = -log(1 + exp(z)) - log(1 + exp(-z)).

    Shapes: (N, H, W, C) -> (N,).
    Raises: ValueError for pictures of another shape.
    """
    z, log_det = model(x)
    return summed(log_sigmoid_slope(z)) + log_det  # eq. 4


def loss(model: NICE, x: Array, rng: np.random.Generator) -> Tensor:
    """-log p(x), mean over the batch, in nats a picture."""
    return -log_prob(model, Tensor(x)).mean()


def sample(model: NICE, n: int, rng: np.random.Generator, temperature: float = 1.0) -> Array:
    """Draw `n` pictures in [0, 1]; z is logistic noise times the `temperature`."""
    z = temperature * rng.logistic(size=(n, math.prod(model.config.shape))).astype(np.float32)
    with no_grad():
        return model.inverse(z).data.clip(0, 1)

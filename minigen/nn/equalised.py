"""Layers with an equalised learning rate, for Adam: weights start as N(0, 1), scaled in use.

    effective = p lr / sqrt(inputs)

Adam's steps have about the size of its learning rate, whatever the size of the weights. Where all
weights are near 1, all layers learn equally fast; `lr` lets one learn slower than the others.

Source: Karras, Aila, Laine, Lehtinen, Progressive Growing of GANs for Improved Quality, Stability,
and Variation, 2017, section 4.1, arXiv 1710.10196.
"""

import math
from typing import Any

import numpy as np

from minigen.autograd import Tensor
from minigen.nn.module import Module, Parameter
from minigen.ops import conv2d


class EqualisedWeight(Module):
    """A matrix or filter that starts as N(0, 1) and is scaled where it is used.

    Shapes: (..., O), the inputs all axes but the last.
    """

    def __init__(self, *shape: int, lr: float = 1.0, rng: np.random.Generator):
        self.p = Parameter(rng.standard_normal(shape).astype(np.float32) / np.float32(lr))
        self.scale = lr / math.sqrt(math.prod(shape[:-1]))

    def forward(self) -> Tensor:
        return self.p * self.scale


class EqualisedLinear(Module):
    """x W + b with an equalised learning rate: (..., C) -> (..., O)."""

    def __init__(self, C: int, O: int, bias: float = 0, lr: float = 1, *, rng: np.random.Generator):
        self.weight, self.lr = EqualisedWeight(C, O, lr=lr, rng=rng), lr
        self.bias = Parameter(np.full(O, bias / lr, np.float32))

    def forward(self, x: Any) -> Tensor:
        return x @ self.weight() + self.bias * self.lr


class EqualisedConv2d(Module):
    """A convolution of stride 1 with an equalised learning rate: (N, H, W, C) -> (N, H, W, O)."""

    def __init__(self, K: int, C: int, O: int, *, rng: np.random.Generator):
        self.weight, self.K = EqualisedWeight(K, K, C, O, rng=rng), K
        self.bias = Parameter(np.zeros(O, np.float32))

    def forward(self, x: Any) -> Tensor:
        return conv2d(x, self.weight(), padding=self.K // 2) + self.bias

"""The affine layer, and several of them."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from minigen.autograd import Tensor
from minigen.nn import init
from minigen.nn.module import Module, ModuleList, Parameter
from minigen.ops import linear, silu


class Linear(Module):
    """y = x @ weight + bias over the last axis.

    Shapes: x (..., in_features) -> (..., out_features); weight (in_features, out_features),
    PyTorch's transposed. Weights start with variance 1 / in_features, the bias with 0.
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, *, rng: np.random.Generator
    ):
        self.weight = Parameter(init.lecun_normal((in_features, out_features), rng=rng))
        self.bias = Parameter(np.zeros(out_features, np.float32)) if bias else None

    def forward(self, x: Any) -> Tensor:
        return x @ self.weight if self.bias is None else linear(x, self.weight, self.bias)


class MLP(Module):
    """Linear layers with silu between them.

    Shapes: x (..., widths[0]) -> (..., widths[-1]).
    """

    def __init__(self, widths: Sequence[int], *, rng: np.random.Generator):
        self.layers = ModuleList([Linear(i, o, rng=rng) for i, o in pairwise(widths)])

    def forward(self, x: Any) -> Tensor:
        first, *rest = self.layers
        x = first(x)
        for layer in rest:
            x = layer(silu(x))
        return x

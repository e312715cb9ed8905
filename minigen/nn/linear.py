"""The affine layer."""

from typing import Any

import numpy as np

from minigen.autograd import Tensor
from minigen.nn import init
from minigen.nn.module import Module, Parameter
from minigen.ops import linear


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

"""A layer that stretches nothing by more than 1."""

from typing import Any

import numpy as np

from minigen.autograd import Tensor
from minigen.backend import Array, array_module
from minigen.nn.module import Buffer, Module


class SpectralNorm(Module):
    """A Linear or Conv2d whose weight W is divided by its largest singular value.

        v = W^T u / |W^T u|,   u = W v / |W v|,   sigma = u^T W v          one step of Alg. 1
        y = layer(x) / sigma + bias

    u is kept from call to call, so one step a call follows W as it is trained. u and v are taken as
    constants: the gradient by W is that of W / (u^T W v) (eq. 12). Dividing the output is dividing
    the weight. In use (`eval`) u stays as it is.

    W is the weight with all its axes but the last as rows, (KH KW C, O). `steps` of the method are
    taken at the start, so that sigma is right from the first call.

    Shapes: those of the layer, whose bias is taken over.
    Error: with the same W, sigma nears the SVD's largest value sigma_1 by (sigma_2 / sigma_1)^4 a
    call (tests/nn/test_spectral_norm.py).
    Source: Miyato, Kataoka, Koyama, Yoshida, Spectral Normalization for Generative Adversarial
    Networks, 2018, Alg. 1, arXiv 1802.05957.
    """

    def __init__(self, layer: Any, steps: int = 20, *, rng: np.random.Generator):
        self.layer, self.bias = layer, layer.bias
        layer.bias = None
        self.u = Buffer(rng.standard_normal(self._matrix().shape[0]).astype(layer.weight.dtype))
        for _ in range(steps):
            self._step()

    def forward(self, x: Any) -> Tensor:
        v = self._step() if self.training else self._right()
        W = self.layer.weight.reshape(len(self.u), -1)  # (rows, O)
        sigma = (Tensor(self.u.data.copy()).reshape(1, -1) @ W @ Tensor(v).reshape(-1, 1)).reshape(
            ()
        )
        y = self.layer(x) / sigma
        return y if self.bias is None else y + self.bias

    def _matrix(self) -> Array:
        weight = self.layer.weight.data
        return weight.reshape(-1, weight.shape[-1])

    def _right(self) -> Array:
        return _unit(self._matrix().T @ self.u.data)

    def _step(self) -> Array:
        """One step of the power method; returns v."""
        v = self._right()
        self.u.data[...] = _unit(self._matrix() @ v)
        return v


def _unit(x: Array) -> Array:
    length = array_module(x).sqrt((x * x).sum())
    return x / (length + float(np.finfo(x.dtype).tiny))

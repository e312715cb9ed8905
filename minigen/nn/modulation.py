"""How one vector for time and caption steers the branches of a Transformer: adaLN-Zero."""

from typing import Any

import numpy as np

from minigen.autograd import Tensor
from minigen.backend import array_module
from minigen.nn.blocks import AdaLN
from minigen.nn.embedding import timestep_embedding
from minigen.nn.init import zeroed
from minigen.nn.linear import Linear
from minigen.nn.module import Module
from minigen.ops import silu


class TimeEmbedding(Module):
    """One vector of the time and of what else is known.

        e = silu(W_2 silu(W_1 sinusoids(1000 t)) + known)

    Shapes: t (N,) in [0, 1], known (N, width) -> (N, width).
    Source: Peebles and Xie, 2023, section 3.2, arXiv 2212.09748.
    """

    def __init__(self, width: int, sinusoids: int = 128, *, rng: np.random.Generator):
        self.sinusoids = sinusoids
        self.inner = Linear(sinusoids, width, rng=rng)
        self.outer = Linear(width, width, rng=rng)

    def forward(self, t: Any, known: Any) -> Tensor:
        weight = self.inner.weight.data
        t = array_module(weight).asarray(t.data if isinstance(t, Tensor) else t, weight.dtype)
        e = self.outer(silu(self.inner(timestep_embedding(1000 * t, self.sinusoids))))
        return silu(e + known)


class AdaLNZero(Module):
    """What stands around a branch: an adaptive norm before it, a gate behind it.

        y = x + gate * branch(norm(x) * (1 + scale) + shift)

    Scale, shift and gate are linear in an embedding and 0 at the start, so that the block starts
    as the identity, whatever the branch is.

    Shapes: x (N, L, width), embedding (N, embedding_width) -> as x.
    Source: Peebles and Xie, 2023, section 3.2, arXiv 2212.09748.
    """

    def __init__(self, width: int, embedding_width: int, *, rng: np.random.Generator):
        self.norm = AdaLN(width, embedding_width, eps=1e-6, rng=rng)
        self.gate = zeroed(Linear(embedding_width, width, rng=rng))

    def before(self, x: Any, embedding: Any) -> Tensor:
        """What the branch gets."""
        return self.norm(x, embedding)

    def after(self, x: Any, y: Any, embedding: Any) -> Tensor:
        """What becomes of its answer y."""
        N, _, D = x.shape
        return x + self.gate(embedding).reshape(N, 1, D) * y

"""Vectors for things that are not numbers: tokens, classes, and moments in time."""

import math
from typing import Any

import numpy as np

from minigen.autograd import Tensor
from minigen.backend import array_module, as_array
from minigen.nn import init
from minigen.nn.module import Module, Parameter
from minigen.ops import take


class Embedding(Module):
    """A table with a learned row for each index.

    Shapes: indices, integers of any shape (...) -> (..., embedding_dim); weight (num_embeddings,
    embedding_dim). Rows start with variance 1.
    Raises: IndexError for an index outside 0 ... num_embeddings - 1.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, *, rng: np.random.Generator):
        self.weight = Parameter(init.normal((num_embeddings, embedding_dim), 1.0, rng=rng))

    def forward(self, indices: Any) -> Tensor:
        xp = array_module(self.weight.data)
        indices = xp.asarray(indices.data if isinstance(indices, Tensor) else indices)
        rows = len(self.weight)
        if indices.dtype.kind not in "iu" or (
            indices.size and not 0 <= int(indices.min()) <= int(indices.max()) < rows
        ):
            raise IndexError(f"Embedding: indices are integers in 0 ... {rows - 1}, got {indices}")
        return take(self.weight, indices, axis=0)


def timestep_embedding(t: Any, width: int, max_period: float = 10000.0) -> Tensor:
    """Sinusoids of t, fast to slow: every cos(t f_i), then every sin(t f_i), i < width / 2.

        f_i = max_period ^ (-i / (width / 2))

    Fast ones tell near moments apart, slow ones far moments. No gradient flows to t.
    Shapes: t (N,) -> (N, width), width even.
    Units: t as in DDPM, about 0 ... 1000: for a time in [0, 1] multiply it by 1000 first.
    Source: Vaswani et al., 2017, section 3.5, arXiv 1706.03762; cosine first as in Ho et al., 2020,
    arXiv 2006.11239.
    """
    if width % 2:
        raise ValueError(f"timestep_embedding: width is {width}, expected an even number")
    t = as_array(t.data if isinstance(t, Tensor) else t)
    xp = array_module(t)
    t = t if t.dtype.kind == "f" else t.astype(np.float32)
    half = width // 2
    frequencies = xp.exp(-math.log(max_period) / half * xp.arange(half)).astype(t.dtype)
    angles = t[:, None] * frequencies  # (N, width / 2)
    return Tensor(xp.concatenate([xp.cos(angles), xp.sin(angles)], axis=-1))

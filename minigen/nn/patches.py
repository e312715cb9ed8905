"""A picture as a row of tokens, one for each square of pixels, and back."""

from typing import Any

import numpy as np

from minigen.autograd import Tensor
from minigen.nn.blocks import AdaLN
from minigen.nn.embedding import timestep_embedding
from minigen.nn.init import zeroed
from minigen.nn.linear import Linear
from minigen.nn.module import Module, Parameter
from minigen.ops import pixel_shuffle, space_to_depth


def grid_positions(size: int, width: int) -> np.ndarray:
    """Sinusoids of the row in one half of the channels, of the column in the other.

    Shapes: -> (size size, width), row by row.
    Raises: ValueError where width is no multiple of 4.
    Source: Vaswani et al., 2017, section 3.5, in two directions: Peebles and Xie, 2023, section
    3.2, arXiv 2212.09748.
    """
    if width % 4:
        raise ValueError(f"grid_positions: width is {width}, expected a multiple of 4")
    line = timestep_embedding(np.arange(size), width // 2).data  # (size, width / 2)
    rows, columns = np.repeat(line, size, axis=0), np.tile(line, (size, 1))
    return np.concatenate([rows, columns], axis=-1)


class Patches(Module):
    """A picture's squares of P x P pixels as tokens, each with a vector for its place.

    The places start as `grid_positions` and are learned.

    Shapes: x (N, size, size, channels) -> (N, (size / P)^2, width), row by row.
    Raises: ValueError where P does not divide size, or a picture has another shape.
    Source: Dosovitskiy et al., 2021, section 3.1, arXiv 2010.11929.
    """

    def __init__(
        self, size: int, channels: int, patch_size: int, width: int, *, rng: np.random.Generator
    ):
        if size % patch_size:
            raise ValueError(f"Patches: {size} pixels do not split into patches of {patch_size}")
        self.shape, self.patch_size = (size, size, channels), patch_size
        self.input = Linear(channels * patch_size**2, width, rng=rng)
        self.positions = Parameter(grid_positions(size // patch_size, width))

    def forward(self, x: Any) -> Tensor:
        if x.ndim != 4 or x.shape[1:] != self.shape:
            size, _, C = self.shape
            raise ValueError(f"Patches: x is {tuple(x.shape)}, expected (N, {size}, {size}, {C})")
        squares = space_to_depth(x, self.patch_size)  # (N, H/P, W/P, P P C)
        N, H, W, C = squares.shape
        return self.input(squares.reshape(N, H * W, C)) + self.positions


class Unpatch(Module):
    """Tokens back to a picture: a last adaptive norm, a linear layer, each token a square.

    The linear layer starts at 0.

    Shapes: tokens (N, (size / P)^2, width), embedding (N, embedding_width) -> (N, size, size,
    channels).
    Source: Peebles and Xie, 2023, section 3.2, arXiv 2212.09748.
    """

    def __init__(
        self,
        size: int,
        channels: int,
        patch_size: int,
        width: int,
        embedding_width: int,
        *,
        rng: np.random.Generator,
    ):
        self.side, self.patch_size = size // patch_size, patch_size
        self.norm = AdaLN(width, embedding_width, eps=1e-6, rng=rng)
        self.output = zeroed(Linear(width, channels * patch_size**2, rng=rng))

    def forward(self, tokens: Any, embedding: Any) -> Tensor:
        squares = self.output(self.norm(tokens, embedding))  # (N, L, P P C)
        squares = squares.reshape(len(squares), self.side, self.side, -1)
        return pixel_shuffle(squares, self.patch_size)

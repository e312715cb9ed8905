"""A Transformer over the words of a caption: what every text-to-image model reads with."""

import numpy as np

from minigen.autograd import Tensor
from minigen.nn.embedding import Embedding
from minigen.nn.module import Module, ModuleList
from minigen.nn.norm import LayerNorm
from minigen.nn.transformer import TransformerBlock


class TextTransformer(Module):
    """Words, numbered, to one vector each, which knows of the others.

        h = word[w_l] + position[l]
        h = blocks(h)                   is_causal: a word sees those before it only
        c = norm(h)

    Word 0 is the end of a caption and its padding; a caption of nothing else is "no prompt". It is
    a word like any other: where a caption ends says something too.

    Shapes: words (N, L) integers, L <= length -> (N, L, width).
    Raises: ValueError for more words than `length`.
    Source: Vaswani et al., 2017, arXiv 1706.03762, with learned positions and pre-norm blocks.
    """

    def __init__(
        self,
        vocabulary: int,
        length: int,
        width: int,
        layers: int,
        heads: int,
        *,
        rng: np.random.Generator,
    ):
        self.length = length
        self.word = Embedding(vocabulary, width, rng=rng)
        self.position = Embedding(length, width, rng=rng)
        self.blocks = ModuleList([TransformerBlock(width, heads, rng=rng) for _ in range(layers)])
        self.norm = LayerNorm(width)

    def forward(self, words: np.ndarray, is_causal: bool = False) -> Tensor:
        if words.ndim != 2 or words.shape[1] > self.length:
            raise ValueError(
                f"TextTransformer: words are {words.shape}, expected (N, up to {self.length})"
            )
        h = self.word(words) + self.position(np.arange(words.shape[1]))  # (N, L, D)
        for block in self.blocks:
            h = block(h, is_causal=is_causal)
        return self.norm(h)

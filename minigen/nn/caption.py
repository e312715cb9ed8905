"""A caption in two views: a vector for each word, and one for all of it."""

import numpy as np

from minigen.autograd import Tensor
from minigen.nn.linear import Linear
from minigen.nn.text import TextTransformer
from minigen.ops import silu


class CaptionEncoder(TextTransformer):
    """Words to vectors for attention, and to one vector that joins the time.

        c = TextTransformer(words)
        h = silu(W [c_1 ... c_L])         which word stands where
        e = W_e h

    The vector is no mean over the words, which could hardly tell "a above b" from "b above a": see
    docs/derivations/text_to_image.md.

    Shapes: words (N, L) integers, L = length -> c (N, L, width), e (N, embedding_width).
    Raises: ValueError for captions of another length.
    """

    def __init__(
        self,
        vocabulary: int,
        length: int,
        width: int,
        layers: int,
        heads: int,
        embedding_width: int,
        *,
        rng: np.random.Generator,
    ):
        super().__init__(vocabulary, length, width, layers, heads, rng=rng)
        self.whole = Linear(length * width, 2 * embedding_width, rng=rng)
        self.caption = Linear(2 * embedding_width, embedding_width, rng=rng)

    def forward(self, words: np.ndarray) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        tokens, h = self.views(words)
        return tokens, self.caption(h)

    def views(self, words: np.ndarray) -> tuple[Tensor, Tensor]:
        """c (N, L, width) and h (N, 2 embedding_width)."""
        if words.ndim != 2 or words.shape[1] != self.length:
            raise ValueError(
                f"CaptionEncoder: words are {words.shape}, expected (N, {self.length})"
            )
        tokens = super().forward(words)  # (N, L, D)
        return tokens, silu(self.whole(tokens.reshape(len(words), -1)))

"""The Transformer block, for text and for the attention levels of a U-Net."""

from typing import Any

import numpy as np

from minigen.autograd import Tensor
from minigen.nn.attention import MultiHeadAttention
from minigen.nn.dropout import Dropout
from minigen.nn.init import zeroed
from minigen.nn.linear import Linear
from minigen.nn.module import Module
from minigen.nn.norm import LayerNorm
from minigen.ops import gelu


class FeedForward(Module):
    """Linear, gelu, Linear: each position by itself.

    Shapes: (..., width) -> (..., width), mlp_ratio * width in between.
    Source: Vaswani et al., 2017, section 3.3, arXiv 1706.03762; gelu (tanh form) as in GPT-2.
    """

    def __init__(self, width: int, mlp_ratio: float = 4, *, rng: np.random.Generator):
        hidden = int(width * mlp_ratio)
        self.inner = Linear(width, hidden, rng=rng)
        self.outer = Linear(hidden, width, rng=rng)

    def forward(self, x: Any) -> Tensor:
        return self.outer(gelu(self.inner(x), approximate="tanh"))


class TransformerBlock(Module):
    """Residual branches with the norm inside ("pre-norm"), those that the settings ask for:

        x = x + attention(norm(x))              self_attention
        x = x + cross(norm(x), context)         context_width
        x = x + feed_forward(norm(x))           mlp_ratio > 0

    Every branch ends in a layer that starts at 0, so the block starts as the identity.

    Shapes: x (N, L, width), context (N, S, context_width) -> (N, L, width). Masks as in
    MultiHeadAttention.
    Raises: ValueError for a context where none is read, or none where it is.
    Source: Xiong et al., 2020, figure 1b, arXiv 2002.04745.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        mlp_ratio: float = 4,
        context_width: int | None = None,
        self_attention: bool = True,
        dropout: float = 0.0,
        *,
        rng: np.random.Generator,
    ):
        self.attention = self.cross = self.feed_forward = None
        if self_attention:
            self.attention_norm = LayerNorm(width)
            self.attention = MultiHeadAttention(width, heads, rng=rng)
            zeroed(self.attention.out)
        if context_width:
            self.cross_norm = LayerNorm(width)
            self.cross = MultiHeadAttention(width, heads, context_width, rng=rng)
            zeroed(self.cross.out)
        if mlp_ratio:
            self.feed_forward_norm = LayerNorm(width)
            self.feed_forward = FeedForward(width, mlp_ratio, rng=rng)
            zeroed(self.feed_forward.outer)
        self.dropout = Dropout(dropout, rng=rng)

    def forward(
        self,
        x: Any,
        context: Any = None,
        mask: Any = None,
        context_mask: Any = None,
        is_causal: bool = False,
    ) -> Tensor:
        if (context is None) != (self.cross is None):
            raise ValueError(
                "TransformerBlock: "
                + (
                    "got no context but reads one"
                    if context is None
                    else "got a context, reads none"
                )
            )
        if self.attention is not None:
            h = self.attention(self.attention_norm(x), mask=mask, is_causal=is_causal)
            x = x + self.dropout(h)
        if self.cross is not None:
            x = x + self.dropout(self.cross(self.cross_norm(x), context, context_mask))
        if self.feed_forward is not None:
            x = x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))
        return x

"""Multi-head attention: one module for looking at oneself and at a context."""

from typing import Any

import numpy as np

from minigen.autograd import Tensor
from minigen.nn.linear import Linear
from minigen.nn.module import Module
from minigen.ops import scaled_dot_product_attention


class MultiHeadAttention(Module):
    """Each position of x reads a context, or x itself, in several ways at once.

        y = out(concat over heads of softmax(q k^T / sqrt(DH)) v)    q from x; k, v from the context

    x             (N, L, D) with D = width, DH = D / heads
    context       (N, S, context_width); None: x itself (self-attention)
    mask          bool, True = may be looked at: (N, S), the same for every query, or 4 axes that
                  broadcast to (N, A, L, S)
    is_causal     a position looks only at itself and those before

    Shapes: -> (N, L, D).
    Raises: ValueError where heads do not divide width, or a mask has another number of axes.
    Source: Vaswani et al., 2017, section 3.2.2, arXiv 1706.03762.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        context_width: int | None = None,
        bias: bool = True,
        *,
        rng: np.random.Generator,
    ):
        if width % heads:
            raise ValueError(f"MultiHeadAttention: width {width} does not split into {heads} heads")
        self.heads = heads
        context_width = context_width or width
        self.query = Linear(width, width, bias, rng=rng)
        self.key = Linear(context_width, width, bias, rng=rng)
        self.value = Linear(context_width, width, bias, rng=rng)
        self.out = Linear(width, width, rng=rng)

    def forward(
        self, x: Any, context: Any = None, mask: Any = None, is_causal: bool = False
    ) -> Tensor:
        context = x if context is None else context
        q, k, v = (self._split(y) for y in (self.query(x), self.key(context), self.value(context)))
        y = scaled_dot_product_attention(q, k, v, mask=_four_axes(mask), is_causal=is_causal)
        return self.out(y.transpose(0, 2, 1, 3).reshape(x.shape))  # (N, A, L, DH) -> (N, L, D)

    def _split(self, x: Tensor) -> Tensor:
        N, L, D = x.shape
        return x.reshape(N, L, self.heads, D // self.heads).transpose(0, 2, 1, 3)  # (N, A, L, DH)


def _four_axes(mask: Any) -> Any:
    """(N, S) -> (N, 1, 1, S)."""
    if mask is None or mask.ndim == 4:
        return mask
    if mask.ndim != 2:
        raise ValueError(
            f"MultiHeadAttention: the mask is (N, S) or has 4 axes, got the shape {mask.shape}"
        )
    return mask[:, None, None, :]

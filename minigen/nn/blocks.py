"""Blocks of convolutional networks that an embedding modulates: AdaLN and ResBlock."""

from typing import Any

import numpy as np

from minigen.autograd import Tensor
from minigen.nn.conv import Conv2d
from minigen.nn.dropout import Dropout
from minigen.nn.init import zeroed
from minigen.nn.linear import Linear
from minigen.nn.module import Module
from minigen.nn.norm import GroupNorm
from minigen.ops import group_norm, group_norm_silu, group_norm_silu_conv2d, layer_norm


class AdaLN(Module):
    """An adaptive norm: y = norm(x) * (1 + scale) + shift.

    Scale and shift are linear in an embedding, and 0 at the start.

    With `num_groups` the norm is the group norm of a picture (AdaGN), without it the layer norm
    over the last axis. With `silu`, which is for groups, that function follows in the same op.

    Shapes: x (N, ..., width), embedding (N, embedding_width) -> as x.
    Source: Peebles and Xie, 2023, section 3.2, arXiv 2212.09748; with groups Dhariwal and Nichol,
    2021, section 3, arXiv 2105.05233.
    """

    def __init__(
        self,
        width: int,
        embedding_width: int,
        num_groups: int | None = None,
        eps: float = 1e-5,
        silu: bool = False,
        *,
        rng: np.random.Generator,
    ):
        if silu and num_groups is None:
            raise ValueError("AdaLN: silu follows a group norm only, and num_groups is None")
        self.num_groups, self.eps, self.silu = num_groups, eps, silu
        self.scale = zeroed(Linear(embedding_width, width, rng=rng))
        self.shift = zeroed(Linear(embedding_width, width, rng=rng))

    def forward(self, x: Any, embedding: Any) -> Tensor:
        scale, shift = self.affine(embedding)  # (N, width)
        if self.num_groups is None:
            rows = (x.shape[0], *(1,) * (x.ndim - 2), x.shape[-1])  # (N, 1, width) of tokens
            return layer_norm(x, eps=self.eps) * scale.reshape(rows) + shift.reshape(rows)
        norm = group_norm_silu if self.silu else group_norm
        return norm(x, self.num_groups, scale, shift, eps=self.eps)

    def affine(self, embedding: Any) -> tuple[Tensor, Tensor]:
        """1 + scale, and shift: (N, width)."""
        return self.scale(embedding) + 1.0, self.shift(embedding)


class ResBlock(Module):
    """Two 3x3 convolutions and a shortcut.

        y = skip(x) + conv2(silu(AdaGN(conv1(silu(norm(x))), embedding)))

    The second convolution starts at 0, so the block starts as its skip: the identity, or a 1x1
    convolution where the number of channels changes.

    Shapes: x (N, H, W, in_channels), embedding (N, embedding_width) -> (N, H, W, out_channels).
    `embedding_width` None: a plain norm stands in the place of AdaGN. The embedding comes already
    through its own silu, once for all blocks.
    Source: Dhariwal and Nichol, 2021, section 3, arXiv 2105.05233.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        embedding_width: int | None = None,
        num_groups: int = 8,
        dropout: float = 0.0,
        *,
        rng: np.random.Generator,
    ):
        self.norm1 = GroupNorm(num_groups, in_channels, silu=True)
        self.conv1 = Conv2d(in_channels, out_channels, 3, padding=1, bias=False, rng=rng)
        self.norm2: Module
        if embedding_width is None:
            self.norm2 = GroupNorm(num_groups, out_channels, silu=True)
        else:
            self.norm2 = AdaLN(out_channels, embedding_width, num_groups, silu=True, rng=rng)
        self.dropout = Dropout(dropout, rng=rng)
        self.conv2 = zeroed(Conv2d(out_channels, out_channels, 3, padding=1, rng=rng))
        self.skip = (
            Linear(in_channels, out_channels, rng=rng) if in_channels != out_channels else None
        )

    def forward(self, x: Any, embedding: Any = None) -> Tensor:
        if (embedding is None) != isinstance(self.norm2, GroupNorm):
            raise ValueError(
                "ResBlock: an embedding is needed exactly where embedding_width was given"
            )
        given = () if embedding is None else (embedding,)
        h = _normed_conv(self.norm1, self.conv1, x)
        if self.dropout.training and self.dropout.p > 0:
            h = self.conv2(self.dropout(self.norm2(h, *given)))
        else:
            h = _normed_conv(self.norm2, self.conv2, h, *given)
        return (x if self.skip is None else self.skip(x)) + h


def _normed_conv(norm: Any, conv: Conv2d, x: Any, *embedding: Any) -> Tensor:
    """conv(norm(x)), the norm with its silu, as one op: its kernels do both at once."""
    weight, bias = norm.affine(*embedding) if embedding else (norm.weight, norm.bias)
    y = group_norm_silu_conv2d(x, norm.num_groups, weight, bias, conv.weight, norm.eps)
    return y if conv.bias is None else y + conv.bias

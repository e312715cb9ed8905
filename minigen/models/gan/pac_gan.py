"""PacGAN: a discriminator that sees several at once notices when they are all alike.

Lin, Khetan, Fanti, Oh, PacGAN: The power of two samples in generative adversarial networks, 2017,
arXiv 1712.04086.

The idea: a G that makes only shoes deceives a D that sees one picture at a time, as shoes are real.
Shown m pictures together, all real or all made, D sees that m shoes in a row are rare. Nothing else
is changed: m pictures are laid on top of each other as the channels of one, and losses, G and the
layers of D but for the first stay as they are.

    D(x_1, ..., x_m),   x_i all real or all of G, independently                 section 2, figure 1

In theory D then compares p^m with q^m, the distributions of m draws, whose total variation distance
grows fastest with m where q lacks modes of p (theorem 3).

Shapes: x (N, ..., C) -> (N / m, ..., m C); logits (N / m,).

Differs from the paper in: the batch keeps its size N, so D gives N / m answers; the paper draws m
batches and has N answers.

Recipes: minigen/recipes/toy_gan.py and picture_gan.py, option --pack.
Derivation: docs/derivations/gan.md.
"""

from typing import Any

from minigen import nn
from minigen.autograd import Tensor


class Packed(nn.Module):
    """A discriminator of `pack` C channels, for pictures of C channels.

    Shapes: x (N, ..., C) -> (N / pack,).
    Raises: ValueError where `pack` does not divide N.
    """

    def __init__(self, D: nn.Module, pack: int):
        self.D, self.pack = D, pack

    def forward(self, x: Any) -> Tensor:
        return self.D(packed(x, self.pack))


def packed(x: Any, pack: int) -> Any:
    """Rows `pack` by `pack` laid on top of each other: the first C channels are those of the first.

    Shapes: (N, ..., C) -> (N / pack, ..., pack C); a Tensor or an array.
    Raises: ValueError where `pack` does not divide N.
    """
    N, *between, C = x.shape
    if pack < 1 or N % pack:
        raise ValueError(f"pac_gan: {N} pictures do not make packs of {pack}")
    x = x.reshape(N // pack, pack, *between, C)
    x = x.transpose(0, *range(2, x.ndim - 1), 1, x.ndim - 1)  # (N / pack, ..., pack, C)
    return x.reshape(N // pack, *between, pack * C)

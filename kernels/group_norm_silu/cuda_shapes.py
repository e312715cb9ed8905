"""What the CUDA rungs of group_norm_silu and group_norm ask of their arrays."""

from typing import Any, NamedTuple

from minigen.kernels.elements import THREADS, vector_of
from minigen.kernels.launch import blocks, contiguous, only_cuda


def supports(x, weight, bias, *, num_groups, eps):
    if reason := only_cuda(x, weight, bias):
        return reason
    if x.size == 0 or x.ndim < 2 or x.shape[-1] % num_groups:
        return "the shapes do not fit"
    if x.size // x.shape[0] > 2**30:
        return "an image has more than 2^30 numbers"
    fits = ((x.shape[-1],), (x.shape[0], x.shape[-1]))
    return None if weight.shape in fits and bias.shape in fits else "the shapes do not fit"


class Norm(NamedTuple):
    """The arrays as the kernels take them."""

    x: Any  # (N, P, C)
    weight: Any  # (C,) or (N, C)
    bias: Any
    sizes: tuple[int, ...]  # P, C, groups, numbers between the images' rows of weight, and of bias

    @classmethod
    def of(cls, x, weight, bias, num_groups):
        N, C = x.shape[0], x.shape[-1]
        steps = [C if a.ndim == 2 else 0 for a in (weight, bias)]
        x = contiguous(x).reshape(N, -1, C)
        return cls(
            x, contiguous(weight), contiguous(bias), (x.shape[1], C, int(num_groups), *steps)
        )

    def vector(self, *others):
        """How many channels a thread reads at once."""
        return vector_of(self.sizes[1], self.x, *others)

    def block(self, vector):
        """(columns, rows) of threads, at most 32 columns; they share out what C has evenly."""
        wanted = self.sizes[1] // vector
        columns = blocks(wanted, blocks(wanted, 32))
        return columns, THREADS // columns

    def of_affine(self, sums, needs):
        """(gweight, gbias) from the sums over pixels, sums (2, N, C); None where not needed."""
        pairs = zip((self.weight, self.bias), (sums[1], sums[0]), needs[1:])
        return [(s if a.ndim == 2 else s.sum(0)) if need else None for a, s, need in pairs]

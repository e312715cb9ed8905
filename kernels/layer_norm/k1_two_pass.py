"""layer_norm, a warp for each row.

New since the reference: one launch; the 32 lanes of a warp add up a row by shuffles, without shared
memory and without a barrier.
Prediction: x comes three times, but a row is short, and the second and third time it is in the
cache: near the speed of memory. On the way back the sums over the rows have C / 32 blocks, which is
far too few: that is the slow part.
Measured: not yet on a GPU.

Shapes: x (..., C), weight and bias (C,) -> (..., C), float32, every size.
Launch: blocks of 8 warps, a row each; for the gradients of weight and bias blocks of 32 columns.
Source: Ba, Kiros and Hinton, 2016, arXiv 1607.06450; the gradient as in minigen/ops/norm.py.
Teaches: the warp, and shuffles.
"""

from minigen.kernels.launch import CudaFile, blocks, contiguous, empty
from minigen.kernels.layer_norm.cuda_shapes import WARPS, supports

__all__ = ["launch", "supports"]

kernels = CudaFile(__file__)
BLOCK = (32, WARPS)


def launch(x, weight, bias, *, eps):
    C = x.shape[-1]
    rows, weight, bias = contiguous(x).reshape(-1, C), contiguous(weight), contiguous(bias)
    R = len(rows)
    y, stats, grid = empty(x.shape, x), empty((2, R), x), (blocks(R, WARPS),)
    kernels.launch("forward", grid, BLOCK, rows, weight, bias, y, stats, R, C, eps)

    def backward(g, needs):
        g, gx, affine = contiguous(g), None, [None, None]
        if needs[0]:
            gx = empty(x.shape, x)
            kernels.launch("backward", grid, BLOCK, g, rows, weight, stats, gx, R, C)
        if needs[1] or needs[2]:
            affine = empty((2, C), x)
            of_columns = (blocks(C, 32),)
            kernels.launch("backward_affine", of_columns, BLOCK, g, rows, stats, affine, R, C)
        return gx, *(a if need else None for a, need in zip(affine, needs[1:]))

    return y, backward

"""layer_norm, a row in the registers of a warp.

New since k1: a lane keeps its numbers of the row, so x is read once, four numbers at once; and the
way back is one pass for all three gradients: a warp takes many rows and adds up its share of
gweight and gbias on the way. The blocks' shares are added at the end, in the order of the blocks.
Prediction: the speed of memory, a read and a write there, two reads and a write back.
Measured: not yet on a GPU.

Shapes: x (..., C), weight and bias (C,) -> (..., C), float32; C to 1024.
Launch: blocks of 8 warps; on the way back 256 blocks at most, whatever the GPU, so that the order
of the sums is the same on all.
Source: Ba, Kiros and Hinton, 2016, arXiv 1607.06450; the gradient as in minigen/ops/norm.py.
Teaches: registers as the fastest memory, for arrays whose indices the compiler knows.
"""

from minigen.kernels.elements import vector_of
from minigen.kernels.launch import CudaFile, blocks, contiguous, empty
from minigen.kernels.layer_norm import cuda_shapes
from minigen.kernels.layer_norm.cuda_shapes import WARPS

kernels = CudaFile(__file__)
BLOCK = (32, WARPS)
BLOCKS = 256  # on the way back, at most


def supports(x, weight, bias, *, eps):
    if reason := cuda_shapes.supports(x, weight, bias, eps=eps):
        return reason
    C = x.shape[-1]
    return None if C <= 1024 else f"registers have room for rows of 1024 numbers, x has {C}"


def launch(x, weight, bias, *, eps):
    C = x.shape[-1]
    rows, weight, bias = contiguous(x).reshape(-1, C), contiguous(weight), contiguous(bias)
    R = len(rows)
    y, stats, grid = empty(x.shape, x), empty((2, R), x), blocks(R, WARPS)
    packs = _packs(rows, weight, bias)
    kernels.launch("forward", (grid,), BLOCK, rows, weight, bias, y, stats, R, C, eps, **packs)

    def backward(g, needs):
        g, gx = contiguous(g), empty(x.shape, x) if needs[0] else None
        partial = empty((min(grid, BLOCKS), 2, C), x)
        given, packs = (g, rows, weight, stats, gx, partial, R, C), _packs(rows, weight, g)
        kernels.launch("backward", (len(partial),), BLOCK, *given, **packs)
        affine = partial.sum(0) if needs[1] or needs[2] else (None, None)
        return gx, *(a if need else None for a, need in zip(affine, needs[1:]))

    return y, backward


def _packs(rows, *others):
    """VECTOR, and how many packs of so many numbers a lane has of a row."""
    C = rows.shape[1]
    vector = vector_of(C, rows, *others)
    return {"VECTOR": vector, "PACKS": blocks(C, 32 * vector)}

"""max_pool2d and its gradient, a thread for each number of the result.

New: as avg_pool2d/k1_elementwise.py. The way there keeps which place of a window won, so that the
way back need not look for it.
Prediction: as there; the winners are as many bytes more as the result.
Measured: not yet on a GPU.

Shapes: x (N, H, W, C) -> (N, OH, OW, C), float32, every size. A NaN wins, and its window's gradient
goes nowhere. Error: none (tests/kernels/test_cuda_resample.py).
Launch: as there.
Source: none.
Teaches: the same as there, with a condition.
"""

import numpy as np

from minigen.kernels.avg_pool2d.k1_elementwise import over_pictures, pair, pooled, supports
from minigen.kernels.launch import CudaFile, contiguous, empty

__all__ = ["launch", "supports"]

kernels = CudaFile(__file__)


def launch(x, *, kernel_size, stride, padding):
    steps = (*pair(kernel_size), *pair(stride), *pair(padding))
    x, y, winner = contiguous(x), pooled(x, steps), pooled(x, steps, np.int32)
    sizes = (*x.shape[1:], *y.shape[1:3], *steps)
    over_pictures(kernels, "largest", y, x, y, winner, *sizes)

    def backward(g, needs):
        gx = empty(x.shape, x)
        over_pictures(kernels, "to_winner", gx, contiguous(g), winner, gx, *sizes)
        return (gx,)

    return y, backward

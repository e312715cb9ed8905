"""silu, four numbers a thread.

New since the reference: one kernel for the whole formula, forward and backward, in the place of one
for each operation; a thread reads four numbers in one instruction.
Prediction: the speed of memory, a read and a write of each number: there is nothing else to gain
but to have no kernel at all, as group_norm_silu shows.
Measured: not yet on a GPU.

Shapes: every one, float32; arrays whose address is no multiple of 16 a number at a time.
Launch: as many blocks of 256 threads as there are packs of four for, 2048 at most.
Source: Elfwing et al., 2017, arXiv 1702.03118, eq. 5.
Teaches: the loop whose step is the size of the grid, and the memory-bound kernel.
"""

from minigen.kernels.elements import elementwise
from minigen.kernels.launch import CudaFile, only_cuda

kernels = CudaFile(__file__)


def supports(x):
    return only_cuda(x)


def launch(x):
    return elementwise(kernels, "forward", x), lambda g, needs: (gradient(g, x),)


def gradient(g, x):
    """g * silu'(x)."""
    return elementwise(kernels, "backward", g, x)

"""linear by tiles that a block shares, with the bias in the same kernel.

New since matmul/k3_shared_tile: the bias is added to the sum while that is in a register. A kernel
of its own would read all of y and write it again.
Prediction: as fast as the product alone; the composition of two takes longer by what it moves, 8
bytes for each number of y.
Measured: not yet on a GPU.

Shapes: x (..., K), w (K, M), b (M,) -> (..., M), float32.
Launch: blocks of 16 x 16 numbers of y. 2 KB of shared memory.
Source: as matmul/k3_shared_tile.
Teaches: what is fused into a product's end costs nothing.
"""

from minigen.kernels.launch import CudaFile, blocks, contiguous, empty
from minigen.kernels.linear.shapes import as_rows, backward_by, supports
from minigen.kernels.matmul import k3_shared_tile

__all__ = ["launch", "supports"]

kernels = CudaFile(__file__)


def launch(x, w, b):
    rows, y = contiguous(as_rows(x)), empty((*x.shape[:-1], w.shape[1]), x)
    (N, K), M = rows.shape, w.shape[1]
    grid = blocks(N, 16), blocks(M, 16)
    kernels.launch("linear", grid, (16, 16), rows, contiguous(w), contiguous(b), y, N, K, M)
    return y, backward_by(lambda a, b: k3_shared_tile.launch(a, b)[0], x, w)

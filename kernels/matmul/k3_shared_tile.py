"""matmul by tiles that a block shares.

New since k2: a block brings a 16 x 16 tile of a and one of b into shared memory; each number that
was fetched is used by 16 threads.
Prediction: 16 times fewer bytes from memory; then the reads of shared memory are the limit, two for
each multiplication.
Measured: not yet on a GPU.

Shapes: a (..., M, K), b (K, N) or (..., K, N) -> (..., M, N), float32; leading axes broadcast.
Launch: blocks of 16 x 16 numbers of y; z counts the products. 2 KB of shared memory.
Source: CUDA C++ Programming Guide, section 3.2.4.
Teaches: shared memory, and why a tile needs two barriers.
"""

from minigen.kernels.launch import CudaFile
from minigen.kernels.matmul.shapes import multiply, supports

__all__ = ["launch", "supports"]

kernels = CudaFile(__file__)


def launch(a, b):
    return multiply(kernels, a, b, tile=(16, 16), block=(16, 16)), None

"""matmul, neighbours in a warp for neighbours in memory.

New since k1: one letter. The threads of a warp differ in the column, not in the row: they read one
number of a, and 32 neighbours of b; and what they write are neighbours.
Prediction: several times faster than k1 for one line changed: one or two pieces of memory for each
instruction instead of 32.
Measured: not yet on a GPU.

Shapes: a (..., M, K), b (K, N) or (..., K, N) -> (..., M, N), float32; leading axes broadcast.
Launch: blocks of 8 x 32 numbers of y, a warp for each row; z counts the products.
Source: CUDA C++ Best Practices Guide, section 9.2.1.
Teaches: coalescing. Memory comes in pieces of 32 bytes, and a warp asks for all of its at once.
"""

from minigen.kernels.launch import CudaFile
from minigen.kernels.matmul.shapes import multiply, supports

__all__ = ["launch", "supports"]

kernels = CudaFile(__file__)


def launch(a, b):
    return multiply(kernels, a, b, tile=(8, 32), block=(32, 8)), None

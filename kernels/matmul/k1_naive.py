"""matmul, a thread for each number of the result.

New: nothing yet; the formula as it stands, one thread for each y[m, n].
Prediction: far from the arithmetic's limit, each multiplication fetches two numbers. And the
threads of a warp differ in the row, so they read a in strides of K and write y in strides of N: 32
pieces of memory where one would do.
Measured: not yet on a GPU.

Shapes: a (..., M, K), b (K, N) or (..., K, N) -> (..., M, N), float32; leading axes broadcast.
Launch: blocks of 16 x 16 numbers of y; z counts the products.
Source: CUDA C++ Programming Guide, section 3.2.4, the version without shared memory.
Teaches: threadIdx, blockIdx, and the bounds check at the edge.
"""

from minigen.kernels.launch import CudaFile
from minigen.kernels.matmul.shapes import multiply, supports

__all__ = ["launch", "supports"]

kernels = CudaFile(__file__)


def launch(a, b):
    return multiply(kernels, a, b, tile=(16, 16), block=(16, 16)), None

"""matmul, 4 x 4 numbers of the result for each thread.

New since k3: a block of 256 threads makes 64 x 64 numbers, each thread 16 of them in registers. For
each k it reads 8 numbers of shared memory for 16 multiplications, where k3 reads 32.
Prediction: 4 times fewer reads of shared memory for the same arithmetic, and 4 times fewer of
memory: the tile is 4 times as wide.
Measured: not yet on a GPU.

Shapes: a (..., M, K), b (K, N) or (..., K, N) -> (..., M, N), float32; leading axes broadcast.
Launch: blocks of 16 x 16 threads for 64 x 64 numbers of y; z counts the products. 8 KB of shared
memory.
Source: Volkov, Better Performance at Lower Occupancy, GTC 2010: more work for fewer threads.
Teaches: registers are the fastest memory, and an outer product uses each number many times.
"""

from minigen.kernels.launch import CudaFile
from minigen.kernels.matmul.shapes import multiply, supports

__all__ = ["launch", "supports"]

kernels = CudaFile(__file__)


def launch(a, b):
    return multiply(kernels, a, b, tile=(64, 64), block=(16, 16)), None

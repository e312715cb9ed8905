"""matmul by tiles that a block shares.

New since k2: a block brings a 16 x 16 tile of a and one of b into shared memory; each number that
was fetched is used by 16 threads.
Prediction: 16 times fewer bytes from memory; then the reads of shared memory are the limit, two for
each multiplication.
Measured: not yet on a GPU.

Shapes: a (..., M, K), b (K, N) or (..., K, N) -> (..., M, N), float32, every size.
Launch: blocks of 16 x 16 numbers of y; z counts the products. 2 KB of shared memory.
Source: CUDA C++ Programming Guide, section 3.2.4.
Teaches: shared memory, and why a tile needs two barriers.
"""

from minigen.kernels.launch import CudaFile, blocks
from minigen.kernels.matmul.shapes import as_products, supports

__all__ = ["launch", "supports"]

kernels = CudaFile(__file__)


def launch(a, b):
    a, b, y, result = as_products(a, b)
    (B, M, K), N = a.shape, b.shape[2]
    kernels.launch("matmul", (blocks(N, 16), blocks(M, 16), B), (16, 16), a, b, y, M, N, K)
    return result, None

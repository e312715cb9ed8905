"""matmul in Numba CUDA by tiles that a block shares.

The kernel of k3_shared_tile.cu, in Python. New since numba_naive: cuda.shared.array, one for each
source line, whose shape must be a constant; cuda.syncthreads.

Prediction: as k3_shared_tile.
Measured: not yet on a GPU.

Shapes: a (..., M, K), b (K, N) or (..., K, N) -> (..., M, N), float32, every size.
Launch: blocks of 16 x 16 numbers of y; z counts the products. 2 KB of shared memory.
Source: Numba documentation, CUDA, "Matrix multiplication".
Teaches: shared memory, and why a tile needs two barriers.
"""

import math

from numba import cuda, float32

from minigen.kernels.launch import blocks
from minigen.kernels.matmul.shapes import as_products
from minigen.kernels.matmul.shapes import supports as supports_shapes
from minigen.kernels.simulator import start, supports_arrays

TILE = 16


def supports(a, b):
    if reason := supports_arrays(a, b) or supports_shapes(a, b):
        return reason
    rows = math.prod(a.shape[:-1] if b.ndim == 2 else (*b.shape[:-2], a.shape[-2]))
    return "there are more rows than a grid has blocks for" if rows > 65535 else None


def launch(a, b):
    a, b, y, result = as_products(a, b)
    B, M, N = y.shape
    start(matmul, (blocks(N, TILE), blocks(M, TILE), B), (TILE, TILE), a, b, y)
    return result, None


@cuda.jit
def matmul(a, b, y):
    a_tile = cuda.shared.array((TILE, TILE), float32)
    b_tile = cuda.shared.array((TILE, TILE), float32)
    tx, ty = cuda.threadIdx.x, cuda.threadIdx.y
    column, row, n = cuda.grid(3)  # neighbours in a warp: neighbours in memory
    M, N, K = y.shape[1], y.shape[2], a.shape[2]
    total = float32(0)
    for k0 in range(0, K, TILE):
        a_tile[ty, tx] = 0
        b_tile[ty, tx] = 0
        if row < M and k0 + tx < K:
            a_tile[ty, tx] = a[n, row, k0 + tx]
        if column < N and k0 + ty < K:
            b_tile[ty, tx] = b[n, k0 + ty, column]
        cuda.syncthreads()  # the tiles are whole
        for k in range(TILE):
            total += a_tile[ty, k] * b_tile[k, tx]
        cuda.syncthreads()  # nobody reads them any more
    if row < M and column < N:
        y[n, row, column] = total

"""a (M, K), b (K, N) -> (M, N): a thread for each number of y."""

import numpy as np
from numba import cuda, float32

TILE = 16


@cuda.jit
def kernel(a, b, y):
    column, row = cuda.grid(2)
    if row < y.shape[0] and column < y.shape[1]:
        total = float32(0)
        for k in range(a.shape[1]):
            total += a[row, k] * b[k, column]
        y[row, column] = total


def matmul(a, b):
    M, N = a.shape[0], b.shape[1]
    y = cuda.device_array((M, N), np.float32)
    grid = -(-N // TILE), -(-M // TILE)  # rounded up
    kernel[grid, (TILE, TILE)](cuda.to_device(a), cuda.to_device(b), y)
    return y.copy_to_host()

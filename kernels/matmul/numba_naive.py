"""matmul in Numba CUDA, a thread for each number of the result.

The kernel of k1_naive.cu, in Python: the same thread for the same number. Beside it: an index is
[row, k] and no sum of strides, the shape travels with the array, and what a name holds, float32 or
float64, Numba infers. `float32(0)` is why the sum is float32: 0.0 would be a double.

Prediction: as k1_naive; Numba's machine code comes from the same LLVM.
Measured: not yet on a GPU.

Shapes: a (..., M, K), b (K, N) or (..., K, N) -> (..., M, N), float32, every size.
Launch: blocks of 16 x 16 numbers of y; z counts the products.
Source: Numba documentation, CUDA, "Matrix multiplication".
Teaches: @cuda.jit, cuda.grid, kernel[grid, block](arguments).
"""

import math

from numba import cuda, float32

from minigen.kernels.launch import blocks
from minigen.kernels.matmul.shapes import as_products
from minigen.kernels.matmul.shapes import supports as supports_shapes
from minigen.kernels.simulator import start, supports_arrays


def supports(a, b):
    if reason := supports_arrays(a, b) or supports_shapes(a, b):
        return reason
    rows = math.prod(a.shape[:-1] if b.ndim == 2 else (*b.shape[:-2], a.shape[-2]))
    return "there are more rows than a grid has blocks for" if rows > 65535 else None


def launch(a, b):
    a, b, y, result = as_products(a, b)
    B, M, N = y.shape
    start(matmul, (blocks(M, 16), blocks(N, 16), B), (16, 16), a, b, y)
    return result, None


@cuda.jit
def matmul(a, b, y):
    row, column, n = cuda.grid(3)
    if row >= y.shape[1] or column >= y.shape[2]:
        return
    total = float32(0)
    for k in range(a.shape[2]):
        total += a[n, row, k] * b[n, k, column]
    y[n, row, column] = total

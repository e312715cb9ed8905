"""softmax in Numba CUDA: a block for each row, which folds it in shared memory.

New: threads that work together. Each walks over its share of the row; then half of them take in
what the other half found, then a quarter, and so on: a tree, with a barrier after each level.

Prediction: the row is read three times, twice of them from a cache; memory is the limit.
Measured: not yet on a GPU.

Shapes: any, the last axis is the one that sums to 1; float32, every size.
Launch: a block of 128 threads for each row. 512 bytes of shared memory.
Source: Harris, Optimizing parallel reduction in CUDA, 2007, its third kernel.
Teaches: a reduction, and why the maximum goes first.
"""

import math

from numba import cuda, float32

from minigen.kernels.launch import contiguous, empty
from minigen.kernels.simulator import start, supports_arrays

THREADS = 128


def supports(x, *, axis=-1):
    if reason := supports_arrays(x):
        return reason
    if axis not in (-1, x.ndim - 1):
        return "it takes the last axis"
    return None if x.size else "an axis is empty"


def launch(x, *, axis=-1):
    rows = contiguous(x).reshape(-1, x.shape[-1])
    y = empty(rows.shape, x)
    start(softmax, (len(rows),), (THREADS,), rows, y)
    return y.reshape(x.shape), None


@cuda.jit
def softmax(x, y):
    found = cuda.shared.array(THREADS, float32)
    row, t, S = cuda.blockIdx.x, cuda.threadIdx.x, x.shape[1]

    most = float32(-math.inf)
    for s in range(t, S, THREADS):
        most = max(most, x[row, s])
    found[t] = most
    cuda.syncthreads()
    half = THREADS // 2
    while half > 0:
        if t < half:
            found[t] = max(found[t], found[t + half])
        cuda.syncthreads()
        half //= 2
    most = found[0]
    cuda.syncthreads()  # all have read it before it is overwritten

    total = float32(0)
    for s in range(t, S, THREADS):
        total += math.exp(x[row, s] - most)
    found[t] = total
    cuda.syncthreads()
    half = THREADS // 2
    while half > 0:
        if t < half:
            found[t] += found[t + half]
        cuda.syncthreads()
        half //= 2
    for s in range(t, S, THREADS):
        y[row, s] = math.exp(x[row, s] - most) / found[0]

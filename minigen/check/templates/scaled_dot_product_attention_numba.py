"""q (B, L, DH), k and v (B, S, DH) -> (B, L, DH): a thread for each query, an online softmax."""

import math

import numpy as np
from numba import cuda, float32

THREADS = 32


@cuda.jit
def kernel(q, k, v, y):
    row, b = cuda.grid(2)
    if row >= q.shape[1]:
        return
    most, total = float32(-math.inf), float32(0)
    for d in range(y.shape[2]):
        y[b, row, d] = 0
    for s in range(k.shape[1]):
        score = float32(0)
        for d in range(q.shape[2]):
            score += q[b, row, d] * k[b, s, d]
        score /= math.sqrt(q.shape[2])
        shrink = math.exp(most - max(most, score))  # what is summed so far has been too large
        most = max(most, score)
        weight = math.exp(score - most)
        total = total * shrink + weight
        for d in range(y.shape[2]):
            y[b, row, d] = y[b, row, d] * shrink + weight * v[b, s, d]
    for d in range(y.shape[2]):
        y[b, row, d] /= total


def scaled_dot_product_attention(q, k, v):
    y = cuda.device_array(q.shape, np.float32)
    grid = -(-q.shape[1] // THREADS), q.shape[0]  # rounded up
    kernel[grid, THREADS](cuda.to_device(q), cuda.to_device(k), cuda.to_device(v), y)
    return y.copy_to_host()

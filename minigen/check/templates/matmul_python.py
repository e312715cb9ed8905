"""a (M, K), b (K, N) -> (M, N)."""

import numpy as np


def matmul(a, b):
    (M, K), N = a.shape, b.shape[1]
    y = np.zeros((M, N), np.float32)
    for m in range(M):
        for n in range(N):
            for k in range(K):
                y[m, n] += a[m, k] * b[k, n]
    return y

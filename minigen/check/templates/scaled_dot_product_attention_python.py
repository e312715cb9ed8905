"""q (B, L, DH), k and v (B, S, DH) -> (B, L, DH): softmax(q k^T / sqrt(DH)) v."""

import numpy as np


def scaled_dot_product_attention(q, k, v):
    y = np.empty(q.shape, np.float32)
    for b in range(q.shape[0]):
        for i in range(q.shape[1]):
            scores = k[b] @ q[b, i] / np.float32(q.shape[2] ** 0.5)
            weights = np.exp(scores - scores.max())
            y[b, i] = weights @ v[b] / weights.sum()
    return y

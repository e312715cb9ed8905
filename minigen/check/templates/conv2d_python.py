"""x (N, H, W, C), w (KH, KW, C, O) -> (N, OH, OW, O), channels last."""

import numpy as np


def conv2d(x, w, *, stride, padding):
    (N, H, W, _), (KH, KW, _, O) = x.shape, w.shape
    OH, OW = (H + 2 * padding - KH) // stride + 1, (W + 2 * padding - KW) // stride + 1
    y = np.zeros((N, OH, OW, O), np.float32)
    for p in range(OH):
        for q in range(OW):
            for i in range(KH):
                for j in range(KW):
                    h, v = p * stride + i - padding, q * stride + j - padding
                    if 0 <= h < H and 0 <= v < W:  # outside of the image x is 0
                        y[:, p, q] += x[:, h, v] @ w[i, j]
    return y

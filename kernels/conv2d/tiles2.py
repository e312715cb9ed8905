"""The transforms of F(2x2, 3x3) between pictures and tiles; the formulas: winograd.py.

As tiles4.py, with tiles of 2 x 2 outputs.
"""

import numpy as np

from minigen.kernels.jit import jit


@jit
def data(a, b, c, d):
    """B^T times a column of four."""
    return a - c, b + c, c - b, b - d


@jit
def data_transposed(a, b, c, d):
    """B times a column of four."""
    return a, b - c + d, b + c - a, -d


@jit
def output(a, b, c, d):
    """A^T times a column of four."""
    return a + b + c, b - c - d


@jit
def output_transposed(a, b):
    """A times a column of two."""
    return a, a + b, a - b, -b


@jit
def taps(a, b, c):
    """G times a column of three."""
    half = type(a)(0.5)
    p, q = half * (a + c), half * b
    return a, p + q, p - q, c


@jit
def taps_transposed(a, b, c, d):
    """G^T times a column of four."""
    half = type(a)(0.5)
    p, q = half * (b + c), half * (b - c)
    return a + p, q, p + d


@jit
def data_to_tiles(x, V):
    """V[4 i + j, tile] = (B^T x B)[i, j] for the tiles of x (n, 2 TH + 2, 2 TW + 2, C)."""
    n, H, W, C = x.shape
    half, row, t = np.empty((4, 4, C), x.dtype), np.empty((4, C), x.dtype), 0
    for k in range(n):
        for p in range(0, H - 2, 2):
            for q in range(0, W - 2, 2):
                for j in range(4):
                    for c in range(C):
                        half[0, j, c], half[1, j, c], half[2, j, c], half[3, j, c] = data(
                            x[k, p, q + j, c],
                            x[k, p + 1, q + j, c],
                            x[k, p + 2, q + j, c],
                            x[k, p + 3, q + j, c],
                        )
                for i in range(4):
                    for c in range(C):
                        row[0, c], row[1, c], row[2, c], row[3, c] = data(
                            half[i, 0, c], half[i, 1, c], half[i, 2, c], half[i, 3, c]
                        )
                    for j in range(4):
                        for c in range(C):
                            V[4 * i + j, t, c] = row[j, c]
                t += 1


@jit
def gradient_to_tiles(x, V):
    """M[4 i + j, tile] = (A g A^T)[i, j] for the tiles of g (n, 2 TH, 2 TW, O)."""
    n, H, W, C = x.shape
    half, row, t = np.empty((4, 2, C), x.dtype), np.empty((4, C), x.dtype), 0
    for k in range(n):
        for p in range(0, H, 2):
            for q in range(0, W, 2):
                for j in range(2):
                    for c in range(C):
                        (
                            half[0, j, c],
                            half[1, j, c],
                            half[2, j, c],
                            half[3, j, c],
                        ) = output_transposed(
                            x[k, p, q + j, c],
                            x[k, p + 1, q + j, c],
                        )
                for i in range(4):
                    for c in range(C):
                        row[0, c], row[1, c], row[2, c], row[3, c] = output_transposed(
                            half[i, 0, c], half[i, 1, c]
                        )
                    for j in range(4):
                        for c in range(C):
                            V[4 * i + j, t, c] = row[j, c]
                t += 1


@jit
def tiles_to_output(M, y):
    """y = A^T M A, tile beside tile: M (16, tiles, O) -> y (n, 2 TH, 2 TW, O)."""
    n, H, W, C = y.shape
    half, t = np.empty((2, 4, C), y.dtype), 0
    for k in range(n):
        for p in range(0, H, 2):
            for q in range(0, W, 2):
                for j in range(4):
                    for c in range(C):
                        half[0, j, c], half[1, j, c] = output(
                            M[j, t, c], M[4 + j, t, c], M[8 + j, t, c], M[12 + j, t, c]
                        )
                for i in range(2):
                    for c in range(C):
                        y[k, p + i, q, c], y[k, p + i, q + 1, c] = output(
                            half[i, 0, c], half[i, 1, c], half[i, 2, c], half[i, 3, c]
                        )
                t += 1


@jit
def tiles_to_data(V, x):
    """x += B V B^T, where the tiles overlap: V (16, tiles, C) -> x (n, 2 TH + 2, 2 TW + 2, C)."""
    n, H, W, C = x.shape
    half, row, t = np.empty((4, 4, C), x.dtype), np.empty((4, C), x.dtype), 0
    for k in range(n):
        for p in range(0, H - 2, 2):
            for q in range(0, W - 2, 2):
                for j in range(4):
                    for c in range(C):
                        (
                            half[0, j, c],
                            half[1, j, c],
                            half[2, j, c],
                            half[3, j, c],
                        ) = data_transposed(
                            V[j, t, c],
                            V[4 + j, t, c],
                            V[8 + j, t, c],
                            V[12 + j, t, c],
                        )
                for i in range(4):
                    for c in range(C):
                        row[0, c], row[1, c], row[2, c], row[3, c] = data_transposed(
                            half[i, 0, c], half[i, 1, c], half[i, 2, c], half[i, 3, c]
                        )
                    for j in range(4):
                        for c in range(C):
                            x[k, p + i, q + j, c] += row[j, c]
                t += 1


@jit
def filter_to_tiles(w, U):
    """U[4 i + j] = (G w G^T)[i, j]: w (3, 3, C, O) -> U (16, C, O)."""
    C, O = w.shape[2:]
    half, row = np.empty((4, 3, O), w.dtype), np.empty((4, O), w.dtype)
    for c in range(C):
        for j in range(3):
            for o in range(O):
                half[0, j, o], half[1, j, o], half[2, j, o], half[3, j, o] = taps(
                    w[0, j, c, o], w[1, j, c, o], w[2, j, c, o]
                )
        for i in range(4):
            for o in range(O):
                row[0, o], row[1, o], row[2, o], row[3, o] = taps(
                    half[i, 0, o], half[i, 1, o], half[i, 2, o]
                )
            for j in range(4):
                for o in range(O):
                    U[4 * i + j, c, o] = row[j, o]


@jit
def tiles_to_filter(U, w):
    """w = G^T U G: U (16, C, O) -> w (3, 3, C, O)."""
    C, O = w.shape[2:]
    half = np.empty((3, 4, O), w.dtype)
    for c in range(C):
        for j in range(4):
            for o in range(O):
                half[0, j, o], half[1, j, o], half[2, j, o] = taps_transposed(
                    U[j, c, o], U[4 + j, c, o], U[8 + j, c, o], U[12 + j, c, o]
                )
        for i in range(3):
            for o in range(O):
                w[i, 0, c, o], w[i, 1, c, o], w[i, 2, c, o] = taps_transposed(
                    half[i, 0, o], half[i, 1, o], half[i, 2, o], half[i, 3, o]
                )

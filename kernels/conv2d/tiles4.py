"""The transforms of F(4x4, 3x3) between pictures and tiles; the formulas: winograd.py.

A tile is transformed down its columns into `half`, then along each row by way of `row`, which fits
the innermost cache: so memory is written in runs of channels.
"""

import numpy as np

from minigen.kernels.jit import jit


@jit
def data(a, b, c, d, e, f):
    """B^T times a column of six."""
    two, four, five = type(a)(2), type(a)(4), type(a)(5)
    p, q, r, s = e - four * c, d - four * b, e - c, two * (d - b)
    return four * a - five * c + e, p + q, p - q, r + s, r - s, four * b - five * d + f


@jit
def data_transposed(a, b, c, d, e, f):
    """B times a column of six."""
    two, four, five = type(a)(2), type(a)(4), type(a)(5)
    p, q, r, s = b + c, b - c, d + e, two * (d - e)
    return (
        four * a,
        four * (f - q) - s,
        -five * a - four * p - r,
        q + s - five * f,
        a + p + r,
        f,
    )


@jit
def output(a, b, c, d, e, f):
    """A^T times a column of six."""
    two, four, eight = type(a)(2), type(a)(4), type(a)(8)
    p, q, r, s = b + c, b - c, d + e, d - e
    return a + p + r, q + two * s, p + four * r, q + eight * s + f


@jit
def output_transposed(a, b, c, d):
    """A times a column of four."""
    two, four = type(a)(2), type(a)(4)
    p, q, r, s = a + c, b + d, a + four * c, two * (b + four * d)
    return a, p + q, p - q, r + s, r - s, d


@jit
def taps(a, b, c):
    """G times a column of three."""
    quarter, sixth = type(a)(0.25), type(a)(1 / 6)
    p, q = sixth * (a + c), sixth * b
    r, s = sixth * (quarter * a + c), sixth * type(a)(0.5) * b
    return quarter * a, -p - q, q - p, r + s, r - s, c


@jit
def taps_transposed(a, b, c, d, e, f):
    """G^T times a column of six."""
    quarter, sixth = type(a)(0.25), type(a)(1 / 6)
    p, q, r, s = sixth * (b + c), sixth * (c - b), sixth * (d + e), sixth * (d - e)
    return quarter * (a + r) - p, q + type(a)(0.5) * s, r - p + f


@jit
def data_to_tiles(x, V):
    """V[6 i + j, tile] = (B^T x B)[i, j] for the tiles of x (n, 4 TH + 2, 4 TW + 2, C)."""
    n, H, W, C = x.shape
    half, row, t = np.empty((6, 6, C), x.dtype), np.empty((6, C), x.dtype), 0
    for k in range(n):
        for p in range(0, H - 2, 4):
            for q in range(0, W - 2, 4):
                for j in range(6):
                    for c in range(C):
                        (
                            half[0, j, c],
                            half[1, j, c],
                            half[2, j, c],
                            half[3, j, c],
                            half[4, j, c],
                            half[5, j, c],
                        ) = data(
                            x[k, p, q + j, c],
                            x[k, p + 1, q + j, c],
                            x[k, p + 2, q + j, c],
                            x[k, p + 3, q + j, c],
                            x[k, p + 4, q + j, c],
                            x[k, p + 5, q + j, c],
                        )
                for i in range(6):
                    for c in range(C):
                        row[0, c], row[1, c], row[2, c], row[3, c], row[4, c], row[5, c] = data(
                            half[i, 0, c],
                            half[i, 1, c],
                            half[i, 2, c],
                            half[i, 3, c],
                            half[i, 4, c],
                            half[i, 5, c],
                        )
                    for j in range(6):
                        for c in range(C):
                            V[6 * i + j, t, c] = row[j, c]
                t += 1


@jit
def gradient_to_tiles(x, V):
    """M[6 i + j, tile] = (A g A^T)[i, j] for the tiles of g (n, 4 TH, 4 TW, O)."""
    n, H, W, C = x.shape
    half, row, t = np.empty((6, 4, C), x.dtype), np.empty((6, C), x.dtype), 0
    for k in range(n):
        for p in range(0, H, 4):
            for q in range(0, W, 4):
                for j in range(4):
                    for c in range(C):
                        (
                            half[0, j, c],
                            half[1, j, c],
                            half[2, j, c],
                            half[3, j, c],
                            half[4, j, c],
                            half[5, j, c],
                        ) = output_transposed(
                            x[k, p, q + j, c],
                            x[k, p + 1, q + j, c],
                            x[k, p + 2, q + j, c],
                            x[k, p + 3, q + j, c],
                        )
                for i in range(6):
                    for c in range(C):
                        (
                            row[0, c],
                            row[1, c],
                            row[2, c],
                            row[3, c],
                            row[4, c],
                            row[5, c],
                        ) = output_transposed(
                            half[i, 0, c],
                            half[i, 1, c],
                            half[i, 2, c],
                            half[i, 3, c],
                        )
                    for j in range(6):
                        for c in range(C):
                            V[6 * i + j, t, c] = row[j, c]
                t += 1


@jit
def tiles_to_output(M, y):
    """y = A^T M A, tile beside tile: M (36, tiles, O) -> y (n, 4 TH, 4 TW, O)."""
    n, H, W, C = y.shape
    half, t = np.empty((4, 6, C), y.dtype), 0
    for k in range(n):
        for p in range(0, H, 4):
            for q in range(0, W, 4):
                for j in range(6):
                    for c in range(C):
                        half[0, j, c], half[1, j, c], half[2, j, c], half[3, j, c] = output(
                            M[j, t, c],
                            M[6 + j, t, c],
                            M[12 + j, t, c],
                            M[18 + j, t, c],
                            M[24 + j, t, c],
                            M[30 + j, t, c],
                        )
                for i in range(4):
                    for c in range(C):
                        (
                            y[k, p + i, q, c],
                            y[k, p + i, q + 1, c],
                            y[k, p + i, q + 2, c],
                            y[k, p + i, q + 3, c],
                        ) = output(
                            half[i, 0, c],
                            half[i, 1, c],
                            half[i, 2, c],
                            half[i, 3, c],
                            half[i, 4, c],
                            half[i, 5, c],
                        )
                t += 1


@jit
def tiles_to_data(V, x):
    """x += B V B^T, where the tiles overlap: V (36, tiles, C) -> x (n, 4 TH + 2, 4 TW + 2, C)."""
    n, H, W, C = x.shape
    half, row, t = np.empty((6, 6, C), x.dtype), np.empty((6, C), x.dtype), 0
    for k in range(n):
        for p in range(0, H - 2, 4):
            for q in range(0, W - 2, 4):
                for j in range(6):
                    for c in range(C):
                        (
                            half[0, j, c],
                            half[1, j, c],
                            half[2, j, c],
                            half[3, j, c],
                            half[4, j, c],
                            half[5, j, c],
                        ) = data_transposed(
                            V[j, t, c],
                            V[6 + j, t, c],
                            V[12 + j, t, c],
                            V[18 + j, t, c],
                            V[24 + j, t, c],
                            V[30 + j, t, c],
                        )
                for i in range(6):
                    for c in range(C):
                        (
                            row[0, c],
                            row[1, c],
                            row[2, c],
                            row[3, c],
                            row[4, c],
                            row[5, c],
                        ) = data_transposed(
                            half[i, 0, c],
                            half[i, 1, c],
                            half[i, 2, c],
                            half[i, 3, c],
                            half[i, 4, c],
                            half[i, 5, c],
                        )
                    for j in range(6):
                        for c in range(C):
                            x[k, p + i, q + j, c] += row[j, c]
                t += 1


@jit
def filter_to_tiles(w, U):
    """U[6 i + j] = (G w G^T)[i, j]: w (3, 3, C, O) -> U (36, C, O)."""
    C, O = w.shape[2:]
    half, row = np.empty((6, 3, O), w.dtype), np.empty((6, O), w.dtype)
    for c in range(C):
        for j in range(3):
            for o in range(O):
                (
                    half[0, j, o],
                    half[1, j, o],
                    half[2, j, o],
                    half[3, j, o],
                    half[4, j, o],
                    half[5, j, o],
                ) = taps(w[0, j, c, o], w[1, j, c, o], w[2, j, c, o])
        for i in range(6):
            for o in range(O):
                row[0, o], row[1, o], row[2, o], row[3, o], row[4, o], row[5, o] = taps(
                    half[i, 0, o], half[i, 1, o], half[i, 2, o]
                )
            for j in range(6):
                for o in range(O):
                    U[6 * i + j, c, o] = row[j, o]


@jit
def tiles_to_filter(U, w):
    """w = G^T U G: U (36, C, O) -> w (3, 3, C, O)."""
    C, O = w.shape[2:]
    half = np.empty((3, 6, O), w.dtype)
    for c in range(C):
        for j in range(6):
            for o in range(O):
                half[0, j, o], half[1, j, o], half[2, j, o] = taps_transposed(
                    U[j, c, o],
                    U[6 + j, c, o],
                    U[12 + j, c, o],
                    U[18 + j, c, o],
                    U[24 + j, c, o],
                    U[30 + j, c, o],
                )
        for i in range(3):
            for o in range(O):
                w[i, 0, c, o], w[i, 1, c, o], w[i, 2, c, o] = taps_transposed(
                    half[i, 0, o],
                    half[i, 1, o],
                    half[i, 2, o],
                    half[i, 3, o],
                    half[i, 4, o],
                    half[i, 5, o],
                )

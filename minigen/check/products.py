"""matmul and conv2d, as a check knows them."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from minigen.check.op import Case, Formula, Mistake, Op, Shape
from minigen.ops.conv import conv2d

# ------------------------------------------------------------------------------------------- matmul


def _matmul_cases(t: int) -> Iterator[Case]:
    for M, K, N in (
        (1, 1, 1),
        (2, 3, 5),
        (t, t, t),
        (t, 2 * t, t),
        (2 * t, t, t),
        (t, t, 2 * t),
        (t - 1, t, t),
        (t, t - 1, t),
        (t, t, t - 1),
        (t + 1, t, t),
        (t, t, t + 1),
        (7, 13, 11),
        (t + 1, 2 * t + 1, t + 3),
    ):
        yield Case(((M, K), (K, N)))
    yield Case(((t, t), (t, t)), is_view=True)


MATMUL = Op(
    "matmul",
    ("a", "b"),
    "a (M, K), b (K, N) -> (M, N)",
    lambda a, b: a @ b,
    "const float* a, const float* b, float* y, int M, int N, int K",
    lambda a, b: {"M": a[0], "K": a[1], "N": b[1]},
    _matmul_cases,
    lambda M, K, N: K,
    (
        Mistake("stride", lambda a, b: a.T @ b, "it equals a.T @ b: a is read by columns"),
        Mistake("stride", lambda a, b: a @ b.T, "it equals a @ b.T: b is read by columns"),
        Mistake(
            "stride",
            lambda a, b: (a @ b).T.reshape(len(a), -1),
            "it is the transposed result, in the memory of y: y[row * N + column], not column * M",
        ),
        Mistake("stride", lambda a, b: b @ a, "it equals b @ a: the two are exchanged"),
        Mistake(
            "stride",
            lambda a, b: a.ravel().reshape(a.shape[::-1]).T @ b,
            "it reads a with the wrong distance between rows: a[row * K + k]",
        ),
        Mistake(
            "stride",
            lambda a, b: a @ b.ravel().reshape(b.shape[::-1]).T,
            "it reads b with the wrong distance between rows: b[k * N + column]",
        ),
    ),
    "MNK",
    32,
)

# ------------------------------------------------------------------------------------------- conv2d


def _conv2d_cases(t: int) -> Iterator[Case]:
    for N, H, W, C, KH, KW, O, stride, padding in (
        (1, 1, 1, 1, 1, 1, 1, 1, 0),
        (1, 3, 3, 1, 3, 3, 1, 1, 0),
        (1, 4, 4, 2, 3, 3, 2, 1, 1),
        (1, 5, 5, 1, 3, 3, 1, 2, 1),
        (1, 6, 6, 1, 2, 2, 3, 2, 0),
        (2, 4, 7, 2, 3, 3, 1, 1, 1),
        (1, 7, 5, 1, 1, 3, 2, 1, 1),
        (1, t, t, 1, 3, 3, 1, 1, 1),
        (1, t - 1, t, 1, 3, 3, 1, 1, 1),
        (1, t, t - 1, 1, 3, 3, 1, 1, 1),
        (1, t + 1, t, 1, 3, 3, 1, 1, 1),
        (1, 4, 3, t, 1, 1, t, 1, 0),
        (1, 4, 3, 3, 1, 1, t + 1, 1, 0),
        (1, 3, 4, t + 1, 3, 3, 2, 1, 1),
        (2, t + 1, t + 3, 2, 3, 3, 3, 1, 1),
    ):
        steps = {"stride": stride, "padding": padding}
        yield Case(((N, H, W, C), (KH, KW, C, O)), steps)
    yield Case(((1, 4, 4, 2), (3, 3, 2, 2)), {"stride": 1, "padding": 1}, is_view=True)


def _conv2d_axes(x: Shape, w: Shape, stride: int, padding: int) -> dict[str, int]:
    (N, H, W, C), (KH, KW, _, O) = x, w
    OH, OW = (H + 2 * padding - KH) // stride + 1, (W + 2 * padding - KW) // stride + 1
    return {"N": N, "H": H, "W": W, "C": C, "KH": KH, "KW": KW, "O": O, "OH": OH, "OW": OW}


def _shifted(rows: bool, columns: bool) -> Formula:
    """As if the padding were 0, but of the right size: the picture moves."""

    def formula(x: Any, w: Any, stride: int, padding: int) -> Any:
        sides = [(0, 2 * padding) if moved else (padding, padding) for moved in (rows, columns)]
        return conv2d.forward(np.pad(x, ((0, 0), *sides, (0, 0))), w, stride=stride)

    return formula


def _without_stride(x: Any, w: Any, stride: int, padding: int) -> Any:
    y = conv2d.forward(x, w, stride=1, padding=padding)
    OH, OW = (_conv2d_axes(x.shape, w.shape, stride, padding)[name] for name in ("OH", "OW"))
    return y[:, :OH, :OW]


def _edges_repeated(x: Any, w: Any, stride: int, padding: int) -> Any:
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)), "edge")
    return conv2d.forward(x, w, stride=stride)


STARTS = "y[p] starts at x[p * stride - padding]"

CONV2D = Op(
    "conv2d",
    ("x", "w"),
    "x (N, H, W, C), w (KH, KW, C, O) -> (N, OH, OW, O), OH = (H + 2 padding - KH) // stride + 1",
    conv2d.forward,
    "const float* x, const float* w, float* y, int N, int H, int W, int C, int KH, int KW, int O, "
    "int OH, int OW, int stride, int padding",
    _conv2d_axes,
    _conv2d_cases,
    lambda KH, KW, C, **_: KH * KW * C,
    (
        Mistake(
            "stride",
            lambda x, w, **s: conv2d.forward(x, w[::-1, ::-1], **s),
            "the filter is turned by 180 degrees, as in the convolution of mathematics: "
            "here y[p, q] sums x[p + i, q + j] * w[i, j]",
        ),
        Mistake(
            "stride",
            lambda x, w, **s: conv2d.forward(x, w.swapaxes(0, 1), **s),
            "the filter is transposed: rows of w meet columns of x",
        ),
        Mistake(
            "stride",
            lambda x, w, **s: conv2d.forward(x, w.swapaxes(2, 3), **s),
            "the channels of w are exchanged: they lie (KH, KW, C, O), the outputs last",
        ),
        Mistake("stride", _without_stride, "the stride is ignored: y[p] starts at x[p * stride]"),
        Mistake("stride", _shifted(True, True), f"the padding is not taken off: {STARTS}"),
        Mistake("stride", _shifted(True, False), f"the padding is not taken off rows: {STARTS}"),
        Mistake("stride", _shifted(False, True), f"the padding is not taken off columns: {STARTS}"),
        Mistake(
            "bounds",
            _edges_repeated,
            "outside of the image it takes the nearest pixel; there x is 0",
        ),
        Mistake(
            "stride",
            lambda x, w, **s: conv2d.forward(x, w, **s).swapaxes(1, 2),
            "rows and columns of the result are exchanged",
        ),
    ),
    "HWCO",
    16,
)

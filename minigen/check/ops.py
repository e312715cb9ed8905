"""The ops that a kernel can be checked for: interface, sizes, exact result, and known mistakes.

A mistake is a formula that is easily computed in the place of the right one. Where a wrong result
equals one of them, that is the cause.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigen.ops.attention import scaled_dot_product_attention
from minigen.ops.conv import conv2d
from minigen.ops.elementwise import silu
from minigen.ops.norm import group_norm_, group_norm_silu_
from minigen.ops.reduce import softmax

Shape = tuple[int, ...]
Formula = Callable[..., Any]


class Case(NamedTuple):
    """Arrays of these shapes, and the settings."""

    shapes: tuple[Shape, ...]
    settings: dict[str, Any] = {}  # noqa: RUF012, nobody changes it
    is_view: bool = False  # arrays with gaps
    scale: float = 1

    def arrays(self) -> list[np.ndarray]:
        """The same ones each time: normal, float32."""
        rng = np.random.default_rng(sum(map(sum, self.shapes)))
        return [self._array(rng, shape) for shape in self.shapes]

    def _array(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        if not self.is_view:
            return np.float32(self.scale) * rng.standard_normal(shape, np.float32)
        return rng.standard_normal((*shape[:-1], 2 * shape[-1]), np.float32)[..., ::2]


class Mistake(NamedTuple):
    """cause: the class of it; formula: what it computes; text: in words."""

    cause: str
    formula: Formula
    text: str


class Op(NamedTuple):
    """arrays and settings are those of a student's function, `parameters` those of a .cu kernel."""

    name: str
    arrays: tuple[str, ...]
    shapes: str
    formula: Formula  # the right one
    parameters: str
    sizes: Callable[..., dict[str, int]]  # (*shapes, **settings) -> the axes by name
    cases: Callable[[int], Iterator[Case]]  # for a tile of this size
    terms: Callable[..., int]  # of the longest sum, by the axes
    mistakes: Sequence[Mistake]
    tiled: str  # the axes that are cut into tiles
    most: int  # the largest tile that is worth its sizes

    @property
    def signature(self) -> str:
        settings = next(self.cases(16)).settings
        return f"{self.name}({', '.join([*self.arrays, *(['*', *settings] if settings else [])])})"

    def sorted_cases(self, tile: int) -> list[Case]:
        """Small ones first; the last one has two tiles along its axes, the second not full."""
        return sorted(self.cases(min(tile, self.most)), key=self.work)

    def work(self, case: Case) -> int:
        return math.prod(self.axes(case).values())

    def axes(self, case: Case) -> dict[str, int]:
        return self.sizes(*case.shapes, **case.settings)

    def describe(self, case: Case) -> str:
        parts = [f"{name} {shape}" for name, shape in zip(self.arrays, case.shapes)]
        parts += [f"{name} {value}" for name, value in case.settings.items()]
        parts += ["arrays with gaps (x[..., ::2])"] if case.is_view else []
        return ", ".join(parts + ([f"numbers times {case.scale:g}"] if case.scale != 1 else []))


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


def _shifted(x: Any, w: Any, stride: int, padding: int) -> Any:
    """As if the padding were 0, but of the right size: the picture moves."""
    x = np.pad(x, ((0, 0), (0, 2 * padding), (0, 2 * padding), (0, 0)))
    return conv2d.forward(x, w, stride=stride, padding=0)


def _without_stride(x: Any, w: Any, stride: int, padding: int) -> Any:
    y = conv2d.forward(x, w, stride=1, padding=padding)
    OH, OW = (_conv2d_axes(x.shape, w.shape, stride, padding)[name] for name in ("OH", "OW"))
    return y[:, :OH, :OW]


def _edges_repeated(x: Any, w: Any, stride: int, padding: int) -> Any:
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)), "edge")
    return conv2d.forward(x, w, stride=stride)


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
        Mistake("stride", _shifted, "the padding is not taken off: y[p] starts at x[p - padding]"),
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

# ------------------------------------------------------------------------------------------ softmax


def _softmax_cases(t: int) -> Iterator[Case]:
    for rows, S in (
        (1, 1),
        (2, 3),
        (1, t),
        (2, t - 1),
        (2, t + 1),
        (3, 2 * t),
        (t, 7),
        (t + 1, 5),
        (5, 13),
        (2, 127),
        (2, 128),
        (2, 257),
        (3, 4 * t + 1),
    ):
        yield Case(((rows, S),))
    yield Case(((3, 8),), scale=100)
    yield Case(((2, t),), is_view=True)


def _plain_softmax(x: Any) -> Any:
    with np.errstate(over="ignore", invalid="ignore"):
        y = np.exp(x.astype(np.float32))
        return y / y.sum(axis=1, keepdims=True)


SOFTMAX = Op(
    "softmax",
    ("x",),
    "x (R, S) -> (R, S), each row sums to 1",
    softmax.forward,
    "const float* x, float* y, int R, int S",
    lambda x: {"R": x[0], "S": x[1]},
    _softmax_cases,
    lambda S, **_: 8 + S,
    (
        Mistake(
            "overflow",
            _plain_softmax,
            "exp(x) is infinite beyond 88: subtract the largest number of the row first",
        ),
        Mistake(
            "stride",
            lambda x: softmax.forward(x, axis=0),
            "the columns sum to 1 in the place of the rows",
        ),
        Mistake(
            "formula",
            lambda x: np.exp(x - x.max()) / np.exp(x - x.max()).sum(),
            "all of the array sums to 1, not each row",
        ),
        Mistake(
            "formula",
            lambda x: np.exp(x - x.max(axis=1, keepdims=True)),
            "the rows are not divided by their sums",
        ),
    ),
    "S",
    256,
)

# ---------------------------------------------------------------------------------------- attention


def _attention_cases(t: int) -> Iterator[Case]:
    for B, L, S, DH in (
        (1, 1, 1, 1),
        (1, 2, 3, 2),
        (1, t, t, 4),
        (1, t, 2 * t, 4),
        (2, 5, 7, 3),
        (1, t - 1, t, 4),
        (1, t + 1, t, 4),
        (1, t, t - 1, 4),
        (1, t, t + 1, 4),
        (1, 3, 5, t + 1),
        (2, t + 1, 2 * t + 1, 5),
    ):
        yield Case(((B, L, DH), (B, S, DH), (B, S, DH)))
    yield Case(((1, 3, 4),) * 3, scale=16)
    yield Case(((1, t, 4),) * 3, is_view=True)


def _attention(q: Any, k: Any, v: Any) -> Any:
    return scaled_dot_product_attention.forward(q, k, v)


def _by_queries(q: Any, k: Any, v: Any) -> Any:
    s = q @ k.swapaxes(1, 2) / math.sqrt(q.shape[2])
    return softmax.forward(s, axis=1) @ v


def _plain_attention(q: Any, k: Any, v: Any) -> Any:
    with np.errstate(over="ignore", invalid="ignore"):
        p = np.exp((q @ k.swapaxes(1, 2) / math.sqrt(q.shape[2])).astype(np.float32))
        return p / p.sum(axis=2, keepdims=True) @ v


ATTENTION = Op(
    "scaled_dot_product_attention",
    ("q", "k", "v"),
    "q (B, L, DH), k and v (B, S, DH) -> (B, L, DH): softmax(q k^T / sqrt(DH)) v",
    _attention,
    "const float* q, const float* k, const float* v, float* y, int B, int L, int S, int DH",
    lambda q, k, v: {"B": q[0], "L": q[1], "S": k[1], "DH": q[2]},
    _attention_cases,
    lambda S, DH, **_: S + 4 * DH,
    (
        Mistake(
            "formula",
            lambda q, k, v: _attention(q * math.sqrt(q.shape[2]), k, v),
            "the scores are not divided by sqrt(DH)",
        ),
        Mistake(
            "formula",
            lambda q, k, v: _attention(q / math.sqrt(q.shape[2]), k, v),
            "the scores are divided by DH, not by its root",
        ),
        Mistake("stride", _by_queries, "the softmax goes over the queries; it goes over the keys"),
        Mistake(
            "overflow",
            _plain_attention,
            "exp(score) is infinite beyond 88: subtract the largest score of the row first",
        ),
        Mistake("stride", lambda q, k, v: _attention(k, q, v), "q and k are exchanged"),
        Mistake("stride", lambda q, k, v: _attention(q, v, k), "k and v are exchanged"),
        Mistake(
            "formula",
            lambda q, k, v: scaled_dot_product_attention.forward(q, k, v, is_causal=True),
            "a query sees the keys before it only: that is causal attention",
        ),
        Mistake(
            "formula",
            lambda q, k, v: q @ k.swapaxes(1, 2) / math.sqrt(q.shape[2]) @ v,
            "there is no softmax",
        ),
    ),
    "LS",
    32,
)

# ---------------------------------------------------------------------------------- group_norm_silu


def _norm_cases(t: int) -> Iterator[Case]:
    for N, H, W, C, G in (
        (1, 1, 1, 2, 1),
        (1, 2, 2, 4, 2),
        (1, 4, 4, 4, 4),
        (2, 3, 5, 6, 3),
        (1, 4, 4, t, 2 if t % 2 == 0 else 1),
        (1, 7, 1, 8, 4),
        (1, 4, 4, t + 1, 1),
        (1, 5, 3, 3 * (t - 1), 3),
        (1, 16, 16, 4, 2),
        (1, 17, 15, 4, 1),
        (2, 9, 9, 2 * (t + 1), 2),
    ):
        yield Case(((N, H, W, C), (C,), (C,)), {"num_groups": G, "eps": 1e-5})
    yield Case(((1, 4, 4, 4), (4,), (4,)), {"num_groups": 2, "eps": 1.0})
    yield Case(((1, 4, 4, 4), (4,), (4,)), {"num_groups": 2, "eps": 1e-5}, is_view=True)


def _interleaved(x: Any, weight: Any, bias: Any, num_groups: int, eps: float) -> Any:
    """Channels c, c + G, c + 2 G, ... as a group."""
    order = np.arange(x.shape[-1]).reshape(-1, num_groups).T.ravel()
    back, settings = np.argsort(order), {"num_groups": num_groups, "eps": eps}
    return group_norm_silu_.forward(x[..., order], weight[order], bias[order], **settings)[
        ..., back
    ]


def _standardised(
    x: Any, weight: Any, bias: Any, num_groups: int, eps: float, off: int = 0, power: float = 0.5
) -> Any:
    parts = x.reshape(len(x), -1, num_groups, x.shape[-1] // num_groups)
    n = parts[0].size // num_groups
    d = parts - parts.mean(axis=(1, 3), keepdims=True)
    var = (d * d).sum(axis=(1, 3), keepdims=True) / max(n - off, 1)
    return silu.forward((d / (var + eps) ** power).reshape(x.shape) * weight + bias)


NORM = Op(
    "group_norm_silu",
    ("x", "weight", "bias"),
    "x (N, H, W, C), weight and bias (C,) -> (N, H, W, C); a mean for each image and group",
    group_norm_silu_.forward,
    "const float* x, const float* weight, const float* bias, float* y, int N, int P, int C, int G, "
    "float eps",
    lambda x, weight, bias, num_groups, eps: {
        "N": x[0],
        "P": x[1] * x[2],
        "C": x[3],
        "G": num_groups,
    },
    _norm_cases,
    lambda P, C, G, **_: 16 + P * C // G,
    (
        Mistake(
            "formula",
            lambda *a, **s: group_norm_.forward(*a, **s),
            "the SiLU is missing: y / (1 + exp(-y))",
        ),
        Mistake("stride", _interleaved, "channel c is in group c // (C / G), not in c % G"),
        Mistake(
            "formula",
            lambda x, weight, bias, **s: _standardised(x, weight, bias, **s, off=1),
            "the variance is divided by n - 1; a norm divides by n",
        ),
        Mistake(
            "formula",
            lambda x, weight, bias, num_groups, eps: _standardised(
                x, weight, bias, num_groups, 0.0
            ),
            "eps is left out",
        ),
        Mistake(
            "formula",
            lambda x, weight, bias, num_groups, eps: _standardised(
                x, weight, bias, num_groups, eps, power=1.0
            ),
            "it divides by the variance, not by its root",
        ),
        Mistake(
            "formula",
            lambda x, weight, bias, **s: group_norm_silu_.forward(x, 1 + 0 * weight, bias, **s),
            "the weight is left out",
        ),
        Mistake(
            "stride",
            lambda x, weight, bias, num_groups, eps: group_norm_silu_.forward(
                x, weight, bias, num_groups=1, eps=eps
            ),
            "the mean goes over all channels: the groups are ignored",
        ),
    ),
    "PC",
    64,
)

# -------------------------------------------------------------------------------------- affine_step


def _affine_cases(t: int) -> Iterator[Case]:
    factors = {"a": 0.5, "b": -1.25}
    for n in (1, 7, t - 1, t, t + 1, 2 * t, 255, 256, 257, 1023, 4 * t + 1):
        yield Case(((n,), (n,)), factors)
    yield Case(((t,), (t,)), factors, is_view=True)


AFFINE = Op(
    "affine_step",
    ("x", "z"),
    "x (n,), z (n,) -> (n,): a x + b z, what a step of a sampler comes to",
    lambda x, z, a, b: a * x + b * z,
    "const float* x, const float* z, float* y, int n, float a, float b",
    lambda x, z, a, b: {"n": x[0]},
    _affine_cases,
    lambda n: 3,
    (
        Mistake("formula", lambda x, z, a, b: b * x + a * z, "a and b are exchanged"),
        Mistake("formula", lambda x, z, a, b: a * x - b * z, "b has the wrong sign"),
        Mistake("formula", lambda x, z, a, b: a * (x + z), "z is multiplied by a"),
    ),
    "n",
    256,
)

OPS = {op.name: op for op in (MATMUL, CONV2D, SOFTMAX, ATTENTION, NORM, AFFINE)}

"""softmax, attention and group_norm_silu, as a check knows them."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from minigen.check.op import Case, Mistake, Op
from minigen.ops.attention import scaled_dot_product_attention
from minigen.ops.elementwise import silu
from minigen.ops.norm import group_norm_, group_norm_silu_
from minigen.ops.reduce import softmax

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

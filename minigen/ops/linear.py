"""The affine map over the last axis."""

import math
from typing import Any

from minigen.autograd import primitive
from minigen.backend import Array


@primitive
def linear(x: Array, w: Array, b: Array) -> Array:
    """x @ w + b: y[..., m] = sum_k x[..., k] w[k, m] + b[m].

    Shapes: x (..., K), w (K, M), b (M,) -> (..., M).
    Raises: ValueError where K or M differ.
    Kernels: kernels/linear.
    """
    if x.ndim < 1 or w.ndim != 2 or b.shape != w.shape[1:] or x.shape[-1] != w.shape[0]:
        raise ValueError(
            f"linear: expected x (..., K), w (K, M) and b (M,), got {x.shape}, {w.shape}, {b.shape}"
        )
    y = _rows(x) @ w  # (N, M)
    y += b
    return y.reshape(*x.shape[:-1], w.shape[1])


@linear.backward
def linear_backward(g, y, x, w, b):
    g = _rows(g)  # (..., M) -> (N, M)
    return (
        (g @ w.mT).reshape(x.shape) if x.requires_grad else None,
        _rows(x).mT @ g if w.requires_grad else None,
        g.sum(0) if b.requires_grad else None,
    )


def _rows(x: Any) -> Any:
    """(..., K) -> (N, K), of an array or a Tensor."""
    return x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])

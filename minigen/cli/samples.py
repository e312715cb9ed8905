"""Small arrays and settings for every op that has CUDA kernels, and what comes of them in float64.

sample = SAMPLES["matmul"]
arrays, settings = sample.make(33, 40, 50)      or sample.make(*sample.sizes)
y, gradients = sample.exact(arrays, settings, g)
"""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minigen.autograd import Tensor
from minigen.backend import use_kernels

Arrays = list[Any]  # arrays, lists of arrays, or None
Made = tuple[Arrays, dict[str, Any]]
Exact = tuple[list[np.ndarray], list[np.ndarray | None]]


class Sample(NamedTuple):
    """An op's arrays by a few sizes; the default ones leave tiles that are not full."""

    axes: str  # the names of the sizes
    sizes: tuple[int, ...]
    arrays: Callable[..., Made]  # (rng, *sizes)
    formula: Callable[..., Any]  # in float64: an op's name, or a function of arrays and settings
    changes: tuple[int, ...] = ()  # the arrays in which the result stands

    def make(self, *sizes: int) -> Made:
        """The same arrays for the same sizes, float32."""
        return self.arrays(_Numbers(np.random.default_rng(sum(sizes))), *sizes)

    def exact(self, arrays: Arrays, settings: dict[str, Any], g: Any = None) -> Exact:
        """All outputs, and the gradient of each array for an upstream gradient `g`."""
        if g is None or not isinstance(self.formula, _Op):
            return _flat(self.formula(*_double(arrays), **settings)), []
        xs = [a if a is None else Tensor(a, requires_grad=True) for a in _double(arrays)]
        with use_kernels("reference"):
            y = self.formula.primitive(*xs, **settings)
            y.backward(g.astype(float))
        gradients = [x.grad if x is not None else None for x in xs]
        return [y.data], [None if gx is None else gx.data for gx in gradients]

    def outputs(self, y: Any, arrays: Arrays) -> list[np.ndarray]:
        """Of a launch that returned y, what belongs to the outputs of `exact`."""
        return _flat([arrays[i] for i in self.changes] if self.changes else y)


class _Numbers:
    """rng.standard_normal as float32."""

    def __init__(self, rng: np.random.Generator):
        self.rng = rng

    def __call__(self, *shape: int) -> np.ndarray:
        return self.rng.standard_normal(shape, np.float32)


class _Op:
    """The reference of an op, "module:name"."""

    def __init__(self, where: str):
        self.where = where

    @property
    def primitive(self) -> Any:
        module, _, name = self.where.partition(":")
        return getattr(importlib.import_module(f"minigen.{module}"), name)

    def __call__(self, *arrays: np.ndarray, **settings: Any) -> Any:
        return self.primitive.forward(*arrays, **settings)


def _double(x: Any) -> Any:
    if isinstance(x, list | tuple):
        return [_double(a) for a in x]
    return x.astype(float) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x


def _flat(x: Any) -> list[np.ndarray]:
    if isinstance(x, list | tuple):
        return [a for part in x for a in _flat(part)]
    return [np.asarray(x)]


def _matmul(n: _Numbers, M: int, N: int, K: int) -> Made:
    return [n(M, K), n(K, N)], {}


def _linear(n: _Numbers, N: int, C: int, O: int) -> Made:
    return [n(N, C), n(C, O), n(O)], {}


def _conv2d(n: _Numbers, N: int, H: int, W: int, C: int, O: int) -> Made:
    return [n(N, H, W, C), n(3, 3, C, O)], {"stride": 1, "padding": 1}


def _conv2d_input_grad(n: _Numbers, N: int, H: int, W: int, C: int, O: int) -> Made:
    return [n(N, H, W, O), n(3, 3, C, O)], {"size": (H, W), "stride": 1, "padding": 1}


def _conv2d_weight_grad(n: _Numbers, N: int, H: int, W: int, C: int, O: int) -> Made:
    settings = {"kernel_size": (3, 3), "stride": 1, "padding": 1}
    return [n(N, H, W, O), n(N, H, W, C)], settings


def _norm(n: _Numbers, N: int, H: int, W: int, C: int) -> Made:
    groups = 4 if C % 4 == 0 else 1
    return [n(N, H, W, C), n(C), n(C)], {"num_groups": groups, "eps": 1e-5}


def _norm_conv2d(n: _Numbers, N: int, H: int, W: int, C: int, O: int) -> Made:
    arrays, settings = _norm(n, N, H, W, C)
    return [*arrays, n(3, 3, C, O)], settings


def _norm_conv2d_exact(x: Any, weight: Any, bias: Any, w: Any, **settings: Any) -> np.ndarray:
    y = _Op("ops.norm:group_norm_silu_")(x, weight, bias, **settings)
    return _Op("ops.conv:conv2d")(y, w, stride=1, padding=1)


def _attention(n: _Numbers, N: int, A: int, L: int, S: int, D: int) -> Made:
    return [n(N, A, L, D), n(N, A, S, D), n(N, A, S, D)], {"mask": None, "is_causal": False}


def _pool(n: _Numbers, N: int, H: int, W: int, C: int) -> Made:
    return [n(N, H, W, C)], {"kernel_size": (3, 3), "stride": (2, 2), "padding": (1, 1)}


def _pool_grad(n: _Numbers, N: int, H: int, W: int, C: int) -> Made:
    return [n(N, (H + 1) // 2, (W + 1) // 2, C)], {
        "size": (H, W),
        "kernel_size": (3, 3),
        "stride": (2, 2),
        "padding": (1, 1),
    }


def _lists(n: _Numbers, count: int, sizes: int, largest: int) -> Arrays:
    return [[abs(n(largest - 17 * i)) + 0.5 for i in range(sizes)] for _ in range(count)]


def _adamw(n: _Numbers, arrays: int, largest: int) -> Made:
    settings = {"lr": 0.05, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.1, "steps": 3}
    return _lists(n, 4, arrays, largest), settings


def _adamw_exact(
    ps: Any, gs: Any, ms: Any, vs: Any, lr: float, betas: Any, eps: float, weight_decay: float,
    steps: int,
) -> Any:  # fmt: skip
    ms = [betas[0] * m + (1 - betas[0]) * g for m, g in zip(ms, gs)]
    vs = [betas[1] * v + (1 - betas[1]) * g * g for v, g in zip(vs, gs)]
    m_hat, v_hat = 1 - betas[0] ** steps, 1 - betas[1] ** steps
    steps_of = [m / m_hat / (np.sqrt(v / v_hat) + eps) for m, v in zip(ms, vs)]
    return [p - lr * (step + weight_decay * p) for p, step in zip(ps, steps_of)], ms, vs


def _clip_exact(gs: Any, max_norm: float) -> Any:
    norm = np.sqrt(sum((g * g).sum() for g in gs))
    return norm, [g * min(1, max_norm / norm) for g in gs]


def _affine_exact(*xs: np.ndarray, factors: Any) -> np.ndarray:
    return sum(f * x for f, x in zip(factors, xs))  # type: ignore[return-value]


def _denoise(n: _Numbers, N: int, C: int) -> Made:
    row = np.array([0.5, -0.7, 0.3, 0.8, 0.0, -0.2, 2.5, 0.9], np.float32)
    table, step = np.stack([0 * row, row]), np.ones(1, np.int32)
    return [n(2 * N, C), n(N, C), n(N, C), table, step, None], {}


def _denoise_exact(prediction: Any, x: Any, last: Any, *_: Any) -> Any:
    p = 2.5 * prediction[: len(x)] - 1.5 * prediction[len(x) :]
    guess = (0.5 * x - 0.7 * p).clip(-0.9, 0.9)
    return [0.3 * x + 0.8 * guess - 0.2 * last, guess]


def _one(n: _Numbers, N: int, C: int) -> Made:
    return [n(N, C)], {}


PICTURE, PICTURE_SIZES = "N H W C", (2, 6, 10, 4)
CONV, CONV_SIZES = "N H W C O", (2, 5, 9, 8, 36)

SAMPLES: dict[str, Sample] = {
    "matmul": Sample("M N K", (33, 40, 50), _matmul, _Op("autograd:matmul")),
    "linear": Sample("N C O", (33, 40, 50), _linear, _Op("ops.linear:linear")),
    "conv2d": Sample(CONV, CONV_SIZES, _conv2d, _Op("ops.conv:conv2d")),
    "conv2d_input_grad": Sample(
        CONV, CONV_SIZES, _conv2d_input_grad, _Op("ops.conv:conv2d_input_grad")
    ),
    "conv2d_weight_grad": Sample(
        CONV, CONV_SIZES, _conv2d_weight_grad, _Op("ops.conv:conv2d_weight_grad")
    ),
    "group_norm": Sample(PICTURE, PICTURE_SIZES, _norm, _Op("ops.norm:group_norm_")),
    "group_norm_silu": Sample(PICTURE, PICTURE_SIZES, _norm, _Op("ops.norm:group_norm_silu_")),
    "group_norm_silu_conv2d": Sample(CONV, CONV_SIZES, _norm_conv2d, _norm_conv2d_exact),
    "layer_norm": Sample(
        "N C",
        (5, 36),
        lambda n, N, C: ([n(N, C), n(C), n(C)], {"eps": 1e-5}),
        _Op("ops.norm:layer_norm_"),
    ),
    "softmax": Sample(
        "N C", (3, 1030), lambda n, N, C: ([n(N, C)], {"axis": -1}), _Op("ops.reduce:softmax")
    ),
    "scaled_dot_product_attention": Sample(
        "N A L S D",
        (1, 2, 35, 39, 8),
        _attention,
        _Op("ops.attention:scaled_dot_product_attention"),
    ),
    "silu": Sample("N C", (5, 77), _one, _Op("ops.elementwise:silu")),
    "silu_grad": Sample(
        "N C", (5, 77), lambda n, N, C: ([n(N, C), n(N, C)], {}), _Op("ops.elementwise:silu_grad")
    ),
    "gelu": Sample(
        "N C",
        (5, 77),
        lambda n, N, C: ([n(N, C)], {"approximate": "none"}),
        _Op("ops.elementwise:gelu"),
    ),
    "pixel_shuffle": Sample(
        PICTURE,
        PICTURE_SIZES,
        lambda n, *shape: ([n(*shape)], {"r": 2}),
        _Op("ops.resample:pixel_shuffle_"),
    ),
    "space_to_depth": Sample(
        PICTURE,
        PICTURE_SIZES,
        lambda n, *shape: ([n(*shape)], {"r": 2}),
        _Op("ops.resample:space_to_depth_"),
    ),
    "upsample_nearest": Sample(
        PICTURE,
        PICTURE_SIZES,
        lambda n, *shape: ([n(*shape)], {"scale_factor": 2}),
        _Op("ops.resample:upsample_nearest"),
    ),
    "avg_pool2d": Sample(PICTURE, PICTURE_SIZES, _pool, _Op("ops.resample:avg_pool2d_")),
    "avg_pool2d_grad": Sample(
        PICTURE, PICTURE_SIZES, _pool_grad, _Op("ops.resample:avg_pool2d_grad")
    ),
    "max_pool2d": Sample(PICTURE, PICTURE_SIZES, _pool, _Op("ops.resample:max_pool2d_")),
    "adamw": Sample("arrays largest", (3, 1100), _adamw, _adamw_exact, (0, 2, 3)),
    "ema": Sample(
        "arrays largest",
        (3, 1100),
        lambda n, arrays, largest: (_lists(n, 2, arrays, largest), {"decay": 0.9}),
        lambda averages, ps, decay: [decay * a + (1 - decay) * p for a, p in zip(averages, ps)],
        (0,),
    ),
    "clip_grad_norm": Sample(
        "arrays largest",
        (3, 1100),
        lambda n, arrays, largest: (_lists(n, 1, arrays, largest), {"max_norm": 1.0}),
        _clip_exact,
    ),
    "affine_step": Sample(
        "N C",
        (5, 77),
        lambda n, N, C: ([n(N, C), n(N, C), n(N, C)], {"factors": (0.5, -2.0, 3.0)}),
        _affine_exact,
    ),
    "denoise_step": Sample("N C", (5, 76), _denoise, _denoise_exact, (1, 2)),
}

"""Every op once or more, on shapes so small that whole Jacobians can be checked."""

import zlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minigen import ops
from minigen.autograd import Tensor
from minigen.ops import fused

INDICES = np.array([[0, 2, 2], [1, -1, 0]])
CLASSES = np.array([[0, 2], [1, 1]])
MASK = np.array([[True, False, True], [True, True, False], [False, False, False]])


class Case(NamedTuple):
    """An op with its settings, and the shapes of its inputs; `low` keeps them above that number."""

    f: Callable[..., Tensor]
    shapes: tuple[tuple[int, ...], ...]
    low: float | None = None

    def inputs(self, dtype: type = np.float64, seed: int = 0) -> list[np.ndarray]:
        rng = np.random.default_rng([seed, zlib.crc32(str(self.shapes).encode())])
        xs = [rng.standard_normal(shape) for shape in self.shapes]
        return [(x if self.low is None else self.low + np.abs(x)).astype(dtype) for x in xs]


def _attend(**settings):
    return lambda q, k, v: ops.scaled_dot_product_attention(q, k, v, **settings)


ELEMENTWISE = {
    "exp": Case(ops.exp, ((2, 3),)),
    "log": Case(ops.log, ((2, 3),), low=0.3),
    "sqrt": Case(ops.sqrt, ((2, 3),), low=0.3),
    "sin": Case(ops.sin, ((2, 3),)),
    "cos": Case(ops.cos, ((2, 3),)),
    "tanh": Case(ops.tanh, ((2, 3),)),
    "abs": Case(ops.abs, ((2, 3),)),
    "sigmoid": Case(ops.sigmoid, ((2, 3),)),
    "relu": Case(ops.relu, ((2, 3),)),
    "leaky_relu": Case(ops.leaky_relu, ((2, 3),)),
    "leaky_relu steep": Case(lambda x: ops.leaky_relu(x, 1.5), ((2, 3),)),
    "silu": Case(ops.silu, ((2, 3),)),
    "gelu": Case(ops.gelu, ((2, 3),)),
    "gelu tanh": Case(lambda x: ops.gelu(x, "tanh"), ((2, 3),)),
    "gated_tanh": Case(ops.gated_tanh, ((2, 3, 4),)),
    "clip": Case(lambda x: ops.clip(x, -0.5, 0.5), ((3, 4),)),
    "clip below": Case(lambda x: ops.clip(x, minimum=0.1), ((3, 4),)),
    "where": Case(lambda a, b: ops.where(MASK, a, b), ((3, 3), (3,))),
    "where number": Case(lambda a: ops.where(MASK, a, 2.0), ((3, 1),)),
    "maximum": Case(ops.maximum, ((2, 3), (3,))),
    "minimum": Case(ops.minimum, ((2, 3), (2, 1))),
}

REDUCE = {
    "sum": Case(lambda x: ops.sum(x, axis=1), ((2, 3, 2),)),
    "mean": Case(lambda x: ops.mean(x, axis=(0, -1), keepdims=True), ((2, 3, 2),)),
    "var": Case(lambda x: ops.var(x, axis=(0, -1)), ((2, 3, 2),)),
    "var all": Case(lambda x: ops.var(x, correction=1), ((2, 3),)),
    "max": Case(lambda x: ops.max(x, axis=1), ((2, 3, 2),)),
    "max all": Case(ops.max, ((2, 3),)),
    "logsumexp": Case(lambda x: ops.logsumexp(x, axis=(0, 2)), ((2, 3, 2),)),
    "softmax": Case(ops.softmax, ((2, 3),)),
    "softmax first axis": Case(lambda x: ops.softmax(x, 0), ((2, 3),)),
    "log_softmax": Case(ops.log_softmax, ((2, 3),)),
    "cumsum": Case(lambda x: ops.cumsum(x, 1), ((2, 3, 2),)),
}

SHAPE = {
    "reshape": Case(lambda x: ops.reshape(x, shape=(3, 2)), ((2, 3),)),
    "transpose": Case(lambda x: ops.transpose(x, axes=(2, 0, 1)), ((2, 3, 2),)),
    "broadcast_to": Case(lambda x: ops.broadcast_to(x, shape=(2, 2, 3)), ((2, 1),)),
    "concat": Case(lambda a, b: ops.concat([a, b], axis=1), ((2, 1, 2), (2, 3, 2))),
    "concat twice the same": Case(lambda a: ops.concat([a, a]), ((2, 3),)),
    "stack": Case(lambda a, b: ops.stack([a, b], axis=1), ((2, 3), (2, 3))),
    "split": Case(lambda x: ops.split(x, 3)[1], ((2, 6),)),
    "pad": Case(lambda x: ops.pad(x, ((1, 0), (0, 2)), 3.0), ((2, 3),)),
    "flip": Case(lambda x: ops.flip(x, axis=(0, 1)), ((2, 3),)),
    "slice": Case(lambda x: ops.slice(x, 1, 3), ((2, 4),)),
    "take": Case(lambda x: ops.take(x, INDICES), ((4, 2),)),
    "take middle axis": Case(lambda x: ops.take(x, INDICES, axis=1), ((2, 3, 2),)),
}

LINEAR = {
    "linear": Case(ops.linear, ((2, 3, 4), (4, 2), (2,))),
    "linear of a vector": Case(ops.linear, ((3,), (3, 2), (2,))),
}

CONV = {
    "conv2d": Case(lambda x, w: ops.conv2d(x, w, 1, 1), ((2, 3, 4, 2), (3, 3, 2, 2))),
    "conv2d 1x1": Case(ops.conv2d, ((2, 2, 3, 2), (1, 1, 2, 3))),
    "conv2d stride": Case(
        lambda x, w: ops.conv2d(x, w, (2, 3), (1, 2)), ((1, 5, 4, 2), (2, 3, 2, 2))
    ),
    "conv2d wide padding": Case(lambda x, w: ops.conv2d(x, w, 1, 2), ((1, 2, 3, 1), (2, 2, 1, 2))),
    "conv_transpose2d": Case(
        lambda x, w: ops.conv_transpose2d(x, w, 2, 1, 1), ((1, 3, 2, 2), (3, 3, 2, 2))
    ),
    "conv_transpose2d stride 1": Case(ops.conv_transpose2d, ((1, 3, 2, 2), (2, 3, 2, 1))),
}

RESAMPLE = {
    "avg_pool2d": Case(lambda x: ops.avg_pool2d(x, 2), ((1, 5, 4, 2),)),
    "avg_pool2d overlap": Case(lambda x: ops.avg_pool2d(x, (3, 2), 1, (1, 0)), ((1, 4, 4, 2),)),
    "max_pool2d": Case(lambda x: ops.max_pool2d(x, 2), ((1, 5, 4, 2),)),
    "max_pool2d overlap": Case(lambda x: ops.max_pool2d(x, 3, 2, 1), ((1, 5, 4, 2),)),
    "upsample": Case(lambda x: ops.upsample(x, 3), ((1, 2, 3, 2),)),
    "upsample bilinear": Case(lambda x: ops.upsample(x, 2, "bilinear"), ((1, 2, 3, 2),)),
    "pixel_shuffle": Case(lambda x: ops.pixel_shuffle(x, 2), ((1, 2, 3, 8),)),
    "space_to_depth": Case(lambda x: ops.space_to_depth(x, 2), ((1, 4, 2, 3),)),
}

NORM = {
    "layer_norm": Case(ops.layer_norm, ((2, 3, 4), (4,), (4,))),
    "layer_norm plain": Case(ops.layer_norm, ((2, 5),)),
    "rms_norm": Case(ops.rms_norm, ((2, 3, 4), (4,))),
    "group_norm": Case(lambda x, w, b: ops.group_norm(x, 2, w, b), ((2, 2, 3, 4), (4,), (4,))),
    "group_norm plain": Case(lambda x: ops.group_norm(x, 3), ((2, 4, 3),)),
    "group_norm rows": Case(
        lambda x, w, b: ops.group_norm(x, 2, w, b), ((2, 3, 4), (2, 4), (2, 4))
    ),
    "group_norm_silu": Case(
        lambda x, w, b: ops.group_norm_silu(x, 2, w, b), ((2, 2, 3, 4), (4,), (4,))
    ),
    "group_norm_silu_conv2d": Case(
        lambda x, w, b, f: fused.group_norm_silu_conv2d_(x, w, b, f, num_groups=2, eps=1e-5),
        ((2, 2, 3, 4), (4,), (2, 4), (3, 3, 4, 2)),
    ),
    "group_norm_silu rows": Case(
        lambda x, w, b: ops.group_norm_silu(x, 2, w, b), ((2, 3, 4), (2, 4), (4,))
    ),
    "instance_norm": Case(ops.instance_norm, ((2, 2, 3, 2), (2,), (2,))),
    "batch_norm": Case(
        lambda x, w, b: ops.batch_norm(x, None, None, w, b, training=True),
        ((3, 2, 2, 2), (2,), (2,)),
    ),
    "batch_norm running": Case(
        lambda x, w, b: ops.batch_norm(
            x, np.array([0.5, -1], x.dtype), np.array([0.3, 2], x.dtype), w, b
        ),
        ((3, 2, 2), (2,), (2,)),
    ),
}

ATTENTION = {
    "attention": Case(_attend(), ((2, 3, 4), (2, 2, 4), (2, 2, 3))),
    "attention mask": Case(_attend(mask=MASK), ((2, 3, 2), (2, 3, 2), (2, 3, 2))),
    "attention causal": Case(_attend(is_causal=True), ((2, 3, 2), (2, 3, 2), (2, 3, 2))),
    "attention shared keys": Case(
        _attend(mask=MASK, is_causal=True), ((2, 1, 3, 2), (1, 3, 2), (3, 2))
    ),
    "rotary_embedding": Case(lambda x: ops.rotary_embedding(x, np.arange(3)), ((2, 3, 4),)),
}

LOSS = {
    "mse_loss": Case(ops.mse_loss, ((2, 3), (2, 3))),
    "l1_loss": Case(lambda x, t: ops.l1_loss(x, t, "sum"), ((2, 3), (2, 3))),
    "huber_loss": Case(lambda x, t: ops.huber_loss(x, t, 0.7, "none"), ((3, 4), (3, 4))),
    "bce_with_logits": Case(ops.bce_with_logits, ((2, 3), (2, 3))),
    "bce_with_logits number": Case(lambda x: ops.bce_with_logits(x, 1.0), ((2, 3),)),
    "cross_entropy": Case(lambda x: ops.cross_entropy(x, CLASSES, reduction="none"), ((2, 2, 3),)),
    "kl_per_latent": Case(ops.kl_per_latent, ((2, 3), (2, 3))),
    "gaussian_kl": Case(ops.gaussian_kl, ((2, 3), (2, 3))),
}

CASES = ELEMENTWISE | REDUCE | SHAPE | LINEAR | CONV | RESAMPLE | NORM | ATTENTION | LOSS

"""This library's side of the cases in tests/golden/make_golden.py, under the same names."""

import numpy as np

from minigen import ops

INDICES = np.array([[0, 6, 2, 2], [4, 2, 0, 5]])
CLASSES = np.array([[0, 2, 4], [1, 1, 3]])
MASK = np.array([[True] * 4 + [False] * 3, [False, True] * 3 + [True], [True] * 7] * 2)[:5]


def _batch_norm_running(x, w, b):
    mean, var = (np.arange(4).astype(x.dtype) + shift for shift in (-1.5, 0.25))
    return ops.batch_norm(x, mean, var, w, b, eps=1e-3)


ELEMENTWISE = {
    "exp": ops.exp,
    "sin": ops.sin,
    "cos": ops.cos,
    "tanh": ops.tanh,
    "abs": ops.abs,
    "sigmoid": ops.sigmoid,
    "relu": ops.relu,
    "leaky_relu": lambda x: ops.leaky_relu(x, 0.2),
    "silu": ops.silu,
    "gelu": lambda x: ops.gelu(x * 3),
    "gelu tanh": lambda x: ops.gelu(x, approximate="tanh"),
    "clip": lambda x: ops.clip(x, -0.5, 0.75),
    "maximum": ops.maximum,
    "minimum": ops.minimum,
}
REDUCE = {
    "mean": lambda x: ops.mean(x, axis=(0, 2)),
    "var": lambda x: ops.var(x, axis=(0, 2)),
    "var corrected": lambda x: ops.var(x, axis=1, correction=1, keepdims=True),
    "max": lambda x: ops.max(x, axis=1),
    "logsumexp": lambda x: ops.logsumexp(x, axis=(0, 2)),
    "softmax": lambda x: ops.softmax(x, axis=1),
    "log_softmax": ops.log_softmax,
    "cumsum": lambda x: ops.cumsum(x, axis=1),
}
SHAPE = {
    "concat": lambda a, b: ops.concat([a, b], axis=1),
    "stack": lambda a, b: ops.stack([a, b], axis=1),
    "split": lambda x: ops.split(x, 3)[2],
    "pad": lambda x: ops.pad(x, ((3, 1), (0, 2)), -1.5),
    "flip": lambda x: ops.flip(x, axis=(0, 1)),
    "take": lambda w: ops.take(w, INDICES),
}
CONV = {
    "3x3": lambda x, w: ops.conv2d(x, w, stride=1, padding=1),
    "1x1": ops.conv2d,
    "3x3 stride 2": lambda x, w: ops.conv2d(x, w, stride=2, padding=1),
    "3x3 stride 3": lambda x, w: ops.conv2d(x, w, stride=3, padding=1),
    "2x5 stride 3x1": lambda x, w: ops.conv2d(x, w, stride=(3, 1), padding=(0, 2)),
    "4x4 stride 2": lambda x, w: ops.conv2d(x, w, stride=2, padding=1),
    "padding beyond the filter": lambda x, w: ops.conv2d(x, w, stride=1, padding=3),
    "transpose": ops.conv_transpose2d,
    "transpose stride 2": lambda x, w: ops.conv_transpose2d(x, w, 2, 1, output_padding=1),
    "transpose stride 3": lambda x, w: ops.conv_transpose2d(x, w, (3, 2), (1, 0), (2, 1)),
}
RESAMPLE = {
    "avg 2": lambda x: ops.avg_pool2d(x, 2),
    "avg 3 stride 2": lambda x: ops.avg_pool2d(x, 3, 2, 1),
    "avg 2x3 stride 3x1": lambda x: ops.avg_pool2d(x, (2, 3), (3, 1)),
    "max 2": lambda x: ops.max_pool2d(x, 2),
    "max 3 stride 2": lambda x: ops.max_pool2d(x, 3, 2, 1),
    "max 3 stride 1": lambda x: ops.max_pool2d(x, 3, 1),
    "max of equals": lambda x: ops.max_pool2d(x + (x.data.round() - x.data), 3, 1, 1),
    "nearest 3": lambda x: ops.upsample(x, 3),
    "bilinear 2": lambda x: ops.upsample(x, 2, mode="bilinear"),
    "bilinear 3": lambda x: ops.upsample(x, 3, mode="bilinear"),
    "pixel_shuffle": lambda x: ops.pixel_shuffle(x, 3),
    "space_to_depth": lambda x: ops.space_to_depth(x, 2),
}
NORM = {
    "layer": ops.layer_norm,
    "rms": ops.rms_norm,
    "group": lambda x, w, b: ops.group_norm(x, 3, w, b),
    "group plain": lambda x: ops.group_norm(x, 2, eps=0.1),
    "group silu": lambda x, w, b: ops.group_norm_silu(x, 3, w, b),
    "instance": ops.instance_norm,
    "batch": lambda x, w, b: ops.batch_norm(x, None, None, w, b, training=True),
    "batch running": _batch_norm_running,
}
ATTENTION = {
    "plain": ops.scaled_dot_product_attention,
    "mask": lambda q, k, v: ops.scaled_dot_product_attention(q, k, v, mask=MASK),
    "causal": lambda q, k, v: ops.scaled_dot_product_attention(q, k, v, is_causal=True),
    "rotary": lambda x: ops.rotary_embedding(x, np.arange(3, 8)),
}
LOSS = {
    "mse": ops.mse_loss,
    "mse none": lambda x, t: ops.mse_loss(x, t, reduction="none"),
    "l1 sum": lambda x, t: ops.l1_loss(x, t, reduction="sum"),
    "huber": ops.huber_loss,
    "huber none": lambda x, t: ops.huber_loss(x, t, delta=0.625, reduction="none"),
    "bce": ops.bce_with_logits,
    "cross_entropy": lambda x: ops.cross_entropy(x, CLASSES),
    "cross_entropy none": lambda x: ops.cross_entropy(x, CLASSES, reduction="none"),
    "gaussian_kl": ops.gaussian_kl,
}
FILES = {
    "elementwise": ELEMENTWISE,
    "reduce": REDUCE,
    "shape": SHAPE,
    "conv": CONV,
    "resample": RESAMPLE,
    "norm": NORM,
    "attention": ATTENTION,
    "loss": LOSS,
}

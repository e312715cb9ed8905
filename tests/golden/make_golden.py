"""Writes ops_*.npz: ops of PyTorch 2.13.0 in float64, in this library's layouts.

    python tests/golden/make_golden.py

ops_<file>.npz holds for each case the inputs "<case>/x0", "<case>/x1", .., the output "<case>/y", a
random upstream gradient "<case>/g" and the gradients "<case>/gx0", ... Inputs and g are whole
multiples of 2^-10, so that float32 holds them exactly and one file serves both types. PyTorch is
not needed to run the tests; the same names in tests/ops/golden_cases.py are this library's side.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812, as PyTorch's own documentation calls it

HERE = Path(__file__).parent
VERSION = "2.13.0"

Case = tuple[Callable[..., torch.Tensor], tuple[tuple[int, ...], ...]]

INDICES = torch.tensor([[0, 6, 2, 2], [4, 2, 0, 5]])
CLASSES = torch.tensor([[0, 2, 4], [1, 1, 3]])
MASK = torch.tensor([[True] * 4 + [False] * 3, [False, True] * 3 + [True], [True] * 7] * 2)[:5]


def images(f: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """f on (N, C, ...) as a function on (N, ..., C); other arguments go through as they are."""
    return lambda x, *others: f(x.movedim(-1, 1), *others).movedim(1, -1)


def conv(stride, padding) -> Callable[..., torch.Tensor]:
    def f(x, w):  # w (KH, KW, C, O), PyTorch's (O, C, KH, KW)
        return F.conv2d(x, w.permute(3, 2, 0, 1), stride=stride, padding=padding)

    return images(f)


def conv_transpose(stride, padding, output_padding) -> Callable[..., torch.Tensor]:
    def f(x, w):  # w (KH, KW, C, O), PyTorch's (C, O, KH, KW)
        w = w.permute(2, 3, 0, 1)
        return F.conv_transpose2d(x, w, None, stride, padding, output_padding)

    return images(f)


def rotary(x: torch.Tensor) -> torch.Tensor:
    """The rotation as a product of complex numbers."""
    D = x.shape[-1]
    rates = 10000.0 ** (-torch.arange(0, D, 2, dtype=torch.float64) / D)
    angles = torch.arange(3, 3 + x.shape[-2], dtype=torch.float64)[:, None] * rates
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], D // 2, 2))
    turned = pairs * torch.polar(torch.ones_like(angles), angles)
    return torch.view_as_real(turned).reshape(x.shape)


def gaussian_kl(mu: torch.Tensor, log_var: torch.Tensor) -> torch.Tensor:
    one = torch.distributions.Normal(torch.zeros_like(mu), torch.ones_like(mu))
    kl = torch.distributions.kl_divergence(torch.distributions.Normal(mu, (log_var / 2).exp()), one)
    return kl.flatten(1).sum(1).mean()


ELEMENTWISE: dict[str, Case] = {
    "exp": (torch.exp, ((5, 7),)),
    "sin": (torch.sin, ((5, 7),)),
    "cos": (torch.cos, ((5, 7),)),
    "tanh": (torch.tanh, ((5, 7),)),
    "abs": (torch.abs, ((5, 7),)),
    "sigmoid": (torch.sigmoid, ((5, 7),)),
    "relu": (torch.relu, ((5, 7),)),
    "leaky_relu": (lambda x: F.leaky_relu(x, 0.2), ((5, 7),)),
    "silu": (F.silu, ((5, 7),)),
    "gelu": (lambda x: F.gelu(x * 3), ((9, 7),)),
    "gelu tanh": (lambda x: F.gelu(x, approximate="tanh"), ((5, 7),)),
    "clip": (lambda x: torch.clip(x, -0.5, 0.75), ((5, 7),)),
    "maximum": (torch.maximum, ((5, 7), (7,))),
    "minimum": (torch.minimum, ((5, 7), (5, 1))),
}
REDUCE: dict[str, Case] = {
    "mean": (lambda x: x.mean((0, 2)), ((3, 5, 7),)),
    "var": (lambda x: x.var((0, 2), correction=0), ((3, 5, 7),)),
    "var corrected": (lambda x: x.var(1, correction=1, keepdim=True), ((3, 5, 7),)),
    "max": (lambda x: x.amax(1), ((3, 5, 7),)),
    "logsumexp": (lambda x: x.logsumexp((0, 2)), ((3, 5, 7),)),
    "softmax": (lambda x: x.softmax(1), ((3, 5, 7),)),
    "log_softmax": (lambda x: x.log_softmax(-1), ((3, 5, 7),)),
    "cumsum": (lambda x: x.cumsum(1), ((3, 5, 7),)),
}
SHAPE: dict[str, Case] = {
    "concat": (lambda a, b: torch.cat([a, b], 1), ((3, 1, 5), (3, 4, 5))),
    "stack": (lambda a, b: torch.stack([a, b], 1), ((3, 5), (3, 5))),
    "split": (lambda x: x.chunk(3, -1)[2], ((3, 9),)),
    "pad": (lambda x: F.pad(x, (0, 2, 3, 1), value=-1.5), ((3, 5),)),
    "flip": (lambda x: x.flip(0, 1), ((3, 5),)),
    "take": (lambda w: F.embedding(INDICES, w), ((7, 3),)),
}
CONV: dict[str, Case] = {
    "3x3": (conv(1, 1), ((2, 7, 5, 3), (3, 3, 3, 4))),
    "1x1": (conv(1, 0), ((2, 5, 3, 3), (1, 1, 3, 5))),
    "3x3 stride 2": (conv(2, 1), ((2, 7, 6, 3), (3, 3, 3, 4))),
    "3x3 stride 3": (conv(3, 1), ((2, 9, 8, 3), (3, 3, 3, 2))),
    "2x5 stride 3x1": (conv((3, 1), (0, 2)), ((1, 9, 7, 2), (2, 5, 2, 3))),
    "4x4 stride 2": (conv(2, 1), ((1, 8, 9, 3), (4, 4, 3, 2))),
    "padding beyond the filter": (conv(1, 3), ((1, 4, 3, 2), (2, 3, 2, 2))),
    "transpose": (conv_transpose(1, 0, 0), ((2, 4, 3, 3), (3, 2, 3, 2))),
    "transpose stride 2": (conv_transpose(2, 1, 1), ((2, 4, 5, 3), (3, 3, 3, 2))),
    "transpose stride 3": (conv_transpose((3, 2), (1, 0), (2, 1)), ((1, 4, 3, 2), (4, 3, 2, 3))),
}
RESAMPLE: dict[str, Case] = {
    "avg 2": (images(lambda x: F.avg_pool2d(x, 2)), ((2, 7, 6, 3),)),
    "avg 3 stride 2": (images(lambda x: F.avg_pool2d(x, 3, 2, 1)), ((2, 7, 6, 3),)),
    "avg 2x3 stride 3x1": (images(lambda x: F.avg_pool2d(x, (2, 3), (3, 1))), ((1, 8, 5, 2),)),
    "max 2": (images(lambda x: F.max_pool2d(x, 2)), ((2, 7, 6, 3),)),
    "max 3 stride 2": (images(lambda x: F.max_pool2d(x, 3, 2, 1)), ((2, 7, 6, 3),)),
    "max 3 stride 1": (images(lambda x: F.max_pool2d(x, 3, 1)), ((1, 5, 4, 3),)),
    "max of equals": (
        images(lambda x: F.max_pool2d(x + (x.round() - x).detach(), 3, 1, 1)),
        ((1, 6, 5, 2),),
    ),
    "nearest 3": (images(lambda x: F.interpolate(x, scale_factor=3)), ((2, 3, 5, 2),)),
    "bilinear 2": (
        images(lambda x: F.interpolate(x, scale_factor=2, mode="bilinear")),
        ((2, 3, 5, 2),),
    ),
    "bilinear 3": (
        images(lambda x: F.interpolate(x, scale_factor=3, mode="bilinear")),
        ((1, 5, 1, 3),),
    ),
    "pixel_shuffle": (images(lambda x: F.pixel_shuffle(x, 3)), ((1, 2, 3, 18),)),
    "space_to_depth": (images(lambda x: F.pixel_unshuffle(x, 2)), ((2, 6, 4, 3),)),
}
NORM: dict[str, Case] = {
    "layer": (lambda x, w, b: F.layer_norm(x, (7,), w, b), ((3, 5, 7), (7,), (7,))),
    "rms": (lambda x, w: F.rms_norm(x, (7,), w, 1e-6), ((3, 5, 7), (7,))),
    "group": (images(lambda x, w, b: F.group_norm(x, 3, w, b)), ((2, 5, 3, 6), (6,), (6,))),
    "group plain": (images(lambda x: F.group_norm(x, 2, eps=0.1)), ((3, 5, 6),)),
    "instance": (
        images(lambda x, w, b: F.instance_norm(x, weight=w, bias=b)),
        ((2, 5, 3, 4), (4,), (4,)),
    ),
    "batch": (
        images(lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True)),
        ((3, 5, 3, 4), (4,), (4,)),
    ),
    "batch running": (
        images(
            lambda x, w, b: F.batch_norm(
                x, torch.arange(4) - 1.5, torch.arange(4) + 0.25, w, b, eps=1e-3
            )
        ),
        ((3, 5, 3, 4), (4,), (4,)),
    ),
    "group silu": (
        images(lambda x, w, b: F.silu(F.group_norm(x, 3, w, b))),
        ((2, 5, 3, 6), (6,), (6,)),
    ),
}
QKV = ((2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 6))
ATTENTION: dict[str, Case] = {
    "plain": (F.scaled_dot_product_attention, QKV),
    "mask": (lambda q, k, v: F.scaled_dot_product_attention(q, k, v, attn_mask=MASK), QKV),
    "causal": (lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True), QKV),
    "rotary": (rotary, ((2, 5, 8),)),
}
LOSS: dict[str, Case] = {
    "mse": (F.mse_loss, ((3, 5), (3, 5))),
    "mse none": (lambda x, t: F.mse_loss(x, t, reduction="none"), ((3, 5), (3, 5))),
    "l1 sum": (lambda x, t: F.l1_loss(x, t, reduction="sum"), ((3, 5), (3, 5))),
    "huber": (F.huber_loss, ((3, 5), (3, 5))),
    "huber none": (lambda x, t: F.huber_loss(x, t, "none", 0.625), ((3, 5), (3, 5))),
    "bce": (F.binary_cross_entropy_with_logits, ((3, 5), (3, 5))),
    "cross_entropy": (lambda x: F.cross_entropy(x.movedim(-1, 1), CLASSES), ((2, 3, 5),)),
    "cross_entropy none": (
        lambda x: F.cross_entropy(x.movedim(-1, 1), CLASSES, reduction="none"),
        ((2, 3, 5),),
    ),
    "gaussian_kl": (gaussian_kl, ((3, 5, 2), (3, 5, 2))),
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


def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.tensor(np.round(rng.standard_normal(shape) * 1024) / 1024)


def record(name: str, case: Case, rng: np.random.Generator) -> dict[str, np.ndarray]:
    f, shapes = case
    xs = [draw(rng, shape).requires_grad_() for shape in shapes]
    y = f(*xs)
    g = draw(rng, tuple(y.shape))
    y.backward(g)
    tensors = {"y": y, "g": g}
    tensors |= {f"x{i}": x for i, x in enumerate(xs)} | {f"gx{i}": x.grad for i, x in enumerate(xs)}
    return {f"{name}/{key}": t.detach().contiguous().numpy() for key, t in tensors.items()}


if __name__ == "__main__":
    if torch.__version__.partition("+")[0] != VERSION:
        raise SystemExit(f"make_golden: needs PyTorch {VERSION}, found {torch.__version__}")
    torch.set_default_dtype(torch.float64)
    for seed, (file, cases) in enumerate(FILES.items()):
        rng = np.random.default_rng(seed)
        arrays: dict[str, np.ndarray] = {}
        for name, case in cases.items():
            arrays |= record(name, case, rng)
        np.savez_compressed(HERE / f"ops_{file}.npz", **arrays)

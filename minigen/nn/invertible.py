"""Layers that can be run backwards and know how much they stretch space: what flows are made of.

A flow turns data into standard normal noise, z = f(x), and the density of x follows from that of z:

    log p(x) = log p(z) + log |det dz/dx|

Every layer here returns z and its share of the second term, and has an `inverse`. Squeeze, Coupling
and MultiScale are of Dinh, Sohl-Dickstein and Bengio, Density Estimation Using Real NVP, 2016,
arXiv 1605.08803.

Derivation: docs/derivations/normalizing_flows.md.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from minigen.autograd import Tensor, no_grad
from minigen.backend import Array, array_module
from minigen.nn.module import Module, ModuleList, Parameter
from minigen.ops import (
    abs,
    bce_with_logits,
    concat,
    exp,
    log,
    pixel_shuffle,
    sigmoid,
    slice,
    space_to_depth,
    split,
    take,
    tanh,
)
from minigen.ops.elementwise import as_tensor


class Invertible(Module):
    """A layer that can be run backwards: `z, log_det = layer(x)` and `x = layer.inverse(z)`.

    Shapes: x (N, ...) -> z of as many numbers, log_det (N,), or () where it is the same for all.
    """

    def forward(self, x: Any) -> tuple[Tensor, Any]:
        raise NotImplementedError(f"{type(self).__name__}: forward is not written")

    def inverse(self, z: Any) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__}: inverse is not written")


class Chain(Invertible, ModuleList):
    """Layers in a row; their log-determinants add up.

    log |det d(f2 f1)/dx| = log |det df2/df1| + log |det df1/dx|
    """

    def forward(self, x: Any) -> tuple[Tensor, Any]:
        log_det: Any = 0.0
        for layer in self:
            x, own = layer(x)
            log_det = own + log_det
        return x, log_det

    def inverse(self, z: Any) -> Tensor:
        layers: list[Any] = list(self)
        for layer in reversed(layers):
            z = layer.inverse(z)
        return z


class Logit(Invertible):
    """Opens the interval: numbers in [0, 1] become numbers without bounds.

        p = alpha / 2 + (1 - alpha) x,   z = log(p) - log(1 - p)
        dz/dx = (1 - alpha) / (p (1 - p))

    alpha  keeps p away from 0 and 1, where z would be infinite; half of it on each side

    Shapes: (N, ...) -> the same.
    Raises: ValueError for an alpha outside (0, 1), and for x outside [0, 1].
    Source: Dinh et al., 2016, section 4.1, which has all of alpha below and none above: there a
    white pixel is at infinity.
    """

    def __init__(self, alpha: float = 1e-5):
        if not 0 < alpha < 1:
            raise ValueError(f"Logit: alpha is {alpha}, expected a number between 0 and 1")
        self.alpha = alpha

    def forward(self, x: Any) -> tuple[Tensor, Tensor]:
        x = as_tensor(x)
        low, high = float(x.data.min(initial=0.0)), float(x.data.max(initial=1.0))
        if not (low >= 0 and high <= 1):
            raise ValueError(f"Logit: x lies between {low:.4g} and {high:.4g}, expected 0 to 1")
        log_p = log(x * (1 - self.alpha) + self.alpha / 2)
        log_rest = log((1 - x) * (1 - self.alpha) + self.alpha / 2)  # log(1 - p)
        slope = math.log(1 - self.alpha) - log_p - log_rest
        return log_p - log_rest, summed(slope)

    def inverse(self, z: Any) -> Tensor:
        return (sigmoid(as_tensor(z)) - self.alpha / 2) * (1 / (1 - self.alpha))


class Squeeze(Invertible):
    """Each 2 x 2 square becomes one pixel: channel c of square place i is channel 4 c + i.

    Shapes: (N, H, W, C) -> (N, H / 2, W / 2, 4 C).
    Source: Dinh et al., 2016, section 3.6.
    """

    def forward(self, x: Any) -> tuple[Tensor, float]:
        return space_to_depth(x, 2), 0.0

    def inverse(self, z: Any) -> Tensor:
        return pixel_shuffle(z, 2)


class Permute(Invertible):
    """The last axis in another order: z[..., i] = x[..., order[i]].

    Shapes: (N, ..., C) -> the same.
    """

    def __init__(self, order: Sequence[int] | np.ndarray):
        self.order = np.array(order)

    def forward(self, x: Any) -> tuple[Tensor, float]:
        return take(x, self.order, axis=-1), 0.0

    def inverse(self, z: Any) -> Tensor:
        return take(z, np.argsort(self.order), axis=-1)


def checkerboard(C: int) -> list[int]:
    """An order of the C squeezed channels: first one colour of a checkerboard over the pixels.

    Squeezed, the white fields of a board are places 0 and 3 of every square and the black ones
    places 1 and 2. So a Coupling between halves in this order is the paper's checkerboard mask,
    at half the height and width.

    >>> checkerboard(4)
    [0, 3, 1, 2]

    Source: Dinh et al., 2016, section 3.4.
    """
    return [4 * c + place for pair in ((0, 3), (1, 2)) for c in range(C // 4) for place in pair]


class ActNorm(Invertible):
    """Each channel shifted and scaled; `initialise` makes its first results normal.

        z = (x + shift) scale,   log_det = H W sum(log |scale|)

    Shapes: (N, H, W, C) -> the same.
    Source: Kingma and Dhariwal, Glow, 2018, section 3.1, arXiv 1807.03039.
    """

    def __init__(self, C: int):
        self.shift = Parameter(np.zeros(C, np.float32))
        self.scale = Parameter(np.ones(C, np.float32))
        self.starts = False  # whether the next batch decides on shift and scale

    def forward(self, x: Any) -> tuple[Tensor, Tensor]:
        x = as_tensor(x)
        if self.starts:
            self.shift.data[...] = -x.data.mean(axis=(0, 1, 2))
            self.scale.data[...] = 1 / (x.data.std(axis=(0, 1, 2)) + 1e-6)
        pixels = x.shape[1] * x.shape[2]
        return (x + self.shift) * self.scale, log(abs(self.scale)).sum() * float(pixels)

    def inverse(self, z: Any) -> Tensor:
        return as_tensor(z) / self.scale - self.shift


class Coupling(Invertible):
    """Half of the channels scale and shift the other half: an affine map of what they say.

        a, b = halves of x;   z_a = a,   z_b = b exp(log_s(a)) + t(a)                     eq. 4, 5
        log_s = bound tanh(raw),   raw, t = network(a, ...)

    The Jacobian is triangular, so log_det = sum of log_s, and however the network is made, it is
    never inverted: b = (z_b - t(a)) exp(-log_s(a)), eq. 8.

    network  (a (N, H, W, C / 2), context) -> (N, H, W, C), or without the context where none comes
    C        channels, even
    flipped  the second half scales and shifts the first

    `bound` is learned for each channel, and 1 at the start.

    Shapes: (N, H, W, C) -> the same.
    Source: Dinh et al., 2016, section 3.2; the bounded scale section 4.1.
    """

    def __init__(self, network: Callable[..., Tensor], C: int, flipped: bool = False):
        if C % 2:
            raise ValueError(f"Coupling: {C} channels have no two equal halves")
        self.network, self.C, self.flipped = network, C, flipped
        self.bound = Parameter(np.ones(C // 2, np.float32))

    def forward(self, x: Any, *context: Any) -> tuple[Tensor, Tensor]:
        a, b = self._halves(x)
        log_s, t = self._map(a, *context)
        return self._whole(a, b * exp(log_s) + t), summed(log_s)

    def inverse(self, z: Any, *context: Any) -> Tensor:
        a, b = self._halves(z)
        log_s, t = self._map(a, *context)
        return self._whole(a, (b - t) * exp(-log_s))

    def _map(self, a: Tensor, *context: Any) -> tuple[Tensor, Tensor]:
        y = self.network(a, *context)  # (N, H, W, C)
        raw, t = slice(y, 0, self.C // 2), slice(y, self.C // 2, self.C)
        return tanh(raw) * self.bound, t

    def _halves(self, x: Any) -> tuple[Tensor, Tensor]:
        if x.shape[-1] != self.C:
            raise ValueError(f"Coupling: x has {x.shape[-1]} channels, expected {self.C}")
        first, second = slice(x, 0, self.C // 2), slice(x, self.C // 2, self.C)
        return (second, first) if self.flipped else (first, second)

    def _whole(self, a: Tensor, b: Tensor) -> Tensor:
        return concat([b, a] if self.flipped else [a, b], axis=-1)


class MultiScale(Invertible):
    """After every level but the last, half of the channels are done: they go to z as they are.

    Shapes: (N, H, W, C) -> (N, H W C), what left first standing first.
    Source: Dinh et al., 2016, section 3.6.
    """

    def __init__(self, levels: Iterable[Invertible], shapes: Iterable[tuple[int, int, int]]):
        self.levels = ModuleList(levels)
        self.shapes = list(shapes)  # of a picture behind each level, before it is halved

    def forward(self, x: Any) -> tuple[Tensor, Any]:
        done: list[Tensor] = []
        log_det: Any = 0.0
        for i, level in enumerate(self.levels):
            x, own = level(x)
            log_det = own + log_det
            if i < len(self.levels) - 1:
                C = x.shape[-1]
                x, leaving = slice(x, 0, C // 2), slice(x, C // 2, C)
                done.append(_flat(leaving))
        return concat([*done, _flat(x)], axis=-1), log_det

    def inverse(self, z: Any) -> Tensor:
        z, last = as_tensor(z), len(self.shapes) - 1
        leaving = [(H, W, C if i == last else C // 2) for i, (H, W, C) in enumerate(self.shapes)]
        ends = np.cumsum([math.prod(shape) for shape in leaving])
        if z.shape[-1] != ends[-1]:
            raise ValueError(f"MultiScale: z has {z.shape[-1]} numbers, expected {ends[-1]}")
        parts = [
            part.reshape(len(z), *shape)
            for part, shape in zip(split(z, ends[:-1].tolist()), leaving, strict=True)
        ]
        x = parts.pop()
        levels: list[Any] = list(self.levels)
        for i in range(last, -1, -1):
            if i < last:
                x = concat([x, parts.pop()], axis=-1)
            x = levels[i].inverse(x)
        return x


@contextmanager
def starting(model: Module) -> Iterator[None]:
    """Inside the block every ActNorm sets itself by what it sees."""
    layers = [layer for layer in model.modules() if isinstance(layer, ActNorm)]
    for layer in layers:
        layer.starts = True
    try:
        yield
    finally:
        for layer in layers:
            layer.starts = False


def initialise(model: Module, x: Array) -> None:
    """Let `x` decide where every ActNorm starts: at mean 0 and variance 1. Once, before training.

    Shapes: x (N, ...), what the model takes.
    """
    with starting(model), no_grad():
        model(Tensor(x))


def summed(x: Tensor) -> Tensor:
    """The sum over everything but the pictures: (N, ...) -> (N,)."""
    return x.sum(axis=tuple(range(1, x.ndim)))


def _flat(x: Tensor) -> Tensor:
    return x.reshape(x.shape[0], math.prod(x.shape[1:]))


def check_shape(name: str, x: Any, shape: tuple[int, ...]) -> None:
    """Raises: ValueError where x is not (N, *shape)."""
    if x.shape[1:] != shape:
        raise ValueError(f"{name}: got pictures {x.shape[1:]}, expected {shape}")


def normal_log_prob(z: Any) -> Tensor:
    """log N(z; 0, I) in nats: -sum(z^2 + log(2 pi)) / 2.

    Shapes: (N, ...) -> (N,).
    """
    z = as_tensor(z)
    return summed(z * z + math.log(2 * math.pi)) * -0.5


def log_sigmoid_slope(x: Any) -> Tensor:
    """log of the derivative of sigmoid: -softplus(x) - softplus(-x), at any x."""
    x = as_tensor(x)
    zero = array_module(x.data).zeros_like(x.data)
    softplus = bce_with_logits(x, zero, reduction="none")
    return x - softplus * 2.0  # softplus(-x) = softplus(x) - x

"""Glow: a flow that learns how to mix its channels.

Diederik P. Kingma, Prafulla Dhariwal, Glow: Generative Flow with Invertible 1x1 Convolutions, 2018,
arXiv 1807.03039.

The idea: a coupling changes half of the channels, so the next one must get them in another order.
RealNVP exchanges the halves; Glow learns a matrix for it, and lets a scale and a shift of each
channel, which start so that the first batch comes out with mean 0 and variance 1, keep the numbers
in range. A step of the flow is those three, and several at each of two scales make the model.

    actnorm        y = s * (x + b)                     log_det = H W sum(log |s|)       table 1
    1x1 conv       y = x W                             log_det = H W log |det W|        table 1
                   W = L (U + diag(s))                 log |det W| = sum(log |s|)       (10), (11)
    coupling       nn.Coupling                         log_det = sum(log_s)             table 1

Shapes: x (N, H, W, C) in [0, 1], H and W multiples of 4 -> z (N, H W C), log_det (N,).

Differs from the paper in: pictures of [0, 1] go through RealNVP's logit. No permutation stands
before L: the rotation that W starts as is drawn with its rows in the order of the pivots, so that
it needs none. The scale of a coupling is exp(bound tanh(raw)) rather than sigmoid(raw + 2). The
prior of the channels that leave early, a normal with mean and variance from those that stay, is one
more coupling, whose inverse it is. Actnorm shifts before it scales. silu stands in the place of
relu, and no actnorm is in the networks.

Recipe: minigen/recipes/mnist_normalizing_flow.py.
Derivation: docs/derivations/normalizing_flows.md. Notebook: notebooks/13_flows.ipynb.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen import nn
from minigen.autograd import Tensor, no_grad
from minigen.backend import Array, array_module
from minigen.nn.init import orthogonal, zeroed
from minigen.nn.invertible import (
    ActNorm,
    Chain,
    Coupling,
    Invertible,
    Logit,
    MultiScale,
    Squeeze,
    check_shape,
    normal_log_prob,
)
from minigen.ops import abs, log, matmul, silu
from minigen.ops.elementwise import as_tensor


@dataclass(frozen=True)
class GlowConfig:
    """Sizes of the flow."""

    shape: tuple[int, int, int] = (28, 28, 1)  # of a picture, H and W multiples of 2^levels
    steps: tuple[int, ...] = (6, 6)  # of the flow at each scale, 14 and 7 pixels: K of figure 2
    widths: tuple[int, ...] = (64, 128)  # channels inside the couplings' networks at each scale
    alpha: float = 1e-5  # of the logit


class Conv1x1(Invertible):
    """Every pixel's channels times one matrix, W = L (U + diag(s)).

    L is lower triangular with a diagonal of ones, U upper triangular with a diagonal of zeros.

    Shapes: (N, H, W, C) -> the same.
    Source: section 3.2, equations 10 and 11.
    """

    def __init__(self, C: int, *, rng: np.random.Generator):
        lower, upper = _lu(orthogonal((C, C), rng=rng).astype(np.float64))
        self.lower = nn.Parameter(np.tril(lower, -1).astype(np.float32))
        self.upper = nn.Parameter(np.triu(upper, 1).astype(np.float32))
        self.diagonal = nn.Parameter(np.diag(upper).astype(np.float32))

    def factors(self) -> tuple[Tensor, Tensor]:
        """L and U + diag(s), both (C, C)."""
        xp, C, dtype = array_module(self.lower.data), len(self.diagonal), self.lower.dtype
        below, one = xp.tri(C, C, -1, dtype=dtype), xp.eye(C, dtype=dtype)
        return self.lower * below + one, self.upper * below.T + self.diagonal * one

    def forward(self, x: Any) -> tuple[Tensor, Tensor]:
        lower, upper = self.factors()
        pixels = x.shape[1] * x.shape[2]
        return x @ matmul(lower, upper), log(abs(self.diagonal)).sum() * float(pixels)  # eq. 11

    def inverse(self, z: Any) -> Tensor:
        """x = z W^-1, from two triangular systems solved in float64."""
        z, (lower, upper) = as_tensor(z), self.factors()
        xp, C = array_module(z.data), len(self.diagonal)
        rows = xp.linalg.solve(lower.data.astype(np.float64), xp.eye(C))
        inverse = xp.linalg.solve(upper.data.astype(np.float64), rows)  # U^-1 L^-1
        return z @ Tensor(inverse.astype(z.dtype))


def _lu(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """L and U of the rows of `a` in the order of the pivots: Gauss's elimination."""
    a, C = a.copy(), len(a)
    for k in range(C):
        pivot = k + np.abs(a[k:, k]).argmax()
        a[[k, pivot]] = a[[pivot, k]]
        a[k + 1 :, k] /= a[k, k]
        a[k + 1 :, k + 1 :] -= np.outer(a[k + 1 :, k], a[k, k + 1 :])
    return np.tril(a, -1) + np.eye(C), np.triu(a)


class CouplingNet(nn.Module):
    """3x3, 1x1 and 3x3 convolutions; the last starts at 0, so the coupling starts as the identity.

    Shapes: (N, H, W, C / 2) -> (N, H, W, C).
    Source: section 3.3 and appendix B.
    """

    def __init__(self, C: int, width: int, *, rng: np.random.Generator):
        self.input = nn.Conv2d(C // 2, width, 3, padding=1, rng=rng)
        self.hidden = nn.Linear(width, width, rng=rng)
        self.output = zeroed(nn.Conv2d(width, C, 3, padding=1, rng=rng))

    def forward(self, a: Tensor) -> Tensor:
        return self.output(silu(self.hidden(silu(self.input(a)))))


class Glow(Invertible):
    """Squeeze, `steps` of the flow, half of the channels leave; and again at half the size."""

    def __init__(self, config: GlowConfig, *, rng: np.random.Generator):
        self.config = config
        H, W, C = config.shape
        self.logit = Logit(config.alpha)
        levels, shapes = [], []
        for level, (steps, width) in enumerate(zip(config.steps, config.widths, strict=True)):
            H, W, C = H // 2, W // 2, 4 * C
            layers: list[Invertible] = [Squeeze()]
            for _ in range(steps):
                net = CouplingNet(C, width, rng=rng)
                layers += [ActNorm(C), Conv1x1(C, rng=rng), Coupling(net, C)]
            if level < len(config.steps) - 1:
                layers.append(Coupling(CouplingNet(C, width, rng=rng), C))  # the prior's
            levels.append(Chain(layers))
            shapes.append((H, W, C))
            C = C // 2
        self.scales = MultiScale(levels, shapes)

    def forward(self, x: Any) -> tuple[Tensor, Tensor]:
        check_shape("Glow", x, self.config.shape)
        x, opened = self.logit(x)
        z, log_det = self.scales(x)
        return z, opened + log_det

    def inverse(self, z: Any) -> Tensor:
        return self.logit.inverse(self.scales.inverse(z))


def log_prob(model: Glow, x: Any) -> Tensor:
    """log p(x) in nats, the density of pictures whose numbers lie in [0, 1].

    Shapes: (N, H, W, C) -> (N,).
    Raises: ValueError for pictures of another shape, or numbers outside [0, 1].
    """
    z, log_det = model(x)
    return normal_log_prob(z) + log_det  # eq. 3


def loss(model: Glow, x: Array, rng: np.random.Generator) -> Tensor:
    """-log p(x), mean over the batch, in nats a picture."""
    return -log_prob(model, Tensor(x)).mean()


def sample(model: Glow, n: int, rng: np.random.Generator, temperature: float = 1.0) -> Array:
    """Draw `n` pictures in [0, 1]; z has the standard deviation `temperature`, section 6."""
    H, W, C = model.config.shape
    z = temperature * rng.standard_normal((n, H * W * C)).astype(np.float32)
    with no_grad():
        return model.inverse(z).data.clip(0, 1)

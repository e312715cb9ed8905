"""Layers that are told a style: it says how strongly each channel of their input counts.

    w'_kio  = s_i w_kio                                                         1912.04958, (1)
    w''_kio = w'_kio / sqrt(sum over i, k of w'_kio^2 + eps)                    (3)

Source: Karras et al., Analyzing and Improving the Image Quality of StyleGAN, 2019, arXiv
1912.04958.
"""

import math
from typing import Any

import numpy as np

from minigen.autograd import Tensor
from minigen.nn.equalised import EqualisedLinear, EqualisedWeight
from minigen.nn.module import Module, Parameter
from minigen.ops import conv2d, leaky_relu, sqrt, upsample

GAIN = math.sqrt(2)  # of a leaky rectifier, so that signals keep their size
EPS = 1e-8


def activate(x: Tensor) -> Tensor:
    """sqrt(2) leaky_relu(x)."""
    return leaky_relu(x, negative_slope=0.2) * GAIN


def modulated_conv2d(x: Any, w: Any, s: Any, demodulate: bool = True) -> Tensor:
    """Each picture by a filter of its own, w scaled by the picture's s and brought to length 1.

        y_n = conv(x_n, w''_n),  w'_nkio = s_ni w_kio,  w'' = w' / sqrt(sum_ik w'^2 + eps)

    which is conv(x_n s_n, w) / sqrt(s_n^2 sum_k w_k^2 + eps).

    Shapes: x (N, H, W, C), w (K, K, C, O) with K odd, s (N, C) -> (N, H, W, O).
    Source: eq. 1 and 3; without demodulation, for colours, eq. 1.
    """
    N, C = s.shape
    y = conv2d(x * s.reshape(N, 1, 1, C), w, padding=w.shape[0] // 2)
    if not demodulate:
        return y
    squares = (w * w).sum(axis=(0, 1))  # (K, K, C, O) -> (C, O)
    length = sqrt((s * s) @ squares + EPS)  # (N, O)
    return y / length.reshape(N, 1, 1, -1)


class StyledConv(Module):
    """A modulated convolution, then noise, bias and rectifier; `grow` doubles the picture between.

    Shapes: x (N, H, W, C), w (N, styles) -> (N, H, W, O), or (N, 2 H, 2 W, O).
    Source: figure 2 d.
    """

    def __init__(self, styles: int, C: int, O: int, grow: bool, *, rng: np.random.Generator):
        self.weight, self.grow = EqualisedWeight(3, 3, C, O, rng=rng), grow
        self.style = EqualisedLinear(styles, C, bias=1.0, rng=rng)
        self.noise = Parameter(np.zeros(1, np.float32))
        self.bias = Parameter(np.zeros(O, np.float32))

    def forward(self, x: Any, w: Any, rng: np.random.Generator | None) -> Tensor:
        y = modulated_conv2d(x, self.weight(), self.style(w))
        if self.grow:
            y = upsample(y, 2, "bilinear")
        if rng is not None:
            grain = rng.standard_normal((*y.shape[:3], 1), np.float32)
            y = y + self.noise * grain.astype(y.dtype)
        return activate(y + self.bias)


class ToColours(Module):
    """What a scale adds to the picture: (N, H, W, C) -> (N, H, W, colours)."""

    def __init__(self, styles: int, C: int, colours: int, *, rng: np.random.Generator):
        self.weight = EqualisedWeight(1, 1, C, colours, rng=rng)
        self.style = EqualisedLinear(styles, C, bias=1.0, rng=rng)
        self.bias = Parameter(np.zeros(colours, np.float32))

    def forward(self, x: Any, w: Any) -> Tensor:
        return modulated_conv2d(x, self.weight(), self.style(w), demodulate=False) + self.bias

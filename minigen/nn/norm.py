"""Normalising layers: an op of ops/norm.py with a scale (from 1) and a shift (from 0) to learn."""

from typing import Any

import numpy as np

from minigen.autograd import Tensor
from minigen.nn.module import Buffer, Module, Parameter
from minigen.ops import (
    batch_norm,
    group_norm,
    group_norm_silu,
    instance_norm,
    layer_norm,
    rms_norm,
)


def _ones(width: int) -> Parameter:
    return Parameter(np.ones(width, np.float32))


def _zeros(width: int) -> Parameter:
    return Parameter(np.zeros(width, np.float32))


class LayerNorm(Module):
    """Mean 0 and variance 1 over the last axis of each position, then scale and shift.

    Shapes: x (..., width) -> the same.
    Source: Ba, Kiros and Hinton, 2016, arXiv 1607.06450.
    """

    def __init__(self, width: int, eps: float = 1e-5):
        self.weight, self.bias, self.eps = _ones(width), _zeros(width), eps

    def forward(self, x: Any) -> Tensor:
        return layer_norm(x, self.weight, self.bias, eps=self.eps)


class RMSNorm(Module):
    """Mean square 1 over the last axis of each position, then a scale.

    Shapes: x (..., width) -> the same.
    Source: Zhang and Sennrich, 2019, equation 4, arXiv 1910.07467.
    """

    def __init__(self, width: int, eps: float = 1e-6):
        self.weight, self.eps = _ones(width), eps

    def forward(self, x: Any) -> Tensor:
        return rms_norm(x, self.weight, eps=self.eps)


class GroupNorm(Module):
    """Mean 0 and variance 1 over the pixels and channels of each group, then scale and shift.

    With `silu` that function follows, in the same op.

    Shapes: x (N, H, W, num_channels) -> the same.
    Raises: ValueError where num_groups does not divide num_channels.
    Source: Wu and He, 2018, arXiv 1803.08494.
    """

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, silu: bool = False):
        if num_channels % num_groups:
            raise ValueError(
                f"GroupNorm: {num_channels} channels do not split into {num_groups} groups"
            )
        self.num_groups, self.eps, self.silu = num_groups, eps, silu
        self.weight, self.bias = _ones(num_channels), _zeros(num_channels)

    def forward(self, x: Any) -> Tensor:
        norm = group_norm_silu if self.silu else group_norm
        return norm(x, self.num_groups, self.weight, self.bias, eps=self.eps)


class InstanceNorm2d(Module):
    """Mean 0 and variance 1 over each picture's pixels, channel by channel, then scale and shift.

    Shapes: x (N, H, W, num_features) -> the same.
    Source: Ulyanov, Vedaldi and Lempitsky, 2016, arXiv 1607.08022.
    """

    def __init__(self, num_features: int, eps: float = 1e-5):
        self.weight, self.bias, self.eps = _ones(num_features), _zeros(num_features), eps

    def forward(self, x: Any) -> Tensor:
        return instance_norm(x, self.weight, self.bias, eps=self.eps)


class BatchNorm2d(Module):
    """Mean 0 and variance 1 of each channel over the batch and its pixels, then scale and shift.

    In training it takes the batch's statistics and moves the running ones by `momentum` towards
    them; in use (`eval`) it takes the running ones.
    Shapes: x (N, H, W, num_features) -> the same.
    Source: Ioffe and Szegedy, 2015, algorithms 1 and 2, arXiv 1502.03167.
    """

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1):
        self.weight, self.bias = _ones(num_features), _zeros(num_features)
        self.running_mean = Buffer(np.zeros(num_features, np.float32))
        self.running_var = Buffer(np.ones(num_features, np.float32))
        self.eps, self.momentum = eps, momentum

    def forward(self, x: Any) -> Tensor:
        return batch_norm(
            x,
            self.running_mean.data,
            self.running_var.data,
            self.weight,
            self.bias,
            training=self.training,
            momentum=self.momentum,
            eps=self.eps,
        )

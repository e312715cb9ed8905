"""What the CUDA rungs of conv2d and of its two gradients ask of their arrays, and how they read
them.
"""

from typing import NamedTuple

import numpy as np

from minigen.kernels.launch import contiguous, module_of, only_cuda

ROWS, COLUMNS = 128, 64  # what a block makes of a product: mg_tile.cuh, mg_mma_tile.cuh


class Sizes(NamedTuple):
    """Axes and steps of a convolution, in the order in which every kernel takes them."""

    N: int
    H: int
    W: int
    C: int
    O: int
    KH: int
    KW: int
    OH: int
    OW: int
    SH: int
    SW: int
    PH: int
    PW: int

    @property
    def pixels(self):
        """Of the output."""
        return self.N * self.OH * self.OW


def sizes(x_shape, w_shape, stride, padding):
    """Sizes of the convolution of x (N, H, W, C) with w (KH, KW, C, O)."""
    (N, H, W, C), (KH, KW, _, O) = x_shape, w_shape
    (SH, SW), (PH, PW) = pair(stride), pair(padding)
    OH, OW = (H + 2 * PH - KH) // SH + 1, (W + 2 * PW - KW) // SW + 1
    return Sizes(N, H, W, C, O, KH, KW, OH, OW, SH, SW, PH, PW)


def pair(value):
    """A setting for height and width: one number means both."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def supports(x, w, *, stride=1, padding=0):
    """None, or why the rungs of conv2d cannot take these arrays."""
    return only_cuda(x, w) or _misfit(x.shape, w.shape, stride, padding)


def supports_input_grad(g, w, *, size, stride=1, padding=0):
    if reason := only_cuda(g, w):
        return reason
    if g.ndim != 4 or w.ndim != 4:
        return "the shapes do not fit"
    x_shape = (g.shape[0], *size, w.shape[2])
    return _misfit(x_shape, w.shape, stride, padding, g.shape)


def supports_weight_grad(g, x, *, kernel_size, stride=1, padding=0):
    if reason := only_cuda(g, x):
        return reason
    if g.ndim != 4 or x.ndim != 4:
        return "the shapes do not fit"
    w_shape = (*kernel_size, x.shape[3], g.shape[3])
    return _misfit(x.shape, w_shape, stride, padding, g.shape)


def _misfit(x_shape, w_shape, stride, padding, y_shape=None):
    if len(x_shape) != 4 or len(w_shape) != 4 or x_shape[3] != w_shape[2]:
        return "the shapes do not fit"
    if 0 in (*x_shape, *w_shape):
        return "an axis is empty"
    s = sizes(x_shape, w_shape, stride, padding)
    if min(s.OH, s.OW) < 1 or y_shape not in (None, (s.N, s.OH, s.OW, s.O)):
        return "the shapes do not fit"
    if max(s.pixels, s.N * s.H * s.W) > 2**31 - 2**10:
        return "it counts pixels in 32 bits"
    return None


def in_fours(a, axes=(-1,)):
    """`a`, its `axes` filled up with zeros to multiples of 4, so that a kernel reads float4.

    That is a copy where a picture has 1 or 3 channels, and nothing in the layers where the time is.
    """
    missing = [0] * a.ndim
    for axis in axes:
        missing[axis] = -a.shape[axis] % 4
    if any(missing):
        return module_of(a).pad(a, [(0, n) for n in missing])
    a = contiguous(a)
    address = a.ctypes.data if isinstance(a, np.ndarray) else a.data.ptr
    return a.copy() if address % 16 else a

"""Ops that change the size of an image: pooling, upsampling, pixels to channels and back."""

import functools
from typing import Any

import numpy as np

from minigen.autograd import Tensor, matmul, primitive
from minigen.backend import Array, array_module
from minigen.ops.conv import Pair, output_size, pair
from minigen.ops.elementwise import as_tensor

# --------------------------------------------------------------------------------- pooling


def avg_pool2d(x: Any, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0) -> Tensor:
    """The mean of each window; the padding counts, as zeros. `stride` is kernel_size by default.

    Shapes: x (N, H, W, C) -> (N, OH, OW, C) with OH = floor((H + 2 padding - KH) / stride) + 1.
    Raises: ValueError for a window larger than the padded image, or more padding than half of it.
    """
    return avg_pool2d_(
        x,
        kernel_size=pair(kernel_size),
        stride=pair(kernel_size if stride is None else stride),
        padding=pair(padding),
    )


@primitive
def avg_pool2d_(x: Array, *, kernel_size: Pair, stride: Pair, padding: Pair) -> Array:
    """The mean of each window."""
    size = _pooled_size("avg_pool2d", x, kernel_size, stride, padding)
    x = _padded(x, padding, 0.0)
    first, *others = _taps(kernel_size, stride, size)
    y = x[first].copy()
    for tap in others:
        y += x[tap]
    y *= 1 / (len(others) + 1)
    return y


@avg_pool2d_.backward
def avg_pool2d_backward(g, y, x, **settings):
    return avg_pool2d_grad(g, size=x.shape[1:3], **settings)


@primitive
def avg_pool2d_grad(
    g: Array, *, size: tuple[int, int], kernel_size: Pair, stride: Pair, padding: Pair
) -> Array:
    """Every mean sends an equal share of its gradient to the pixels of its window.

    Shapes: g (N, OH, OW, C) -> (N, H, W, C) with `size` = (H, W).
    """
    gx = _zeros(g, size, padding)
    taps = _taps(kernel_size, stride, g.shape[1:3])
    share = g * (1 / len(taps))
    for tap in taps:
        gx[tap] += share
    return _cropped(gx, padding)


@avg_pool2d_grad.backward
def avg_pool2d_grad_backward(h, y, g, *, size, **settings):
    return avg_pool2d_(h, **settings)


def max_pool2d(x: Any, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0) -> Tensor:
    """The largest element of each window; the padding never wins.

    `stride` is kernel_size by default. The gradient goes to the first of equals, row by row.

    Shapes: x (N, H, W, C) -> (N, OH, OW, C) with OH = floor((H + 2 padding - KH) / stride) + 1.
    Raises: ValueError for a window larger than the padded image, or more padding than half of it.
    """
    return max_pool2d_(
        x,
        kernel_size=pair(kernel_size),
        stride=pair(kernel_size if stride is None else stride),
        padding=pair(padding),
    )


@primitive
def max_pool2d_(x: Array, *, kernel_size: Pair, stride: Pair, padding: Pair) -> Array:
    """The largest element of each window."""
    xp = array_module(x)
    size = _pooled_size("max_pool2d", x, kernel_size, stride, padding)
    x = _padded(x, padding, -xp.inf)
    first, *others = _taps(kernel_size, stride, size)
    y = x[first].copy()
    for tap in others:
        xp.maximum(y, x[tap], out=y)
    return y


@max_pool2d_.backward
def max_pool2d_backward(g, y, x, *, kernel_size, stride, padding):
    xp = array_module(x.data)
    padded = _padded(x.data, padding, -xp.inf)
    winner = xp.zeros(y.shape, xp.int16)  # the tap whose pixel each output is
    for i, tap in reversed(list(enumerate(_taps(kernel_size, stride, y.shape[1:3])))):
        winner += (padded[tap] == y.data) * (i - winner)
    return max_pool2d_grad(
        g,
        winner=winner,
        size=x.shape[1:3],
        kernel_size=kernel_size,
        stride=stride,
        padding=padding,
    )


@primitive
def max_pool2d_grad(
    g: Array,
    *,
    winner: Array,
    size: tuple[int, int],
    kernel_size: Pair,
    stride: Pair,
    padding: Pair,
) -> Array:
    """Every maximum sends its gradient to the pixel that won.

    Shapes: g and winner (N, OH, OW, C) -> (N, H, W, C) with `size` = (H, W).
    """
    gx = _zeros(g, size, padding)
    for i, tap in enumerate(_taps(kernel_size, stride, g.shape[1:3])):
        gx[tap] += g * (winner == i)
    return _cropped(gx, padding)


@max_pool2d_grad.backward
def max_pool2d_grad_backward(h, y, g, *, winner, size, **settings):
    return max_pool2d_pick(h, winner=winner, **settings)


@primitive
def max_pool2d_pick(
    x: Array, *, winner: Array, kernel_size: Pair, stride: Pair, padding: Pair
) -> Array:
    """Of each window the pixel that `winner` names: the transpose of max_pool2d_grad."""
    x = _padded(x, padding, 0.0)
    y = array_module(x).zeros(winner.shape, x.dtype)
    for i, tap in enumerate(_taps(kernel_size, stride, winner.shape[1:3])):
        y += x[tap] * (winner == i)
    return y


@max_pool2d_pick.backward
def max_pool2d_pick_backward(g, y, x, *, winner, **settings):
    return max_pool2d_grad(g, winner=winner, size=x.shape[1:3], **settings)


def _taps(kernel_size: Pair, stride: Pair, size: tuple[int, int]) -> list[tuple[slice, ...]]:
    """For each place in the window, row by row, the pixels there under all windows, as an index."""
    (KH, KW), (SH, SW), (OH, OW) = pair(kernel_size), pair(stride), size
    return [
        (slice(None), slice(i, i + SH * OH, SH), slice(j, j + SW * OW, SW))
        for i in range(KH)
        for j in range(KW)
    ]


def _pooled_size(
    name: str, x: Array, kernel_size: Pair, stride: Pair, padding: Pair
) -> tuple[int, int]:
    if x.ndim != 4:
        raise ValueError(f"{name}: expected x (N, H, W, C), got {x.shape}")
    settings = zip("HW", x.shape[1:3], pair(kernel_size), pair(stride), pair(padding))
    for axis, n, k, s, p in settings:
        if 2 * p > k:
            raise ValueError(f"{name}: padding {p} is more than half of the window's {k}")
        if output_size(n, k, s, p) < 1:
            raise ValueError(
                f"{name}: {axis} = {n} with padding {p} is smaller than the window's {k}"
            )
    (KH, KW), (SH, SW), (PH, PW) = pair(kernel_size), pair(stride), pair(padding)
    return output_size(x.shape[1], KH, SH, PH), output_size(x.shape[2], KW, SW, PW)


def _padded(x: Array, padding: Pair, value: float) -> Array:
    PH, PW = pair(padding)
    widths = ((0, 0), (PH, PH), (PW, PW), (0, 0))
    return array_module(x).pad(x, widths, constant_values=value) if PH or PW else x


def _zeros(g: Array, size: tuple[int, int], padding: Pair) -> Array:
    (H, W), (PH, PW) = size, pair(padding)
    return array_module(g).zeros((g.shape[0], H + 2 * PH, W + 2 * PW, g.shape[3]), g.dtype)


def _cropped(x: Array, padding: Pair) -> Array:
    PH, PW = pair(padding)
    return x[:, PH : x.shape[1] - PH, PW : x.shape[2] - PW]


# ------------------------------------------------------------------------------ upsampling


def upsample(x: Any, scale_factor: int = 2, mode: str = "nearest") -> Tensor:
    """An image `scale_factor` times as high and as wide.

    mode  "nearest" repeats pixels; "bilinear" draws lines between the centres of pixels, and beyond
          the outermost centres repeats them (align_corners=False of PyTorch)

    Shapes: x (N, H, W, C) -> (N, H * scale_factor, W * scale_factor, C).
    """
    x = as_tensor(x)
    if x.ndim != 4 or scale_factor < 1 or scale_factor != int(scale_factor):
        raise ValueError(
            f"upsample: expected x (N, H, W, C) and a whole scale_factor >= 1, "
            f"got {x.shape} and {scale_factor}"
        )
    if mode == "nearest":
        return upsample_nearest(x, scale_factor=int(scale_factor))
    if mode != "bilinear":
        raise ValueError(f'upsample: mode is {mode!r}, expected "nearest" or "bilinear"')
    (N, H, W, C), r, xp = x.shape, int(scale_factor), array_module(x.data)
    down, across = (xp.asarray(_bilinear(size, r), x.dtype) for size in (H, W))
    y = matmul(down, x.reshape(N, H, W * C))  # (N, H * r, W * C)
    return matmul(across, y.reshape(N, H * r, W, C))  # (N, H * r, W * r, C)


@functools.cache
def _bilinear(size: int, r: int) -> np.ndarray:
    """Weights (size * r, size): row p holds how much of each pixel goes into the new pixel p."""
    place = (np.arange(size * r) + 0.5) / r - 0.5  # of the new centres, counted in old ones
    distance = np.abs(place.clip(0, size - 1)[:, None] - np.arange(size))
    return np.maximum(0, 1 - distance)


@primitive
def upsample_nearest(x: Array, *, scale_factor: int) -> Array:
    """y[n, p, q, c] = x[n, p // scale_factor, q // scale_factor, c]."""
    (N, H, W, C), r = x.shape, scale_factor
    y = array_module(x).empty((N, H, r, W, r, C), x.dtype)
    y[:] = x[:, :, None, :, None]
    return y.reshape(N, H * r, W * r, C)


@upsample_nearest.backward
def upsample_nearest_backward(g, y, x, *, scale_factor):
    return avg_pool2d(g, scale_factor) * scale_factor**2


# ---------------------------------------------------------------------- pixels and channels


def pixel_shuffle(x: Any, r: int) -> Tensor:
    """Channels to pixels: y[n, h*r + i, w*r + j, c] = x[n, h, w, c*r*r + i*r + j].

    Shapes: x (N, H, W, C * r * r) -> (N, H * r, W * r, C).
    Raises: ValueError where r * r does not divide the channels.
    Source: Shi et al., 2016, arXiv 1609.05158, eq. 4, in PyTorch's order of channels.
    """
    return pixel_shuffle_(x, r=r)


@primitive
def pixel_shuffle_(x: Array, *, r: int) -> Array:
    """Channels to pixels."""
    N, H, W, CRR = x.shape
    if CRR % (r * r):
        raise ValueError(f"pixel_shuffle: x has C = {CRR} channels, expected a multiple of {r * r}")
    C = CRR // (r * r)
    y = x.reshape(N, H, W, C, r, r).transpose(0, 1, 4, 2, 5, 3)  # (N, H, r, W, r, C)
    return y.reshape(N, H * r, W * r, C)


def space_to_depth(x: Any, r: int) -> Tensor:
    """Pixels to channels: the inverse of pixel_shuffle, torch's pixel_unshuffle.

    Shapes: x (N, H * r, W * r, C) -> (N, H, W, C * r * r).
    Raises: ValueError where r does not divide height and width.
    """
    return space_to_depth_(x, r=r)


@primitive
def space_to_depth_(x: Array, *, r: int) -> Array:
    """Pixels to channels."""
    N, HR, WR, C = x.shape
    if HR % r or WR % r:
        raise ValueError(f"space_to_depth: x is {HR} x {WR} pixels, expected multiples of {r}")
    H, W = HR // r, WR // r
    y = x.reshape(N, H, r, W, r, C).transpose(0, 1, 3, 5, 2, 4)  # (N, H, W, C, r, r)
    return y.reshape(N, H, W, C * r * r)


@pixel_shuffle_.backward
def pixel_shuffle_backward(g, y, x, *, r):
    return space_to_depth_(g, r=r)


@space_to_depth_.backward
def space_to_depth_backward(g, y, x, *, r):
    return pixel_shuffle_(g, r=r)

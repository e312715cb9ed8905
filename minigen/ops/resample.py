"""Ops that change the size of an image: pooling, upsampling, and moving pixels into channels and back."""

from typing import Any

from minigen.autograd import Tensor, matmul, primitive
from minigen.backend import Array, array_module
from minigen.ops.conv import Pair, output_size, pair


def _taps(kernel_size: Pair, stride: Pair, size: tuple[int, int]) -> list[tuple[slice, slice]]:
    """For each tap of the window, row by row, the pixels it reads to make an output of `size`."""
    (KH, KW), (SH, SW), (OH, OW) = pair(kernel_size), pair(stride), size
    return [
        (slice(i, i + SH * OH, SH), slice(j, j + SW * OW, SW)) for i in range(KH) for j in range(KW)
    ]


def _pool_shape(name: str, x: Array, kernel_size: Pair, stride: Pair, padding: Pair):
    if x.ndim != 4:
        raise ValueError(f"{name}: expected x (N, H, W, C), got {x.shape}")
    size = []
    for axis, n, k, s, p in zip("HW", x.shape[1:3], *map(pair, (kernel_size, stride, padding))):
        if 2 * p > k:
            raise ValueError(f"{name}: padding {p} is more than half of the window's {k}")
        if output_size(n, k, s, p) < 1:
            raise ValueError(
                f"{name}: {axis} = {n} with padding {p} is smaller than the window's {k}"
            )
        size.append(output_size(n, k, s, p))
    return tuple(size)


def _padded(x: Array, padding: Pair, value: float) -> Array:
    PH, PW = pair(padding)
    if not (PH or PW):
        return x
    widths = ((0, 0), (PH, PH), (PW, PW), (0, 0))
    return array_module(x).pad(x, widths, constant_values=value)


def avg_pool2d(x: Any, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0) -> Tensor:
    """The mean of each window; padding counts as zeros."""
    stride = kernel_size if stride is None else stride
    return avg_pool2d_(x, kernel_size=kernel_size, stride=stride, padding=padding)


@primitive
def avg_pool2d_(x: Array, *, kernel_size: Pair, stride: Pair, padding: Pair = 0) -> Array:
    OH, OW = _pool_shape("avg_pool2d", x, kernel_size, stride, padding)
    padded = _padded(x, padding, 0.0)
    y = array_module(x).zeros((x.shape[0], OH, OW, x.shape[3]), x.dtype)
    taps = _taps(kernel_size, stride, (OH, OW))
    for rows, columns in taps:
        y += padded[:, rows, columns]
    y /= len(taps)
    return y


@avg_pool2d_.backward
def avg_pool2d_backward(g, y, x, *, kernel_size, stride, padding=0):
    return avg_pool2d_grad(
        g, size=x.shape[1:3], kernel_size=kernel_size, stride=stride, padding=padding
    )


@primitive
def avg_pool2d_grad(
    g: Array, *, size: tuple[int, int], kernel_size: Pair, stride: Pair, padding: Pair = 0
) -> Array:
    (N, OH, OW, C), (H, W), (PH, PW) = g.shape, size, pair(padding)
    gx = array_module(g).zeros((N, H + 2 * PH, W + 2 * PW, C), g.dtype)
    taps = _taps(kernel_size, stride, (OH, OW))
    share = g / len(taps)
    for rows, columns in taps:
        gx[:, rows, columns] += share
    return gx[:, PH : PH + H, PW : PW + W]


@avg_pool2d_grad.backward
def avg_pool2d_grad_backward(h, y, g, *, size, kernel_size, stride, padding=0):
    return avg_pool2d_(h, kernel_size=kernel_size, stride=stride, padding=padding)


def max_pool2d(x: Any, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0) -> Tensor:
    """The largest element of each window; the gradient goes to the first of equals, row by row."""
    stride = kernel_size if stride is None else stride
    return max_pool2d_(x, kernel_size=kernel_size, stride=stride, padding=padding)


@primitive
def max_pool2d_(x: Array, *, kernel_size: Pair, stride: Pair, padding: Pair = 0) -> Array:
    xp = array_module(x)
    size = _pool_shape("max_pool2d", x, kernel_size, stride, padding)
    padded = _padded(x, padding, -xp.inf)
    (rows, columns), *others = _taps(kernel_size, stride, size)
    y = padded[:, rows, columns].copy()
    for rows, columns in others:
        xp.maximum(y, padded[:, rows, columns], out=y)
    return y


@max_pool2d_.backward
def max_pool2d_backward(g, y, x, *, kernel_size, stride, padding=0):
    settings = {"kernel_size": kernel_size, "stride": stride, "padding": padding}
    xp = array_module(x.data)
    padded = _padded(x.data, padding, -xp.inf)
    winner = xp.full(y.shape, -1, xp.int16)  # the tap that each output was copied from
    for tap, (rows, columns) in enumerate(_taps(kernel_size, stride, y.shape[1:3])):
        winner[(padded[:, rows, columns] == y.data) & (winner < 0)] = tap
    return max_pool2d_grad(g, winner=winner, size=x.shape[1:3], **settings)


@primitive
def max_pool2d_grad(
    g: Array,
    *,
    winner: Array,
    size: tuple[int, int],
    kernel_size: Pair,
    stride: Pair,
    padding: Pair = 0,
) -> Array:
    (N, OH, OW, C), (H, W), (PH, PW) = g.shape, size, pair(padding)
    gx = array_module(g).zeros((N, H + 2 * PH, W + 2 * PW, C), g.dtype)
    for tap, (rows, columns) in enumerate(_taps(kernel_size, stride, (OH, OW))):
        gx[:, rows, columns] += g * (winner == tap)
    return gx[:, PH : PH + H, PW : PW + W]


@max_pool2d_grad.backward
def max_pool2d_grad_backward(h, y, g, *, winner, size, kernel_size, stride, padding=0):
    return max_pool2d_gather(
        h, winner=winner, kernel_size=kernel_size, stride=stride, padding=padding
    )


@primitive
def max_pool2d_gather(
    h: Array, *, winner: Array, kernel_size: Pair, stride: Pair, padding: Pair = 0
) -> Array:
    padded = _padded(h, padding, 0.0)
    y = array_module(h).zeros(winner.shape, h.dtype)
    for tap, (rows, columns) in enumerate(_taps(kernel_size, stride, winner.shape[1:3])):
        y += padded[:, rows, columns] * (winner == tap)
    return y


@max_pool2d_gather.backward
def max_pool2d_gather_backward(g, y, h, *, winner, kernel_size, stride, padding=0):
    return max_pool2d_grad(
        g, winner=winner, size=h.shape[1:3], kernel_size=kernel_size, stride=stride, padding=padding
    )


def upsample(x: Any, scale_factor: int = 2, mode: str = "nearest") -> Tensor:
    """Make an image `scale_factor` times as high and as wide."""
    x = x if isinstance(x, Tensor) else Tensor(x)
    if mode == "nearest":
        return upsample_nearest(x, scale_factor=scale_factor)
    if mode != "bilinear":
        raise ValueError(f'upsample: mode is {mode!r}, expected "nearest" or "bilinear"')
    N, H, W, C = x.shape
    xp = array_module(x.data)
    up, across = (xp.asarray(_bilinear(n, scale_factor, x.dtype)) for n in (H, W))
    y = matmul(up, x.reshape(N, H, W * C))  # (N, OH, W * C)
    y = matmul(across, y.reshape(N, up.shape[0], W, C))  # (N, OH, OW, C)
    return y


def _bilinear(size: int, scale_factor: int, dtype: Any) -> Array:
    import numpy as np

    source = (np.arange(size * scale_factor) + 0.5) / scale_factor - 0.5
    source = source.clip(0, size - 1)[:, None]
    return np.maximum(0, 1 - np.abs(source - np.arange(size))).astype(dtype)


@primitive
def upsample_nearest(x: Array, *, scale_factor: int) -> Array:
    (N, H, W, C), r = x.shape, scale_factor
    xp = array_module(x)
    y = xp.empty((N, H, r, W, r, C), x.dtype)
    y[:] = x[:, :, None, :, None]
    return y.reshape(N, H * r, W * r, C)


@upsample_nearest.backward
def upsample_nearest_backward(g, y, x, *, scale_factor):
    return avg_pool2d(g, scale_factor) * scale_factor**2


def pixel_shuffle(x: Any, r: int) -> Tensor:
    """Channels to pixels: y[n, h*r+i, w*r+j, c] = x[n, h, w, c*r*r + i*r + j]."""
    x = x if isinstance(x, Tensor) else Tensor(x)
    N, H, W, C = x.shape
    if C % (r * r):
        raise ValueError(f"pixel_shuffle: x has C = {C} channels, expected a multiple of {r * r}")
    y = x.reshape(N, H, W, C // (r * r), r, r).transpose(0, 1, 4, 2, 5, 3)  # (N, H, r, W, r, C)
    return y.reshape(N, H * r, W * r, C // (r * r))


def space_to_depth(x: Any, r: int) -> Tensor:
    """Pixels to channels, the inverse of pixel_shuffle."""
    x = x if isinstance(x, Tensor) else Tensor(x)
    N, H, W, C = x.shape
    if H % r or W % r:
        raise ValueError(f"space_to_depth: image is {H} x {W}, expected multiples of {r}")
    y = x.reshape(N, H // r, r, W // r, r, C).transpose(0, 1, 3, 5, 2, 4)  # (N, H/r, W/r, C, r, r)
    return y.reshape(N, H // r, W // r, C * r * r)

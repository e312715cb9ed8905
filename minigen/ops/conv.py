"""Two-dimensional convolution and its two gradients: one trilinear form, three faces.

For L = sum(g * conv2d(x, w)):

    conv2d(x, w)             = dL/dg   (N, OH, OW, O)
    conv2d_input_grad(g, w)  = dL/dx   (N, H, W, C)       the transposed convolution
    conv2d_weight_grad(g, x) = dL/dw   (KH, KW, C, O)

Each one's gradients are the other two, so derivatives of any order stay in this file.

Source: Dumoulin and Visin, A guide to convolution arithmetic for deep learning, 2016,
arXiv 1603.07285.
Derivation: docs/derivations/conv2d.md.
"""

from collections.abc import Iterator
from typing import Any

from minigen.autograd import Tensor, primitive
from minigen.backend import Array, array_module

Pair = int | tuple[int, int]
CACHE = 4 << 20  # bytes of columns at a time


def pair(value: Pair) -> tuple[int, int]:
    """A setting for height and width: one number means both.

    >>> pair(3), pair((1, 2))
    ((3, 3), (1, 2))
    """
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def output_size(size: int, kernel: int, stride: int, padding: int) -> int:
    """Output pixels along one axis: floor((size + 2 padding - kernel) / stride) + 1.

    >>> output_size(32, kernel=4, stride=2, padding=1)
    16
    """
    return (size + 2 * padding - kernel) // stride + 1


def columns(x: Array, kernel_size: Pair, stride: Pair, padding: Pair) -> Array:
    """The patch under each output pixel as a row ("im2col").

    Shapes: (N, H, W, C) -> (N, OH, OW, KH * KW * C).
    """
    xp = array_module(x)
    (KH, KW), (SH, SW), (PH, PW) = pair(kernel_size), pair(stride), pair(padding)
    if PH or PW:
        x = xp.pad(x, ((0, 0), (PH, PH), (PW, PW), (0, 0)))
    windows = xp.lib.stride_tricks.sliding_window_view(x, (KH, KW), axis=(1, 2))
    windows = windows[:, ::SH, ::SW].transpose(0, 1, 2, 4, 5, 3)  # (N, OH, OW, KH, KW, C), a view
    return windows.reshape(*windows.shape[:3], KH * KW * x.shape[-1])  # the copy


def blocks(x: Array, kernel_size: Pair, stride: Pair, padding: Pair) -> Iterator[slice]:
    """The batch in runs of images whose columns fit a core's cache: there the copy costs little."""
    (N, H, W, C), (KH, KW) = x.shape, pair(kernel_size)
    (SH, SW), (PH, PW) = pair(stride), pair(padding)
    pixels = output_size(H, KH, SH, PH) * output_size(W, KW, SW, PW)
    at_once = max(1, CACHE // (pixels * KH * KW * C * x.itemsize))
    return (slice(first, first + at_once) for first in range(0, N, at_once))


def _convolve(x: Array, w: Array, stride: Pair, padding: Pair) -> Array:
    xp = array_module(x)
    (N, H, W, _), (KH, KW, _, O) = x.shape, w.shape
    (SH, SW), (PH, PW) = pair(stride), pair(padding)
    OH, OW = output_size(H, KH, SH, PH), output_size(W, KW, SW, PW)
    y, matrix = xp.empty((N, OH, OW, O), x.dtype), w.reshape(-1, O)  # (KH * KW * C, O)
    for n in blocks(x, (KH, KW), stride, padding):
        rows = columns(x[n], (KH, KW), stride, padding)  # (n, OH, OW, KH * KW * C)
        xp.matmul(rows.reshape(-1, len(matrix)), matrix, out=y[n].reshape(-1, O))
    return y


@primitive
def conv2d(x: Array, w: Array, *, stride: Pair = 1, padding: Pair = 0) -> Array:
    """y[n,p,q,o] = sum_{i,j,c} x[n, p*stride+i-padding, q*stride+j-padding, c] * w[i,j,c,o].

    Outside of the image x is 0. `stride` and `padding` are one number, or one for each axis.

    Shapes: x (N, H, W, C), w (KH, KW, C, O) -> (N, OH, OW, O)
            with OH = floor((H + 2 padding - KH) / stride) + 1.
    Raises: ValueError where the channels differ or the filter is larger than the padded image.
    Cost: 2 N OH OW KH KW C O FLOPs in matrix products; 4 MB of columns at a time.
    Source: arXiv 1603.07285, relationship 6; the cross-correlation that is called convolution.
    """
    _check("conv2d", x, w, stride, padding)
    return _convolve(x, w, stride, padding)


@conv2d.backward
def conv2d_backward(g, y, x, w, *, stride=1, padding=0):
    steps = {"stride": stride, "padding": padding}
    gx = conv2d_input_grad(g, w, size=x.shape[1:3], **steps) if x.requires_grad else None
    gw = conv2d_weight_grad(g, x, kernel_size=w.shape[:2], **steps) if w.requires_grad else None
    return gx, gw


@primitive
def conv2d_input_grad(
    g: Array, w: Array, *, size: tuple[int, int], stride: Pair = 1, padding: Pair = 0
) -> Array:
    """gx[n, p*stride+i-padding, q*stride+j-padding, c] += sum_o g[n,p,q,o] * w[i,j,c,o].

    Every output pixel sends its gradient back to the pixels that it read.

    Shapes: g (N, OH, OW, O), w (KH, KW, C, O) -> (N, H, W, C) with `size` = (H, W).
    """
    (N, OH, OW, O), (KH, KW, C, _), (H, W) = g.shape, w.shape, size
    (SH, SW), (PH, PW) = pair(stride), pair(padding)
    xp = array_module(g)
    if (SH, SW) == (1, 1) and PH < KH and PW < KW:
        # the same sum, gathered: a convolution with the flipped filter
        flipped = xp.ascontiguousarray(w[::-1, ::-1].transpose(0, 1, 3, 2))  # (KH, KW, O, C)
        return _convolve(g, flipped, 1, (KH - 1 - PH, KW - 1 - PW))
    rows = (g.reshape(-1, O) @ w.reshape(KH * KW * C, O).T).reshape(N, OH, OW, KH, KW, C)
    gx = xp.zeros((N, H + 2 * PH, W + 2 * PW, C), g.dtype)
    for i in range(KH):
        for j in range(KW):
            gx[:, i : i + SH * OH : SH, j : j + SW * OW : SW] += rows[:, :, :, i, j]
    return gx[:, PH : PH + H, PW : PW + W]


@conv2d_input_grad.backward
def conv2d_input_grad_backward(h, y, g, w, *, size, stride=1, padding=0):
    steps = {"stride": stride, "padding": padding}
    gg = conv2d(h, w, **steps) if g.requires_grad else None
    gw = conv2d_weight_grad(g, h, kernel_size=w.shape[:2], **steps) if w.requires_grad else None
    return gg, gw


@primitive
def conv2d_weight_grad(
    g: Array, x: Array, *, kernel_size: tuple[int, int], stride: Pair = 1, padding: Pair = 0
) -> Array:
    """gw[i,j,c,o] = sum_{n,p,q} x[n, p*stride+i-padding, q*stride+j-padding, c] * g[n,p,q,o].

    Shapes: g (N, OH, OW, O), x (N, H, W, C) -> (KH, KW, C, O).
    """
    (KH, KW), (O, C) = kernel_size, (g.shape[-1], x.shape[-1])
    gw = array_module(x).zeros((KH * KW * C, O), g.dtype)
    for n in blocks(x, kernel_size, stride, padding):
        rows = columns(x[n], kernel_size, stride, padding).reshape(-1, KH * KW * C)
        gw += rows.T @ g[n].reshape(-1, O)
    return gw.reshape(KH, KW, C, O)


@conv2d_weight_grad.backward
def conv2d_weight_grad_backward(h, y, g, x, *, kernel_size, stride=1, padding=0):
    steps = {"stride": stride, "padding": padding}
    gg = conv2d(x, h, **steps) if g.requires_grad else None
    gx = conv2d_input_grad(g, h, size=x.shape[1:3], **steps) if x.requires_grad else None
    return gg, gx


def conv_transpose2d(
    x: Any, w: Any, stride: Pair = 1, padding: Pair = 0, output_padding: Pair = 0
) -> Tensor:
    """The transpose of conv2d as a layer: each pixel of x is spread over a patch of the output.

    Shapes: x (N, H, W, C), w (KH, KW, C, O) -> (N, OH, OW, O)
            with OH = (H - 1) stride - 2 padding + KH + output_padding.
    Raises: ValueError for output_padding >= stride, or channels that differ.
    Source: arXiv 1603.07285, relationship 14.
    """
    if x.ndim != 4 or w.ndim != 4:
        raise ValueError(
            f"conv_transpose2d: expected x (N, H, W, C) and w (KH, KW, C, O), "
            f"got {x.shape} and {w.shape}"
        )
    (KH, KW, C, _), (_, H, W, CX) = w.shape, x.shape
    stride, padding, output_padding = pair(stride), pair(padding), pair(output_padding)
    if CX != C:
        raise ValueError(f"conv_transpose2d: x has C = {CX} channels, w expects {C}")
    if output_padding[0] >= stride[0] or output_padding[1] >= stride[1]:
        raise ValueError(
            f"conv_transpose2d: output_padding {output_padding} must be below the stride {stride}"
        )
    OH, OW = (
        (n - 1) * s - 2 * p + k + extra
        for n, s, p, k, extra in zip((H, W), stride, padding, (KH, KW), output_padding)
    )
    return conv2d_input_grad(
        x, w.transpose(0, 1, 3, 2), size=(OH, OW), stride=stride, padding=padding
    )


def _check(name: str, x: Array, w: Array, stride: Pair, padding: Pair) -> None:
    if x.ndim != 4 or w.ndim != 4:
        raise ValueError(
            f"{name}: expected x (N, H, W, C) and w (KH, KW, C, O), got {x.shape} and {w.shape}"
        )
    if x.shape[-1] != w.shape[2]:
        raise ValueError(f"{name}: x has C = {x.shape[-1]} channels, w expects {w.shape[2]}")
    for axis, size, kernel, s, p in zip(
        "HW", x.shape[1:3], w.shape[:2], pair(stride), pair(padding)
    ):
        if output_size(size, kernel, s, p) < 1:
            raise ValueError(
                f"{name}: {axis} = {size} with padding {p} is smaller than the filter's {kernel}"
            )

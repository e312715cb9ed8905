"""conv2d by columns and one product for each run of images, on all cores.

New since the reference: the images are shared out over the threads, each with one BLAS thread; a
run of images is so short that its columns stay in the core's cache; and the patch under an output
pixel is copied one filter row at a time, KW * C neighbouring numbers.

Every size, stride and padding. Error: that of a sum in another order, as the reference.
Source: Chellapilla, Puri and Simard, High Performance Convolutional Neural Networks for Document
Processing, 2006 (columns and one product).
"""

import numpy as np

from minigen.kernels import pool
from minigen.kernels.arrays import only_floats
from minigen.kernels.jit import jit
from minigen.kernels.threads import one_blas_thread, spread

BYTES = 1 << 20  # of columns in flight in a thread: half of its cache
LEAST = 4_000_000  # multiplications that are worth a thread of their own


def pair(value):
    """A setting for height and width: one number means both."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def runs(first, last, step):
    """The range in runs of `step`."""
    return ((n, min(n + step, last)) for n in range(first, last, step))


def grain(multiplications):
    """Images that make up a thread's least share, of so many multiplications each."""
    return 1 + LEAST // (1 + multiplications)


def misfit(x, w, padding):
    """None, or that these are no arrays of a convolution: the reference says what is wrong."""
    if x.ndim == w.ndim == 4 and x.shape[3] == w.shape[2]:
        room = [n + 2 * p - k for n, p, k in zip(x.shape[1:3], pair(padding), w.shape[:2])]
        if min(room) >= 0:
            return None
    return "the shapes do not fit"


def supports(x, w, *, stride=1, padding=0):
    return only_floats(x, w) or misfit(x, w, padding)


def launch(x, w, *, stride=1, padding=0):
    def backward(g, needs):
        gx = input_grad(g, w, x.shape[1:3], stride, padding) if needs[0] else None
        gw = weight_grad(g, x, w.shape[:2], stride, padding) if needs[1] else None
        return gx, gw

    return forward(x, w, stride, padding), backward


class Plan:
    """The columns of a convolution: how many, and the way between pictures and columns."""

    def __init__(self, x_shape, kernel_size, stride, padding, dtype):
        self.N, self.H, self.W, self.C = x_shape
        (self.KH, self.KW), self.dtype = kernel_size, dtype
        (self.SH, self.SW), (self.PH, self.PW) = pair(stride), pair(padding)
        self.OH = (self.H + 2 * self.PH - self.KH) // self.SH + 1
        self.OW = (self.W + 2 * self.PW - self.KW) // self.SW + 1
        self.K = self.KH * self.KW * self.C  # numbers in a column

    def images(self):
        """How many images to work on at once."""
        return max(1, BYTES // (self.OH * self.OW * self.K * np.dtype(self.dtype).itemsize))

    def frame(self, images):
        """Zeros (images, H + 2 PH, W + 2 PW, C), and the part of them inside of the padding."""
        size = (images, self.H + 2 * self.PH, self.W + 2 * self.PW, self.C)
        frame = pool.scratch("columns x", size, self.dtype)
        frame[:] = 0
        return frame, frame[:, self.PH : self.PH + self.H, self.PW : self.PW + self.W]

    def empty_columns(self, images):
        shape = (images, self.OH, self.OW, self.KH, self.KW * self.C)
        return pool.scratch("columns", shape, self.dtype)

    def rows(self, x):
        """The columns of a few images, each one a row: (n, H, W, C) -> (n OH OW, KH KW C)."""
        if self.K == self.C and self.OH * self.OW == self.H * self.W:  # 1x1: they are the pixels
            return x.reshape(-1, self.C)
        if self.PH or self.PW:
            frame, inside = self.frame(len(x))
            inside[:] = x
        else:
            frame = np.ascontiguousarray(x)
        columns = self.empty_columns(len(x))
        _copy_columns(self.lines(frame), columns, self.SH, self.SW * self.C)
        return columns.reshape(-1, self.K)

    def lines(self, frame):
        """(n, H + 2 PH, W + 2 PW, C) -> (n, H + 2 PH, (W + 2 PW) C)."""
        return frame.reshape(*frame.shape[:2], -1)


def forward(x, w, stride, padding):
    """(N, H, W, C), (KH, KW, C, O) -> (N, OH, OW, O)."""
    plan, O = Plan(x.shape, w.shape[:2], stride, padding, x.dtype), w.shape[3]
    y, step = pool.empty((plan.N, plan.OH, plan.OW, O), x.dtype), plan.images()
    matrix = np.ascontiguousarray(w).reshape(plan.K, O)

    def work(first, last):
        for n, end in runs(first, last, step):
            np.matmul(plan.rows(x[n:end]), matrix, out=y[n:end].reshape(-1, O))

    with one_blas_thread():
        spread(work, plan.N, grain(plan.OH * plan.OW * plan.K * O))
    return y


def weight_grad(g, x, kernel_size, stride, padding):
    """(N, OH, OW, O), (N, H, W, C) -> (KH, KW, C, O)."""
    plan, O = Plan(x.shape, kernel_size, stride, padding, x.dtype), g.shape[3]
    step, sums = plan.images(), {}  # the sum of each thread by its first image

    def work(first, last):
        for n, end in runs(first, last, step):
            gw = plan.rows(x[n:end]).T @ g[n:end].reshape(-1, O)
            sums[first] = sums[first] + gw if first in sums else gw

    with one_blas_thread():
        spread(work, plan.N, grain(plan.OH * plan.OW * plan.K * O))
    return sum(sums[first] for first in sorted(sums)).reshape(*kernel_size, plan.C, O)


def input_grad(g, w, size, stride, padding):
    """(N, OH, OW, O), (KH, KW, C, O) -> (N, H, W, C) with `size` = (H, W)."""
    (KH, KW, C, O), (PH, PW) = w.shape, pair(padding)
    if pair(stride) == (1, 1) and PH < KH and PW < KW and O <= 2 * C:
        # the same sum, gathered: a convolution with the flipped filter, of KH KW O numbers a column
        return forward(g, w[::-1, ::-1].swapaxes(2, 3), 1, (KH - 1 - PH, KW - 1 - PW))
    plan = Plan((len(g), *size, C), (KH, KW), stride, padding, g.dtype)
    gx, step = pool.empty((plan.N, *size, C), g.dtype), plan.images()
    matrix = np.ascontiguousarray(w).reshape(plan.K, O).T

    def work(first, last):
        for n, end in runs(first, last, step):
            columns, (frame, inside) = plan.empty_columns(end - n), plan.frame(end - n)
            np.matmul(g[n:end].reshape(-1, O), matrix, out=columns.reshape(-1, plan.K))
            _add_columns(columns, plan.lines(frame), plan.SH, plan.SW * C)
            gx[n:end] = inside

    with one_blas_thread():
        spread(work, plan.N, grain(plan.OH * plan.OW * plan.K * O))
    return gx


@jit
def _copy_columns(lines, columns, down, across):
    """The patch under each output pixel ("im2col"): (n, H, W C) -> (n, OH, OW, KH, KW C)."""
    n, OH, OW, KH, length = columns.shape
    for k in range(n):
        for p in range(OH):
            for q in range(OW):
                for i in range(KH):
                    for c in range(length):
                        columns[k, p, q, i, c] = lines[k, p * down + i, q * across + c]


@jit
def _add_columns(columns, lines, down, across):
    """Each column added where its patch lies ("col2im"): the way back."""
    n, OH, OW, KH, length = columns.shape
    for k in range(n):
        for p in range(OH):
            for q in range(OW):
                for i in range(KH):
                    for c in range(length):
                        lines[k, p * down + i, q * across + c] += columns[k, p, q, i, c]


def warmup():
    for dtype in (np.float32, np.float64):
        x, w = np.ones((1, 4, 4, 1), dtype), np.ones((4, 4, 1, 1), dtype)
        input_grad(forward(x, w, 2, 1), w, (4, 4), 2, 1)

"""Winograd's convolution: a 3x3 filter over tiles of m x m pixels, in fewer multiplications.

One dimension first. m outputs of a filter of 3 taps read a = m + 2 inputs. Seen as polynomials the
taps and the inputs are multiplied, and polynomials can be multiplied by their values at a points:

    y = A^T [(G w) * (B^T x)]            x (a,), w (3,), y (m,), a products in the place of 3 m

A picture is cut into tiles that overlap by 2 pixels, and both axes are treated alike. Of a tile,

    V = B^T x B        U = G w G^T        M[i,j] = V[i,j] * U[i,j], summed over channels
    y = A^T M A

and M is, for each of the a x a places, a product of matrices (tiles, C) @ (C, O): BLAS does it. A
multiplication in the place of (3 m / a)^2: 2.25 for m = 2, 4 for m = 4. y is linear in V and U, so
the same matrices the other way round give the gradients:

    dM = A g A^T       dV = dM U^T, dx = B dV B^T added up over the tiles       dU = V^T dM,
    dw = G^T dU G

The points are 0, 1, -1, infinity for m = 2, and 2, -2 besides for m = 4. Powers of 2 cost digits:
see the Error lines of cpu_winograd2.py and cpu_winograd4.py.

Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2015, arXiv 1509.09308,
sections 4.1 to 4.3; the gradients are its transposes.
"""

import numpy as np

from minigen.kernels import pool
from minigen.kernels.arrays import only_floats
from minigen.kernels.conv2d import tiles2, tiles4
from minigen.kernels.conv2d.cpu_columns import grain, misfit, pair, runs
from minigen.kernels.threads import one_blas_thread, spread

TRANSFORMS = {2: tiles2, 4: tiles4}
BYTES = 4 << 20  # of tiles in flight in a thread
TILES_OF_GRADIENT = 128  # at least, for each sum into dU


def refusal(kernel_size, stride, *arrays):
    """None, or why Winograd cannot compute this convolution."""
    if tuple(kernel_size) != (3, 3) or pair(stride) != (1, 1):
        return "it takes 3x3 filters at stride 1"
    return only_floats(*arrays)


def supports(x, w, stride, padding):
    return misfit(x, w, padding) or refusal(w.shape[:2], stride, x, w)


def launch(m, x, w, padding):
    """conv2d and its way back, by tiles of m x m."""

    def backward(g, needs):
        if not needs[1]:
            return input_grad(m, g, w, x.shape[1:3], padding), None
        return gradients(m, g, x, w if needs[0] else None, padding, x.shape)

    return forward(m, x, w, padding), backward


class Plan:
    """The tiles of a convolution: their number, and the way between pictures and tiles.

    framed pictures   the data with its padding, or the output, filled up to whole tiles
    """

    def __init__(self, m, x_shape, O, padding, dtype):
        self.m, self.a, self.dtype, self.transforms = m, m + 2, dtype, TRANSFORMS[m]
        self.N, self.H, self.W, self.C = x_shape
        self.O, (self.PH, self.PW) = O, pair(padding)
        self.OH, self.OW = self.H + 2 * self.PH - 2, self.W + 2 * self.PW - 2
        self.TH, self.TW = -(-self.OH // m), -(-self.OW // m)  # tiles down and across
        self.whole = self.m * self.TH == self.OH and self.m * self.TW == self.OW

    def images(self, least_tiles=1):
        """How many images to work on at once."""
        tiles = BYTES // (self.a**2 * (self.C + self.O) * self.dtype.itemsize)
        return max(1, max(tiles, least_tiles) // (self.TH * self.TW))

    def tiles(self, name, images, channels):
        shape = (self.a**2, images * self.TH * self.TW, channels)
        return pool.scratch(f"winograd {name}", shape, self.dtype)

    def framed_data(self, name, images):
        """Zeros (images, m TH + 2, m TW + 2, C), and the part of them where the data lie."""
        size = (images, self.m * self.TH + 2, self.m * self.TW + 2, self.C)
        frame = pool.scratch(f"winograd {name}", size, self.dtype)
        frame[:] = 0
        return frame, frame[:, self.PH : self.PH + self.H, self.PW : self.PW + self.W]

    def framed_output(self, images):
        """Zeros (images, m TH, m TW, O), and the part of them that is output."""
        size = (images, self.m * self.TH, self.m * self.TW, self.O)
        frame = pool.scratch("winograd y", size, self.dtype)
        frame[:] = 0
        return frame, frame[:, : self.OH, : self.OW]

    def filter(self, w):
        """U = G w G^T: (3, 3, C, O) -> (a a, C, O)."""
        U = pool.empty((self.a**2, self.C, self.O), self.dtype)
        self.transforms.filter_to_tiles(np.ascontiguousarray(w), U)
        return U

    def filter_gradient(self, dU):
        """dw = G^T dU G: (a a, C, O) -> (3, 3, C, O)."""
        gw = pool.empty((3, 3, self.C, self.O), self.dtype)
        self.transforms.tiles_to_filter(dU, gw)
        return gw


def forward(m, x, w, padding):
    """conv2d at stride 1: (N, H, W, C), (3, 3, C, O) -> (N, OH, OW, O)."""
    plan = Plan(m, x.shape, w.shape[3], padding, x.dtype)
    y = pool.empty((plan.N, plan.OH, plan.OW, plan.O), x.dtype)
    step = plan.images()

    def work(first, last):
        frame, data = plan.framed_data("x", min(step, last - first))
        for n, end in runs(first, last, step):
            k = end - n
            V, M = plan.tiles("V", k, plan.C), plan.tiles("M", k, plan.O)
            data[:k] = x[n:end]
            plan.transforms.data_to_tiles(frame[:k], V)
            np.matmul(V, U, out=M)
            if plan.whole:
                plan.transforms.tiles_to_output(M, y[n:end])
            else:
                output, inside = plan.framed_output(k)
                plan.transforms.tiles_to_output(M, output)
                y[n:end] = inside

    with one_blas_thread():
        U = plan.filter(w)
        spread(work, plan.N, grain(plan.TH * plan.TW * plan.a**2 * plan.C * plan.O))
    return y


def input_grad(m, g, w, size, padding):
    """dx alone: as a convolution with the flipped filter, where the padding allows one."""
    PH, PW = pair(padding)
    if PH > 2 or PW > 2:
        return gradients(m, g, None, w, padding, (len(g), *size, w.shape[2]))[0]
    return forward(m, g, w[::-1, ::-1].swapaxes(2, 3), (2 - PH, 2 - PW))


def gradients(m, g, x, w, padding, x_shape):
    """(dx, dw) of conv2d at stride 1; None for dx where w is None, for dw where x is None.

    U is made again: to keep it would take four times the memory of the filter, in each thread.
    """
    plan = Plan(m, x_shape, g.shape[3], padding, g.dtype)
    gx = None if w is None else pool.empty(x_shape, g.dtype)
    step = plan.images(1 if x is None else TILES_OF_GRADIENT)
    sums = {}  # dU by the first image of a thread

    def work(first, last):
        frame, data = plan.framed_data("x", min(step, last - first))
        sum_, place = plan.framed_data("gx", len(frame))
        for n, end in runs(first, last, step):
            k, output = end - n, g[n:end]
            if not plan.whole or not g.flags.c_contiguous:
                output, inside = plan.framed_output(k)
                inside[:] = g[n:end]
            dM = plan.tiles("M", k, plan.O)
            plan.transforms.gradient_to_tiles(output, dM)
            if x is not None:
                data[:k] = x[n:end]
                V = plan.tiles("V", k, plan.C)
                plan.transforms.data_to_tiles(frame[:k], V)
                shape = (plan.a**2, plan.C, plan.O)
                if n == first:
                    sums[first] = dU = pool.empty(shape, plan.dtype)
                else:
                    dU = pool.scratch("winograd dU", shape, plan.dtype)
                np.matmul(V.transpose(0, 2, 1), dM, out=dU)
                if n > first:
                    sums[first] += dU
            if w is not None:
                dV = np.matmul(dM, U.transpose(0, 2, 1), out=plan.tiles("V", k, plan.C))
                sum_[:k] = 0
                plan.transforms.tiles_to_data(dV, sum_[:k])
                gx[n:end] = place[:k]

    with one_blas_thread():
        U = None if w is None else plan.filter(w)
        spread(work, plan.N, grain(plan.TH * plan.TW * plan.a**2 * plan.C * plan.O))
        gw = None
        if x is not None:
            parts = [sums[first] for first in sorted(sums)]
            gw = plan.filter_gradient(sum(parts[1:], parts[0]))
    return gx, gw


def warmup(m):
    """Compile the transforms."""
    for dtype in (np.float32, np.float64):
        x, w = np.ones((1, 4, 4, 1), dtype), np.ones((3, 3, 1, 1), dtype)
        gradients(m, forward(m, x, w, 1), x, w, 1, x.shape)

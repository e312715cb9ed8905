"""avg_pool2d and its gradient, a thread for each number of the result.

New: nothing yet; no library is asked, so that a captured loop may pool.
Prediction: memory's speed where windows do not overlap; where they do, the caches hold what is read
again.
Measured: not yet on a GPU.

Shapes: x (N, H, W, C) -> (N, OH, OW, C), float32, every size.
Launch: a row of pixels along x of the grid, its numbers in blocks of 128 along y.
Error: that of a sum in another order (tests/kernels/test_cuda_resample.py).
Source: none; it is a sum.
Teaches: to turn a scatter, where threads would write to the same place, into a gather.
"""

from minigen.kernels.launch import CudaFile, blocks, contiguous, empty, only_cuda

THREADS = 128

kernels = CudaFile(__file__)


def supports(x, *, kernel_size, stride, padding):
    return refusal(x) or misfit(x, kernel_size, stride, padding)


def refusal(x, times=1):
    """None, or why x is no picture for these kernels; times: how much wider the result is."""
    if reason := only_cuda(x):
        return reason
    if x.ndim != 4:
        return "the shapes do not fit"
    if x.shape[2] * x.shape[3] * times > 65535 * THREADS:
        return "a row of pixels is too long"
    return None if x.size else "an axis is empty"


def pair(n):
    return n if isinstance(n, tuple) else (n, n)


def misfit(x, kernel_size, stride, padding):
    """None, or that there is no such pooling: the reference says what is wrong."""
    windows = zip(x.shape[1:3], pair(kernel_size), pair(padding))
    fits = all(n + 2 * p >= k >= 2 * p for n, k, p in windows)
    return None if fits else "the shapes do not fit"


def launch(x, *, kernel_size, stride, padding):
    steps = (*pair(kernel_size), *pair(stride), *pair(padding))
    size, share = x.shape[1:3], 1 / (steps[0] * steps[1])
    return gather(x, steps, share), lambda g, needs: (scatter(g, size, steps, share),)


def pooled(x, steps, dtype=None):
    """An empty output (N, OH, OW, C) for x (N, H, W, C); steps = (KH, KW, SH, SW, PH, PW)."""
    (N, H, W, C), (KH, KW, SH, SW, PH, PW) = x.shape, steps
    return empty((N, (H + 2 * PH - KH) // SH + 1, (W + 2 * PW - KW) // SW + 1, C), x, dtype)


def gather(x, steps, factor):
    """factor times the sum of each window."""
    x, y = contiguous(x), pooled(x, steps)
    over_pictures(kernels, "gather", y, x, y, *x.shape[1:], *y.shape[1:3], *steps, factor)
    return y


def scatter(g, size, steps, factor):
    """factor times the gradient of each window, added to every pixel of it: as x (N, H, W, C)."""
    g, gx = contiguous(g), empty((len(g), *size, g.shape[3]), g)
    over_pictures(kernels, "scatter", gx, g, gx, *gx.shape[1:], *g.shape[1:3], *steps, factor)
    return gx


def over_pictures(kernels, name, y, *arguments):
    """Launch a kernel with a thread for each number of y (N, H, W, C): include/pictures.h."""
    N, H, W, C = y.shape
    kernels.launch(name, (N * H, blocks(W * C, THREADS)), (THREADS,), *arguments)

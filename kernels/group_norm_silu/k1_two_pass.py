"""group_norm_silu, a block of threads for each group of each image.

New since the reference: one launch in the place of a dozen; the block adds up what its threads
have, by shuffles in a warp and then through shared memory, and all steps of a group follow each
other. The variance is taken about the mean, so nothing cancels.
Prediction: x comes three times, twice from the cache where the group fits; and the numbers of a
group lie in pieces of C / G, so narrow groups fetch more than they use. With few images and groups
most of the GPU waits.
Measured: not yet on a GPU.

Shapes: x (N, ..., C), weight and bias (C,) or (N, C) -> (N, ..., C), float32, every size.
Launch: N * G blocks of 256 threads; on the way back first N * C, one for each channel's sums.
Source: Wu and He, 2018, arXiv 1803.08494; the gradient as in minigen/ops/norm.py.
Teaches: a sum over a block, and why the order of its terms must not depend on who comes first.
"""

from minigen.kernels.group_norm_silu.cuda_shapes import Norm, supports
from minigen.kernels.launch import CudaFile, contiguous, empty

__all__ = ["launch", "run", "supports"]

kernels = CudaFile(__file__)
THREADS = (256,)


def launch(x, weight, bias, *, num_groups, eps):
    return run(kernels, x, weight, bias, num_groups, eps)


def run(kernels, x, weight, bias, num_groups, eps):
    norm = Norm.of(x, weight, bias, num_groups)
    (N, _, C), affine, G = norm.x.shape, (norm.weight, norm.bias), norm.sizes[2]
    y, stats = empty(x.shape, x), empty((2, N, G), x)
    kernels.launch("forward", (N * G,), THREADS, norm.x, *affine, y, stats, *norm.sizes, eps)

    def backward(g, needs):
        given = (contiguous(g), norm.x, *affine, stats)
        sums, gx = empty((2, N, C), x), empty(x.shape, x) if needs[0] else None
        kernels.launch("backward_sums", (N * C,), THREADS, *given, sums, *norm.sizes)
        if needs[0]:
            kernels.launch("backward", (N * G,), THREADS, *given, sums, gx, *norm.sizes)
        return gx, *norm.of_affine(sums, needs)

    return y, backward

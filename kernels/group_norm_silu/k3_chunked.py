"""group_norm_silu, an image cut into chunks for many blocks.

New since k2: a block has a chunk of an image's pixels, so one image is work for the whole GPU. The
blocks cannot wait for each other, so what they find goes through memory to a second kernel, and the
end of the one is the barrier of the other. A thread's four pixels stay in its registers: their sum,
then the squares about the mean.
Prediction: near the speed of memory, at two reads and a write for the way there, four and a write
for the way back; the partial sums are a few percent of that. Three launches in the place of one
are what tiny images pay.
Measured: not yet on a GPU.

Shapes: x (N, ..., C), weight and bias (C,) or (N, C) -> (N, ..., C), float32, every size.
Launch: blocks of up to 32 columns, of four channels each where C is a multiple of 4, and as many
rows as make 256 threads; four pixels a thread. What an image gives does not depend on the others.
Source: Chan, Golub and LeVeque, 1983, eq. 1.3, for many parts at once.
Teaches: a sum over the whole grid without atomics, with the same bits from run to run.
"""

from minigen.kernels.group_norm_silu.cuda_shapes import Norm, supports
from minigen.kernels.launch import CudaFile, blocks, contiguous, empty

__all__ = ["launch", "run", "supports"]

kernels = CudaFile(__file__)
PIXELS = 4  # of a thread, as in the .cu file
MERGERS = (128,)  # threads that put a group's parts together


def launch(x, weight, bias, *, num_groups, eps):
    return run(kernels, x, weight, bias, num_groups, eps)


def run(kernels, x, weight, bias, num_groups, eps):
    norm = Norm.of(x, weight, bias, num_groups)
    y, stats, vector = empty(x.shape, x), moments(kernels, norm, eps), norm.vector()
    grid, block, chunks, _ = _shares(norm, vector)
    given = (norm.x, norm.weight, norm.bias, stats, y, len(norm.x), *norm.sizes, chunks)
    kernels.launch("normalise", grid, block, *given, VECTOR=vector)
    return y, way_back(kernels, norm, stats, x.shape)


def moments(kernels, norm, eps):
    """(2, N, G): mean and 1 / sqrt(var + eps) of each group of each image."""
    (N, P, C), G, vector = norm.x.shape, norm.sizes[2], norm.vector()
    grid, block, chunks, pixels = _shares(norm, vector)
    stats, partial = empty((2, N, G), norm.x), empty((N, chunks, 2, C), norm.x)
    kernels.launch("chunk_moments", grid, block, norm.x, partial, P, C, chunks, VECTOR=vector)
    merged = (partial, stats, P, C, G, chunks, pixels, eps)
    kernels.launch("merge_moments", (N * G,), MERGERS, *merged, VECTOR=vector)
    return stats


def way_back(kernels, norm, stats, shape):
    """The backward of a norm whose `stats` (2, N, G) are known."""
    x, affine = norm.x, (norm.weight, norm.bias)
    (N, _, C), G = x.shape, norm.sizes[2]

    def backward(g, needs):
        g, gx = contiguous(g), empty(shape, x) if needs[0] else None
        vector = norm.vector(g)
        grid, block, chunks, _ = _shares(norm, vector)
        given, sizes = (g, x, *affine, stats), (N, *norm.sizes, chunks)
        partial, sums, means = (empty(s, x) for s in ((N, chunks, 2, C), (2, N, C), (2, N, G)))
        kernels.launch("chunk_sums", grid, block, *given, partial, *sizes, VECTOR=vector)
        merged = (partial, norm.weight, sums, means, *norm.sizes[:4], chunks)
        kernels.launch("merge_sums", (N * G,), MERGERS, *merged, VECTOR=vector)
        if needs[0]:
            kernels.launch("backward", grid, block, *given, means, gx, *sizes, VECTOR=vector)
        return gx, *norm.of_affine(sums, needs)

    return backward


def _shares(norm, vector):
    """grid, block, chunks of an image, pixels of a chunk."""
    (N, P, C), block = norm.x.shape, norm.block(vector)
    pixels = PIXELS * block[1]
    chunks = blocks(P, pixels)
    return (blocks(C // vector, block[0]) * chunks * N,), block, chunks, pixels

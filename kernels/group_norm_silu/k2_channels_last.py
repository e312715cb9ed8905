"""group_norm_silu, a block for each image, in the order of memory.

New since k1: neighbouring threads read neighbouring channels, four numbers at once, and a block has
all groups of its image; the mean and the squares about it come from one read, by Welford's rule;
channels' sums and gx come from one launch.
Prediction: every byte that is fetched is used, whatever C / G is, and x comes twice in the place of
three times. But N images are N blocks: with fewer images than the GPU has multiprocessors the rest
of it waits, and k1 may be faster.
Measured: not yet on a GPU.

Shapes: x (N, ..., C), weight and bias (C,) or (N, C) -> (N, ..., C), float32; C to 4096.
Launch: N blocks of up to 32 columns, of four channels each where C is a multiple of 4, and as many
rows as make 256 threads. 8 KB of shared memory and 8 bytes for each channel.
Source: Welford, 1962, Technometrics 4(3); Chan, Golub and LeVeque, 1983, eq. 1.3.
Teaches: reads that coalesce; statistics that neither cancel nor need a second read.
"""

from minigen.kernels.group_norm_silu import cuda_shapes
from minigen.kernels.group_norm_silu.cuda_shapes import Norm
from minigen.kernels.launch import CudaFile, contiguous, empty

kernels = CudaFile(__file__)


def supports(x, weight, bias, *, num_groups, eps):
    if reason := cuda_shapes.supports(x, weight, bias, num_groups=num_groups, eps=eps):
        return reason
    C = x.shape[-1]
    return None if C <= 4096 else f"shared memory has room for 4096 channels, x has {C}"


def launch(x, weight, bias, *, num_groups, eps):
    return run(kernels, x, weight, bias, num_groups, eps)


def run(kernels, x, weight, bias, num_groups, eps):
    norm = Norm.of(x, weight, bias, num_groups)
    (N, _, C), affine, G = norm.x.shape, (norm.weight, norm.bias), norm.sizes[2]
    y, stats = empty(x.shape, x), empty((2, N, G), x)
    given, vector = (norm.x, *affine, y, stats, *norm.sizes, eps), norm.vector()
    grid, block = (N,), norm.block(vector)
    kernels.launch("forward", grid, block, *given, shared=8 * C, VECTOR=vector)

    def backward(g, needs):
        g, sums = contiguous(g), empty((2, N, C), x)
        gx, vector = empty(x.shape, x) if needs[0] else None, norm.vector(g)
        given = (g, norm.x, *affine, stats, sums, gx, *norm.sizes)
        kernels.launch("backward", grid, norm.block(vector), *given, shared=8 * G, VECTOR=vector)
        return gx, *norm.of_affine(sums, needs)

    return y, backward

"""group_norm_silu, a group in shared memory.

New since k3: a block has a group of an image again, as in k1, but keeps it in shared memory: x is
read once there, x and g once on the way back, and one launch does each. Where x and g do not fit
together, k3 does the way back.
Prediction: fewer bytes cannot be moved, so this is the fastest where the groups fit: to 55,000
numbers on a Hopper, 32 x 32 pixels of 54 channels. With one image there are as few blocks as
groups; that one launch may still win against three.
Measured: not yet on a GPU.

Shapes: x (N, ..., C), weight and bias (C,) or (N, C) -> (N, ..., C), float32; groups that fit.
Launch: N * G blocks of 256 threads; 4 bytes of shared memory for each number of a group, 8 on the
way back.
Source: the two-pass algorithm in Chan, Golub and LeVeque, 1983, section 1.
Teaches: shared memory as a cache that one fills oneself, and what it costs: fewer blocks at a time.
"""

from functools import cache

import numpy as np

from minigen.kernels.elements import THREADS, vector_of
from minigen.kernels.group_norm_silu import cuda_shapes, k3_chunked
from minigen.kernels.group_norm_silu.cuda_shapes import Norm
from minigen.kernels.launch import CudaFile, contiguous, empty, module_of

kernels = CudaFile(__file__)
STATIC = 9 << 10  # bytes that a block uses besides


def supports(x, weight, bias, *, num_groups, eps):
    if reason := cuda_shapes.supports(x, weight, bias, num_groups=num_groups, eps=eps):
        return reason
    bytes_, most = 4 * x.size // (x.shape[0] * num_groups), room(x)
    return None if bytes_ <= most else f"a group has {bytes_} bytes, shared memory room for {most}"


def room(x):
    """Bytes that a group may have on the GPU where x is."""
    most = 227 << 10 if isinstance(x, np.ndarray) else _shared_memory(module_of(x), x.device.id)
    return most - STATIC


@cache
def _shared_memory(cupy, device):
    return cupy.cuda.Device(device).attributes["MaxSharedMemoryPerBlockOptin"]


def launch(x, weight, bias, *, num_groups, eps):
    return run(kernels, k3_chunked.kernels, x, weight, bias, num_groups, eps)


def run(kernels, chunked, x, weight, bias, num_groups, eps):
    norm = Norm.of(x, weight, bias, num_groups)
    (N, P, C), affine, G = norm.x.shape, (norm.weight, norm.bias), norm.sizes[2]
    width, how = C // G, ((N * G,), (THREADS,))
    y, stats, bytes_ = empty(x.shape, x), empty((2, N, G), x), 4 * P * width
    given = (norm.x, *affine, y, stats, *norm.sizes, eps)
    kernels.launch("forward", *how, *given, shared=bytes_, VECTOR=vector_of(width, norm.x))
    if 2 * bytes_ > room(x):
        return y, k3_chunked.way_back(chunked, norm, stats, x.shape)

    def backward(g, needs):
        g, sums, gx = contiguous(g), empty((2, N, C), x), empty(x.shape, x) if needs[0] else None
        given, vector = (g, norm.x, *affine, stats, sums, gx), vector_of(width, norm.x, g)
        kernels.launch("backward", *how, *given, *norm.sizes, shared=2 * bytes_, VECTOR=vector)
        return gx, *norm.of_affine(sums, needs)

    return y, backward

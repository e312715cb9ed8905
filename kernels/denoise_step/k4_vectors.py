"""A sampler's step that reads and writes four numbers at a time.

New since k3: a thread's four neighbours are one float4, one instruction of 16 bytes.
Prediction: a warp reads 512 bytes in a row at once, all of them used; within a few percent of what
a copy of the same bytes takes.
Measured: not yet on a GPU.

Shapes: see shapes.py, with a seed for the noise; the pictures are a multiple of 4 numbers together.
Launch: a thread for four numbers, blocks of 256. Noise: as k3, the same pictures.
Source: CUDA C++ Best Practices Guide, section 9.2.1.
Teaches: vector loads, and what they ask of addresses: the second half of 2 N pictures starts at a
multiple of 16 bytes only where the first half ends at one.
"""

from minigen.kernels.denoise_step import k3_philox
from minigen.kernels.denoise_step.shapes import THREADS, arguments
from minigen.kernels.launch import CudaFile, blocks

kernels = CudaFile(__file__)


def supports(prediction, x, x0_hat, table, step, noise=None):
    if reason := k3_philox.supports(prediction, x, x0_hat, table, step, noise):
        return reason
    return "the pictures are no multiple of 4 numbers" if x.size % 4 else None


def launch(prediction, x, x0_hat, table, step, noise=None):
    prediction, guided, seed = arguments(prediction, x, noise)
    quads = x.size // 4
    how = (blocks(quads, THREADS),), (THREADS,)
    arrays = prediction, guided, x, x0_hat, seed, table, step
    kernels.launch("denoise_step", *how, *arrays, quads)
    return x, None

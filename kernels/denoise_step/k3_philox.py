"""A sampler's step that draws its noise itself.

New since k2: the noise is a function of the seed, the step and the place (include/philox.h), made
in registers. Nobody writes noise to memory or reads it, and a captured loop needs no generator.
Prediction: 5 reads and writes in the place of 6, or of 7 with the one that fills the array; the
rounds of Philox hide behind them. But a warp's reads are now 16 bytes apart, four where there was
one, which may cost what was won.
Measured: not yet on a GPU.

Shapes: see shapes.py, with a seed for the noise. Every size.
Launch: a thread for four numbers, blocks of 256. Noise: stream 1 + step of the seed.
Source: as k1; Salmon, Moraes, Dror and Shaw, 2011.
Teaches: random numbers that have no state to be kept, so that any thread can draw any of them.
"""

from minigen.kernels.denoise_step import shapes
from minigen.kernels.denoise_step.shapes import THREADS, arguments
from minigen.kernels.launch import CudaFile, blocks, only_cuda

kernels = CudaFile(__file__)


def supports(prediction, x, x0_hat, table, step, noise=None):
    if noise is not None:
        if not shapes.is_seed(noise):
            return "it takes a seed for the noise, not an array"
        if reason := only_cuda(noise, dtype="uint32"):
            return reason
        if noise.shape != (2,):
            return "a seed is (2,)"
    return shapes.refusal([prediction, x, x0_hat, table], step)


def launch(prediction, x, x0_hat, table, step, noise=None):
    prediction, guided, seed = arguments(prediction, x, noise)
    how = (blocks(x.size, 4 * THREADS),), (THREADS,)
    arrays = prediction, guided, x, x0_hat, seed, table, step
    kernels.launch("denoise_step", *how, *arrays, x.size)
    return x, None

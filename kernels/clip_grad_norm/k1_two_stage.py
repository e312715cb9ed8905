"""The joint length of all gradients in two stages, and gradients shortened to it.

New: nothing yet; eight gradients a launch, as adamw/k2_many.py. Blocks cannot add to one sum but by
waiting for one another, or in an order that changes from run to run; so each leaves its own, and
one block adds those.
Prediction: one read of all gradients for the length, a read and a write to shorten them; memory's
speed. The host waits for the length, which it is asked for; `length` alone does not make it wait.
Measured: not yet on a GPU.

Arrays: a list; the result is (length, list), the same arrays where they are short enough.
Error: sums of 1024 squares in float32, their sum in float64; the same bits in every run.
Launch: blocks of 256 threads for 1024 numbers of one gradient; then one block.
Source: Pascanu, Mikolov and Bengio, 2013, algorithm 1, arXiv 1211.5063.
Teaches: a reduction over a whole grid without atomics.
"""

import math

import numpy as np

from minigen.kernels.adamw.many import CHUNK, THREADS, launches
from minigen.kernels.launch import CudaFile, blocks, contiguous, empty, only_cuda

kernels = CudaFile(__file__)


def supports(gs, *, max_norm):
    return only_cuda(*gs)


def length(gs, max_norm):
    """(2,) float32 on the device: the length, and the factor that makes it max_norm at most."""
    gs = [contiguous(g) for g in gs]
    n, first = sum(blocks(g.size, CHUNK) for g in gs), 0
    partial, result = empty((n,), gs[0]), empty((2,), gs[0])
    for grid, arguments in launches(gs):
        kernels.launch("squares", (grid,), (THREADS,), *arguments, partial[first : first + grid])
        first += grid
    kernels.launch("total", (1,), (THREADS,), partial, n, np.float32(max_norm), result)
    return result


def launch(gs, *, max_norm):
    if not any(g.size for g in gs):
        return (0.0, gs), None
    result = length(gs, max_norm)
    norm = float(result[0])  # waits for the GPU
    if not (math.isfinite(norm) and norm > max_norm):
        return (norm, gs), None
    short = [empty(g.shape, g) for g in gs]
    for grid, arguments in launches(short, [contiguous(g) for g in gs]):
        kernels.launch("shorten", (grid,), (THREADS,), *arguments, result[1:])
    return (norm, short), None

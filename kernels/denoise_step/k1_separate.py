"""A sampler's step in three kernels.

New: nothing yet; a kernel for each formula: guidance, the step, noise. What changes from step to
step lies in a table in memory (table.py), so the same launches serve all steps and can be captured.
Prediction: memory's speed is the limit. A number of the picture costs 10 reads and writes: guidance
3, the step 4, noise 3, and four of them carry something from one kernel to the next. On few
pictures three launches take three times the time of one.
Measured: not yet on a GPU.

Shapes: see shapes.py. Every size.
Launch: a thread for each number, blocks of 256.
Source: Ho and Salimans, 2022, arXiv 2207.12598, eq. 6; minigen/samplers.
Teaches: that what a launch is given can be a place, where the next step finds another number.
"""

from minigen.kernels.denoise_step.shapes import THREADS, arguments, supports
from minigen.kernels.launch import CudaFile, blocks, empty

__all__ = ["launch", "supports"]

kernels = CudaFile(__file__)


def launch(prediction, x, x0_hat, table, step, noise=None):
    prediction, guided, noise = arguments(prediction, x, noise)
    n = x.size
    grid, where = (blocks(n, THREADS),), (table, step, n)
    if guided:
        p = empty(x.shape, x)
        kernels.launch("guide", grid, (THREADS,), prediction, p, *where)
        prediction = p
    kernels.launch("walk", grid, (THREADS,), prediction, x, x0_hat, *where)
    if noise is not None:
        kernels.launch("add_noise", grid, (THREADS,), x, noise, *where)
    return x, None

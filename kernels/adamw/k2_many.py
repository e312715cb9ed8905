"""AdamW, eight parameters a launch.

New since k1: a kernel's list of arguments has room for eight parameters; a block finds its own by
counting. many.py says why not all of them at once.
Prediction: an eighth of k1's launches; a network with many small parameters is done up to eight
times as fast, one with few large ones as fast as with k1.
Measured: not yet on a GPU.

Arrays: four lists of the same length; p, m, v are changed in place. Every size.
Launch: blocks of 256 threads for 1024 numbers of one parameter.
Source: as k1.
Teaches: how work of unequal sizes is dealt out to blocks that are all equal.
"""

from minigen.kernels.adamw.k1_each import numbers, supports
from minigen.kernels.adamw.many import THREADS, launches
from minigen.kernels.launch import CudaFile, contiguous

__all__ = ["launch", "supports"]

kernels = CudaFile(__file__)


def launch(ps, gs, ms, vs, **settings):
    of_all = numbers(**settings)
    for grid, arguments in launches(ps, [contiguous(g) for g in gs], ms, vs):
        kernels.launch("adamw", (grid,), (THREADS,), *arguments, *of_all)
    return None, None

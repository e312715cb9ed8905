"""Clipping, AdamW and the moving average of the weights in one pass.

New since k2: the factor of clipping is read from memory, where clip_grad_norm/k1_two_stage.py's
`length` leaves it, so nobody waits for it and no shortened gradient is written; and the average
takes in a weight while it is in a register.
Prediction: clipping, AdamW and the average apart cost 2 + 7 + 3 reads and writes of each weight
after the norm; here 9. So 1.3 times as fast. Without the two it is k2, and so it is in optim.AdamW:
clipping and the average go over the parameters of all optimisers, and the loop looks at the norm
before it lets any of them step.
Measured: not yet on a GPU.

Arrays: four lists of the same length, p, m, v are changed in place; `averages`, a list more, too;
`factor` is (1,) float32. Every size.
Launch: blocks of 256 threads for 1024 numbers of one parameter.
Source: as k1; Ho et al., 2020, appendix B, arXiv 2006.11239, of the average.
Teaches: to leave a number on the device where the next kernel finds it.
"""

from minigen.kernels.adamw.k1_each import numbers
from minigen.kernels.adamw.many import THREADS, launches, refusal
from minigen.kernels.launch import CudaFile, contiguous

kernels = CudaFile(__file__)


def supports(ps, gs, ms, vs, *, averages=(), average_decay=0.0, factor=None, **settings):
    return refusal([*ps, *ms, *vs, *averages], gs if factor is None else [*gs, factor])


def launch(ps, gs, ms, vs, *, averages=(), average_decay=0.0, factor=None, **settings):
    lists = ps, [contiguous(g) for g in gs], ms, vs, averages or None
    rest = *numbers(**settings), factor, 1 - average_decay
    for grid, arguments in launches(*lists):
        kernels.launch("adamw", (grid,), (THREADS,), *arguments, *rest)
    return None, None

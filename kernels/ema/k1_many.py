"""The moving average of all weights, eight parameters a launch.

New: nothing yet; as adamw/k2_many.py.
Prediction: memory's speed, three reads and writes for each weight. adamw/k3_all_in_one.py does the
same with two, while it has the weight at hand.
Measured: not yet on a GPU.

Arrays: two lists of the same length; the averages are changed in place. Every size.
Launch: blocks of 256 threads for 1024 numbers of one parameter.
Source: Ho et al., 2020, appendix B, arXiv 2006.11239.
Teaches: the list of eight with as little around it as can be.
"""

from minigen.kernels.adamw.many import THREADS, launches, refusal
from minigen.kernels.launch import CudaFile, contiguous

kernels = CudaFile(__file__)


def supports(averages, ps, *, decay):
    return refusal(averages, ps)


def launch(averages, ps, *, decay):
    for grid, arguments in launches(averages, [contiguous(p) for p in ps]):
        kernels.launch("ema", (grid,), (THREADS,), *arguments, 1 - decay)
    return None, None

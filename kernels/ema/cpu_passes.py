"""The moving average of all weights in one pass over memory, on all cores.

New since the reference: one pass in the place of three, over all parameters as one long array, as
adamw/cpu_passes.py does it.

Arrays: two lists; the averages are changed in place.
Error: that of other roundings of the same formula; the same bits with any number of threads
(tests/kernels/test_kernels_optimiser.py).
Source: Ho et al., 2020, appendix B, arXiv 2006.11239.
"""

import numpy as np

from minigen.kernels.adamw.cpu_passes import over_all, refusal
from minigen.kernels.jit import jit


def supports(averages, ps, *, decay):
    return refusal(averages, ps)


def launch(averages, ps, *, decay):
    over_all(_average, (averages, ps), 1 - decay)
    return None, None


@jit
def _average(average, p, rise):
    rise = average.dtype.type(rise)
    for i in range(len(p)):
        average[i] += (p[i] - average[i]) * rise


def warmup():
    for dtype in (np.float32, np.float64):
        launch([np.ones(1, dtype)], [np.ones(1, dtype)], decay=0.9)

"""avg_pool2d_grad in one pass over memory, on all cores: the way back of avg_pool2d/cpu_numba.py.

Shapes: g (N, OH, OW, C) -> (N, H, W, C) with `size` = (H, W). Error: that of a sum in another order
(tests/kernels/test_kernels_resample.py).
"""

from minigen.kernels.arrays import only_floats
from minigen.kernels.avg_pool2d.cpu_numba import gather, scatter
from minigen.kernels.conv2d.cpu_columns import pair


def supports(g, *, size, kernel_size, stride, padding):
    if reason := only_floats(g):
        return reason
    steps = zip(size, pair(kernel_size), pair(stride), pair(padding))
    pooled = tuple((n + 2 * p - k) // s + 1 for n, k, s, p in steps)
    return None if g.ndim == 4 and g.shape[1:3] == pooled else "the shapes do not fit"


def launch(g, *, size, kernel_size, stride, padding):
    steps = (*pair(kernel_size), *pair(stride), *pair(padding))
    share_of_one = 1 / (steps[0] * steps[1])
    return scatter(g, size, steps, share_of_one), lambda h, needs: (gather(h, steps, share_of_one),)

"""affine_step, a x + b y + c z, in one pass over memory, on all cores.

New since the reference: one pass in the place of up to five. Beside a network's work it is next to
nothing, as is the whole of a sampler's arithmetic.

Shapes: two or three arrays of one shape. Error: three roundings, as the reference
(tests/kernels/test_kernels_affine.py).
"""

import numpy as np

from minigen.kernels.arrays import elementwise, only_floats
from minigen.kernels.jit import jit


def supports(*arrays, factors):
    if len({(a.shape, a.dtype) for a in arrays}) > 1:
        return "the arrays differ in shape or type"
    return only_floats(*arrays)


def launch(*arrays, factors):
    function = _two if len(arrays) == 2 else _three
    return elementwise(lambda *pieces: function(*pieces, *factors), *arrays), None


@jit
def _two(x, y, out, a, b):
    a, b = x.dtype.type(a), x.dtype.type(b)
    for i in range(len(x)):
        out[i] = a * x[i] + b * y[i]


@jit
def _three(x, y, z, out, a, b, c):
    a, b, c = x.dtype.type(a), x.dtype.type(b), x.dtype.type(c)
    for i in range(len(x)):
        out[i] = a * x[i] + b * y[i] + c * z[i]


def warmup():
    for dtype in (np.float32, np.float64):
        x = np.ones(1, dtype)
        launch(x, x, factors=(1.0, 1.0))
        launch(x, x, x, factors=(1.0, 1.0, 1.0))

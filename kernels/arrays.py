"""What the kernels of the CPU ask of arrays, and how work on them is shared out."""

import numpy as np

from minigen.kernels import pool
from minigen.kernels.threads import spread

GRAIN = 1 << 18  # elements of a thread, 0.1 ms: with fewer it takes longer to wake than to work


def only_floats(*arrays):
    """None, or why these arrays are not for a kernel of the CPU."""
    for a in arrays:
        if type(a) is not np.ndarray or a.dtype.char not in "fd":
            return "it takes float32 or float64 arrays of NumPy"
    return None


def flat(x):
    """All elements of x along one axis; a copy where they do not lie in order."""
    return np.ascontiguousarray(x).reshape(-1)


def share(work, n, elements):
    """work(first, last) for runs of range(n): on all cores where n * elements are worth it."""
    grain = max(1, GRAIN // max(1, elements))
    if n < 2 * grain:
        work(0, n)
    else:
        spread(work, n, grain)


def elementwise(function, *xs):
    """A new array filled by the compiled function(*xs, y) on flat runs; all of one shape."""
    y = pool.empty(xs[0].shape, xs[0].dtype)
    pieces = [flat(x) for x in xs]
    pieces.append(y.reshape(-1))
    if y.size < 2 * GRAIN:
        function(*pieces)
    else:
        spread(lambda first, last: function(*(p[first:last] for p in pieces)), y.size, GRAIN)
    return y

"""matmul on all cores.

New since the reference: the longest axis of a product is cut into a piece for each thread, as in
linear/cpu_threads.py; where both sides have leading axes, the threads share those out. Each thread
has one BLAS thread. Matrices whose elements BLAS cannot step through are copied first: NumPy would
multiply them with a plain loop.

Shapes: (..., L, K) @ (..., K, M) -> (..., L, M); leading axes broadcast. Every size.
Error: that of a sum in another order, as the reference (tests/kernels/test_kernels_linear.py).
Source: as linear/cpu_threads.py.
"""

import math

import numpy as np

from minigen.kernels import pool
from minigen.kernels.arrays import only_floats
from minigen.kernels.linear.cpu_threads import GRAIN, LARGE, as_rows, product
from minigen.kernels.threads import one_blas_thread, spread, width


def supports(a, b):
    if reason := only_floats(a, b):
        return reason
    if min(a.ndim, b.ndim) < 2 or a.shape[-1] != b.shape[-2]:
        return "the shapes do not fit"
    leads = a.shape[:-2], b.shape[:-2]
    if b.ndim > 2 and leads[0] != leads[1]:
        for n, m in zip(reversed(leads[0]), reversed(leads[1])):
            if n != m and 1 not in (n, m):
                return "the shapes do not fit"
    return None


def launch(a, b):
    if b.ndim > 2:
        return batched(a, b), None  # the reference rule: two products more, which come here too

    def backward(g, needs):
        g = as_rows(g)
        ga = product(g, b.T).reshape(a.shape) if needs[0] else None
        return ga, product(rows.T, g) if needs[1] else None

    rows = as_rows(a)
    return product(rows, b).reshape(*a.shape[:-1], b.shape[1]), backward


def batched(a, b):
    """One product for each place in the leading axes of b, or of both."""
    a, b = for_blas(a), for_blas(b)
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    L, K, M = *a.shape[-2:], b.shape[-1]
    size = math.prod(lead) * L * M
    y = (pool if size > LARGE else np).empty((*lead, L, M), a.dtype)
    if size * K < 2 * GRAIN or width() == 1:
        with one_blas_thread():
            np.matmul(a, b, out=y)
        return y
    # the longest leading axis is cut; an array that lacks it, or has it with length 1, is not
    axis = max(range(len(lead)), key=lambda i: lead[i])
    back = len(lead) + 2 - axis  # counted from the end

    def part(x, first, last):
        has_it = x.ndim >= back and x.shape[-back] > 1
        return x[(..., slice(first, last), *(slice(None),) * (back - 1))] if has_it else x

    def work(first, last):
        np.matmul(part(a, first, last), part(b, first, last), out=part(y, first, last))

    spread(work, lead[axis], -(-GRAIN * lead[axis] // (size * K)))
    return y


def for_blas(x):
    """x itself where its matrices lie by rows or by columns, else a copy."""
    (down, across), size = x.strides[-2:], x.itemsize
    rows = across == size and down >= x.shape[-1] * size
    columns = down == size and across >= x.shape[-2] * size
    return x if rows or columns else np.ascontiguousarray(x)

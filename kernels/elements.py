"""Launches of kernels that include/elements.cuh is for: packs of numbers, one for each thread."""

from minigen.kernels.launch import blocks, contiguous, empty

THREADS = 256  # of a block
BLOCKS = 2048  # at most: more than a GPU runs at once; then each thread takes another pack


def address(a):
    """Where the first number of an array lies in memory."""
    return a.data.ptr if hasattr(a.data, "ptr") else a.ctypes.data


def vector_of(C, *arrays):
    """4 where rows of C numbers can be read four at a time, else 1."""
    return 4 if C % 4 == 0 and all(address(a) % 16 == 0 for a in arrays) else 1


def elementwise(kernels, kernel, *xs, **defines):
    """What kernel(*xs, y, n) writes to a new y, all of one shape."""
    xs, y = [contiguous(x) for x in xs], empty(xs[0].shape, xs[0])
    if y.size:
        vector = vector_of(4, *xs)  # what is left beyond the last four is for one thread each
        grid = (min(BLOCKS, blocks(y.size, THREADS * vector)),)
        kernels.launch(kernel, grid, (THREADS,), *xs, y, y.size, VECTOR=vector, **defines)
    return y

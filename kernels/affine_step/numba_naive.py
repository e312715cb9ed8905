"""affine_step in Numba CUDA, a thread for each number.

What a sampler's step and guidance come to: a x + b y, or a x + b y + c z. New: nothing to share and
nothing to wait for; each number is read once and written once.

Prediction: at the speed of memory.
Measured: not yet on a GPU.

Shapes: two or three arrays of one shape, float32, every size.
Launch: blocks of 256 numbers.
Teaches: why such a kernel cannot be made faster, only left out: by doing it where x is made.
"""

from numba import cuda, float32

from minigen.kernels.launch import blocks, contiguous, empty
from minigen.kernels.simulator import start, supports_arrays


def supports(*arrays, factors):
    if reason := supports_arrays(*arrays):
        return reason
    if len({a.shape for a in arrays}) > 1:
        return "the shapes differ"
    return None if arrays[0].size else "an axis is empty"


def launch(*arrays, factors):
    y = empty(arrays[0].shape, arrays[0])
    flat = [contiguous(a).reshape(-1) for a in arrays]
    kernel = two if len(flat) == 2 else three
    start(kernel, (blocks(y.size, 256),), (256,), *flat, y.reshape(-1), *map(float32, factors))
    return y, None


@cuda.jit
def two(x, z, y, a, b):
    i = cuda.grid(1)
    if i < y.size:
        y[i] = a * x[i] + b * z[i]


@cuda.jit
def three(x, z, v, y, a, b, c):
    i = cuda.grid(1)
    if i < y.size:
        y[i] = a * x[i] + b * z[i] + c * v[i]

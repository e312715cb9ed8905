"""affine_step, a thread for each number.

New: nothing yet; the formula as it stands, in one kernel where an array library takes up to five.
Prediction: memory's speed is the limit, and neighbours in a warp read neighbours in memory: that of
a copy of as many bytes. A sampler that goes through denoise_step does not come here at all.
Measured: not yet on a GPU.

Shapes: two or three arrays of one shape, every size.
Launch: blocks of 256 numbers.
Source: none; it is a sum.
Teaches: the smallest kernel that is of use.
"""

from minigen.kernels.launch import CudaFile, blocks, contiguous, empty, only_cuda

kernels = CudaFile(__file__)


def supports(*arrays, factors):
    if reason := only_cuda(*arrays):
        return reason
    if len({a.shape for a in arrays}) > 1:
        return "the arrays differ in shape"
    if len(arrays) not in (2, 3):
        return "it takes two or three arrays"
    return None if arrays[0].size else "the arrays are empty"


def launch(*arrays, factors):
    y = empty(arrays[0].shape, arrays[0])
    xs = [contiguous(x) for x in arrays]
    if len(xs) == 2:
        xs, factors = [*xs, None], (*factors, 0.0)
    kernels.launch("affine_step", (blocks(y.size, 256),), (256,), *xs, y, *factors, y.size)
    return y, None

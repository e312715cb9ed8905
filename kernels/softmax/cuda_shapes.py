"""What the CUDA rungs of softmax ask of their arrays, and how they lay them out."""

from minigen.kernels.launch import blocks, contiguous, empty, only_cuda


def supports(x, *, axis=-1):
    if reason := only_cuda(x):
        return reason
    if x.ndim == 0 or x.size == 0:
        return "it takes arrays that have elements and axes"
    return None if axis in (-1, x.ndim - 1) else "it takes the last axis only"


def softmax(kernels, x, rows_of_a_block, threads):
    """(y, backward) by the kernels `softmax` and `softmax_grad` of a file."""
    C = x.shape[-1]
    R = x.size // C

    def run(kernel, *inputs):
        y = empty(x.shape, x)
        arrays = [contiguous(a) for a in inputs]
        kernels.launch(kernel, (blocks(R, rows_of_a_block),), (threads,), *arrays, y, R, C)
        return y

    y = run("softmax", x)
    return y, lambda g, needs: (run("softmax_grad", g, y),)

"""What the CUDA rungs of layer_norm ask of their arrays."""

from minigen.kernels.launch import only_cuda

WARPS = 8  # of a block, a row each


def supports(x, weight, bias, *, eps):
    if reason := only_cuda(x, weight, bias):
        return reason
    if not (x.size and x.ndim and weight.shape == bias.shape == x.shape[-1:]):
        return "the shapes do not fit"
    rows = x.size // x.shape[-1]
    return None if max(rows, x.shape[-1]) <= 2**30 else "it has more than 2^30 rows or channels"

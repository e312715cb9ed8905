"""What the fused rungs ask of their arrays, and the statistics that they start from."""

from minigen.kernels.group_norm_silu import cuda_shapes, k3_chunked
from minigen.kernels.group_norm_silu.cuda_shapes import Norm
from minigen.kernels.launch import contiguous, only_cuda


def supports(x, weight, bias, w, *, num_groups, eps):
    if reason := only_cuda(w):
        return reason
    if reason := cuda_shapes.supports(x, weight, bias, num_groups=num_groups, eps=eps):
        return reason
    if x.ndim != 4 or w.ndim != 4 or w.shape[:3] != (3, 3, x.shape[3]) or w.size == 0:
        return "the shapes do not fit"
    return None


def arranged(x, weight, bias, w, num_groups, eps):
    """The arrays as the kernels take them, before y, and the numbers after it."""
    norm = Norm.of(x, weight, bias, num_groups)
    stats = k3_chunked.moments(k3_chunked.kernels, norm, eps)
    arrays = (norm.x, stats, norm.weight, norm.bias, contiguous(w))
    return arrays, (*x.shape, w.shape[3], *norm.sizes[2:])

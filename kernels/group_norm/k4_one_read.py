"""group_norm, a group in shared memory: group_norm_silu's kernel without silu.

New, prediction, shapes, launch, source, what it teaches: see group_norm_silu/k4_one_read.py.
Measured: not yet on a GPU.
"""

from minigen.kernels.group_norm import k3_chunked
from minigen.kernels.group_norm_silu import k4_one_read as with_silu
from minigen.kernels.launch import CudaFile

kernels = CudaFile(with_silu.__file__, SILU=0)
supports = with_silu.supports


def launch(x, weight, bias, *, num_groups, eps):
    return with_silu.run(kernels, k3_chunked.kernels, x, weight, bias, num_groups, eps)

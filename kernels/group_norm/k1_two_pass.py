"""group_norm, a block for each group of each image: the kernel of group_norm_silu without silu.

New since the reference, prediction, shapes, launch, source: see group_norm_silu/k1_two_pass.py.
Measured: not yet on a GPU.
Teaches: two ops from one text, by a name that the compiler knows.
"""

from minigen.kernels.group_norm_silu import k1_two_pass as with_silu
from minigen.kernels.launch import CudaFile

kernels = CudaFile(with_silu.__file__, SILU=0)
supports = with_silu.supports


def launch(x, weight, bias, *, num_groups, eps):
    return with_silu.run(kernels, x, weight, bias, num_groups, eps)

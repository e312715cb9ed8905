"""conv2d(group_norm_silu(x), w, padding=1) in one kernel, after that of the statistics.

New since group_norm_silu and conv2d one after the other: x is normalised on its way into shared
memory, so the array between the two is neither written nor read. And a thread makes 8 pixels of 8
outputs: what it reads for one row of the filter, 10 numbers of x and 24 weights, serves 192
multiplications.
Prediction: a write and a read of x less, which counts where channels are few; against that each
block norms its own tile and halo, so silu is computed 1.4 times for each 64 outputs.
Measured: not yet on a GPU.

Shapes: x (N, H, W, C), weight and bias (C,) or (N, C), w (3, 3, C, O) -> (N, H, W, O), float32,
every size. Forward only.
Launch: 128 threads for 8 x 16 pixels x 64 outputs; 24 KB of shared memory.
Source: the order of the ops is that of Dhariwal and Nichol, 2021, arXiv 2105.05233, section 3.
Teaches: fusion: work again what is cheap in the place of storing it.
"""

from minigen.kernels.elements import vector_of
from minigen.kernels.group_norm_silu_conv2d.cuda_shapes import arranged, supports
from minigen.kernels.launch import CudaFile, blocks, empty

__all__ = ["launch", "supports"]

kernels = CudaFile(__file__)


def launch(x, weight, bias, w, *, num_groups, eps):
    arrays, sizes = arranged(x, weight, bias, w, num_groups, eps)
    (N, H, W), O = x.shape[:3], w.shape[3]
    y = empty((N, H, W, O), x)
    grid = (N * blocks(H, 8) * blocks(W, 16), blocks(O, 64))
    kernels.launch("conv", grid, (128,), *arrays, y, *sizes, VECTOR=vector_of(O, y))
    return y, None

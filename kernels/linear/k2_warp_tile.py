"""linear by the warp tiles of matmul, with the bias at their end.

New since k1: the product of matmul/k5_warp_tile, whose threads add the bias to the 8 x 8 numbers in
their registers before they write them. The gradients are products that read x and w as they lie,
though transposed.
Prediction: as fast as matmul/k5_warp_tile.
Measured: not yet on a GPU.

Shapes: x (..., K), w (K, M), b (M,) -> (..., M), float32.
Launch: as matmul/k5_warp_tile; the kernel is that one, matmul/k5_warp_tile.cu.
Source: as matmul/k5_warp_tile.
Teaches: one kernel for a product and for what comes after it.
"""

from minigen.kernels.launch import contiguous
from minigen.kernels.linear.shapes import as_rows, backward_by, supports
from minigen.kernels.matmul.k5_warp_tile import product

__all__ = ["launch", "supports"]


def launch(x, w, b):
    y = product(as_rows(x), w, contiguous(b))
    return y.reshape(*x.shape[:-1], w.shape[1]), backward_by(product, x, w)

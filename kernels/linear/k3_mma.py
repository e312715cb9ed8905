"""linear on the tensor cores, with the bias at the end.

New since k2: the product of matmul/k6_mma; bias and sums stay float32. Its precision at the time of
the call holds for the gradients too.
Prediction: as fast as matmul/k6_mma.
Measured: not yet on a GPU.

Shapes: x (..., K), w (K, M), b (M,) -> (..., M), float32.
Precision: use_precision("fp16"), "bf16" or "tf32". Not in "fp32".
Launch: as matmul/k6_mma; the kernel is that one, matmul/k6_mma.cu.
Source: as matmul/k6_mma.
Teaches: mixed precision: what is multiplied is rounded, what is added is not.
"""

from functools import partial

from minigen.kernels import precision
from minigen.kernels.launch import contiguous
from minigen.kernels.linear import shapes
from minigen.kernels.linear.shapes import as_rows, backward_by
from minigen.kernels.matmul.k6_mma import may_round
from minigen.kernels.matmul.k6_mma import product as product_of_kind

__all__ = ["launch", "supports"]


def supports(x, w, b):
    return shapes.supports(x, w, b) or may_round(x)


def launch(x, w, b):
    product = partial(product_of_kind, kind=precision.current())
    y = product(as_rows(x), w, contiguous(b))
    return y.reshape(*x.shape[:-1], w.shape[1]), backward_by(product, x, w)

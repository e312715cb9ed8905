"""softmax of long rows, a block for each, the maximum and the sum in one pass.

New since k2: 256 threads share a row. And a thread carries its maximum so far together with the sum
of the exponentials below it; when a larger number comes, the sum is scaled down. So the maximum
needs no pass of its own, and memory is read twice and written once, not read three times and
written twice.
Prediction: the speed of memory for rows that k2 finds too long. Two exponentials for each number
instead of one are hidden behind the loads.
Measured: not yet on a GPU.

Shapes: x (..., C) -> (..., C), float32, C >= 1024: a warp is enough for shorter rows.
Launch: a block of 256 threads for each row.
Source: Milakov and Gimelshein, 2018, arXiv 1805.02867, algorithm 3; section 3.1: how
pairs merge.
Teaches: the online softmax, on which flash attention stands.
"""

from minigen.kernels.launch import CudaFile
from minigen.kernels.softmax import cuda_shapes

kernels = CudaFile(__file__)


def supports(x, *, axis=-1):
    if reason := cuda_shapes.supports(x, axis=axis):
        return reason
    C = x.shape[-1]
    return None if C >= 1024 else f"a row of C = {C} numbers is too short for a block"


def launch(x, *, axis=-1):
    return cuda_shapes.softmax(kernels, x, 1, 256)

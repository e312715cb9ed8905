"""softmax, a thread for each row.

New: nothing yet; the formula as it stands, in three passes over a row: its largest number, the
exponentials and their sum, the division.
Prediction: slow, the threads of a warp read memory in strides of C; where rows are long and few,
most of the GPU idles besides.
Measured: not yet on a GPU.

Shapes: x (..., C) -> (..., C), float32, every size.
Launch: blocks of 128 rows.
Source: Milakov and Gimelshein, 2018, arXiv 1805.02867, algorithm 2.
Teaches: why the largest number is subtracted: exp of more than 88 is no float.
"""

from minigen.kernels.launch import CudaFile
from minigen.kernels.softmax import cuda_shapes
from minigen.kernels.softmax.cuda_shapes import supports

__all__ = ["launch", "supports"]

kernels = CudaFile(__file__)


def launch(x, *, axis=-1):
    return cuda_shapes.softmax(kernels, x, 128, 128)

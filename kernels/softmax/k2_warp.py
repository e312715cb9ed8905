"""softmax, a warp for each row.

New since k1: the 32 lanes of a warp share a row. They read neighbours, which is one piece of
memory, and find the maximum and the sum in five shuffles, from register to register.
Prediction: near the speed of memory where rows fit the cache, as the later passes then find them
there; long rows are read from memory twice, and one warp has too few loads under way.
Measured: not yet on a GPU.

Shapes: x (..., C) -> (..., C), float32, every size.
Launch: blocks of 4 warps, that is 4 rows.
Source: Milakov and Gimelshein, 2018, arXiv 1805.02867, algorithm 2; CUDA C++ Programming Guide,
section 10.22, the butterfly of shuffles.
Teaches: coalesced reads, and shuffles that give every lane the same bits.
"""

from minigen.kernels.launch import CudaFile
from minigen.kernels.softmax import cuda_shapes
from minigen.kernels.softmax.cuda_shapes import supports

__all__ = ["launch", "supports"]

kernels = CudaFile(__file__)


def launch(x, *, axis=-1):
    return cuda_shapes.softmax(kernels, x, 4, 128)

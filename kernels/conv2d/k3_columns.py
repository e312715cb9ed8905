"""conv2d by columns ("im2col") and one product of matrices, as the reference does it.

New since k2: the picture's shape is dealt with by a kernel that only copies; what remains is a
product of two matrices, by register tiles: 8 x 8 sums in each thread (include/mg_tile.cuh).
Prediction: four multiplications for a number read from shared memory, so the product comes near to
the arithmetic's limit; but a 3x3 filter writes the picture nine times and reads it back. A few
images at a time, so that the columns have a chance to stay in the second-level cache.
Measured: not yet on a GPU.

Shapes: x (N, H, W, C), w (KH, KW, C, O) -> (N, OH, OW, O), float32, every size; channels that are
no multiples of 4 are filled up with zeros first.
Launch: columns by 256 threads; the product by 128 threads for 128 pixels x 64 outputs, 12 KB.
Source: Chellapilla, Puri and Simard, High Performance Convolutional Neural Networks for Document
Processing, 2006; Volkov and Demmel, Benchmarking GPUs to Tune Dense Linear Algebra, 2008 (register
tiles).
Teaches: a convolution is a product of matrices; what that costs in memory.
"""

from minigen.kernels.conv2d.cuda_shapes import COLUMNS, ROWS, in_fours, sizes, supports
from minigen.kernels.launch import CudaFile, blocks, contiguous, empty

__all__ = ["launch", "supports"]

BYTES = 32 << 20  # of columns at a time

kernels = CudaFile(__file__)


def launch(x, w, *, stride=1, padding=0):
    O, x, w = w.shape[3], in_fours(x), in_fours(w, (2, 3))
    s = sizes(x.shape, w.shape, stride, padding)
    y, K = empty((s.N, s.OH, s.OW, s.O), x), s.KH * s.KW * s.C
    images = min(s.N, max(1, BYTES // (4 * s.OH * s.OW * K)))
    columns = empty((images * s.OH * s.OW, K), x)
    for n in range(0, s.N, images):
        part = s._replace(N=min(images, s.N - n))
        M = part.pixels
        kernels.launch(
            "to_columns", (blocks(M * K // 4, 256),), (256,), x[n : n + part.N], columns, *part
        )
        grid = (blocks(M, ROWS), blocks(s.O, COLUMNS))
        kernels.launch("multiply_columns", grid, (128,), columns, w, y[n : n + part.N], M, s.O, K)
    return contiguous(y[..., :O]), None

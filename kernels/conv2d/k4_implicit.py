"""conv2d as a product of matrices, one of which is never written ("implicit GEMM").

New since k3: the columns are addresses, not an array: a thread keeps in registers where in its
patch it stands, and moves on by four channels at a time.
Prediction: ahead of k3 by the time that writing and reading columns takes; the product itself is
the same. The nine reads of a number of x come from the caches.
Measured: not yet on a GPU.

Shapes: x (N, H, W, C), w (KH, KW, C, O) -> (N, OH, OW, O), float32, every size; channels that are
no multiples of 4 are filled up with zeros first.
Launch: 128 threads for 128 pixels x 64 outputs, 12 KB of shared memory.
Source: Chetlur et al., cuDNN: Efficient Primitives for Deep Learning, 2014, arXiv 1410.0759,
section 3.
Teaches: an array need not exist to be multiplied with.
"""

from minigen.kernels.conv2d.cuda_shapes import COLUMNS, ROWS, in_fours, sizes, supports
from minigen.kernels.launch import CudaFile, blocks, contiguous, empty

__all__ = ["launch", "supports"]

kernels = CudaFile(__file__)


def launch(x, w, *, stride=1, padding=0):
    O, x, w = w.shape[3], in_fours(x), in_fours(w, (2, 3))
    s = sizes(x.shape, w.shape, stride, padding)
    y = empty((s.N, s.OH, s.OW, s.O), x)
    kernels.launch("conv2d", (blocks(s.pixels, ROWS), blocks(s.O, COLUMNS)), (128,), x, w, y, *s)
    return contiguous(y[..., :O]), None

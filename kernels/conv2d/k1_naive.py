"""conv2d, a thread for each number of the output.

New: nothing yet; the formula as it stands. The threads of a warp are neighbours in o: they read w
and write y in the order of memory, and all of them the same number of x.
Prediction: two reads from the caches for each multiplication are the limit; and a number of x is
fetched KH KW O times.
Measured: not yet on a GPU.

Shapes: x (N, H, W, C), w (KH, KW, C, O) -> (N, OH, OW, O), float32, every size.
Launch: blocks of 256 numbers of y.
Source: the formula in minigen/ops/conv.py.
Teaches: an index taken apart into axes; the padding as a check, not as a copy.
"""

from minigen.kernels.conv2d.cuda_shapes import sizes, supports
from minigen.kernels.launch import CudaFile, blocks, contiguous, empty

__all__ = ["launch", "supports"]

kernels = CudaFile(__file__)


def launch(x, w, *, stride=1, padding=0):
    s = sizes(x.shape, w.shape, stride, padding)
    y = empty((s.N, s.OH, s.OW, s.O), x)
    kernels.launch("conv2d", (blocks(y.size, 256),), (256,), contiguous(x), contiguous(w), y, *s)
    return y, None

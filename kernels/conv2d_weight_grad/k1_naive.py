"""conv2d_weight_grad, a thread for each number of the result.

New: nothing yet; a thread walks over all pixels of all images.
Prediction: two reads for each multiplication, and too few threads: a filter has thousands of
numbers where a picture has millions, and each is a sum over all pixels, one after the other. The
error grows with the length of that sum.
Measured: not yet on a GPU.

Shapes: g (N, OH, OW, O), x (N, H, W, C) -> (KH, KW, C, O), float32, every size.
Launch: blocks of 256 numbers of gw.
Source: the formula in minigen/ops/conv.py.
Teaches: a small result with long sums leaves a GPU idle.
"""

from minigen.kernels.conv2d.cuda_shapes import sizes
from minigen.kernels.conv2d.cuda_shapes import supports_weight_grad as supports
from minigen.kernels.launch import CudaFile, blocks, contiguous, empty

__all__ = ["launch", "supports"]

kernels = CudaFile(__file__)


def launch(g, x, *, kernel_size, stride=1, padding=0):
    s = sizes(x.shape, (*kernel_size, x.shape[3], g.shape[3]), stride, padding)
    gw = empty((s.KH, s.KW, s.C, s.O), g)
    arguments = (contiguous(g), contiguous(x), gw, *s)
    kernels.launch("conv2d_weight_grad", (blocks(gw.size, 256),), (256,), *arguments)
    return gw, None

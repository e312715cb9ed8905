"""conv2d_input_grad, a thread for each number of the result.

New: nothing yet; the sum is gathered: a thread asks for each tap of the filter which output pixel
read this pixel through it, if one did. Nobody adds to what another writes.
Prediction: two reads for each multiplication are the limit; and the threads of a warp differ in c,
so they read the weights in steps of O. At stride 2 three of four taps are asked for in vain.
Measured: not yet on a GPU.

Shapes: g (N, OH, OW, O), w (KH, KW, C, O) -> (N, H, W, C), float32, every size.
Launch: blocks of 256 numbers of gx.
Source: the formula in minigen/ops/conv.py.
Teaches: scatter turned into gather, so that no atomics are needed.
"""

from minigen.kernels.conv2d.cuda_shapes import sizes
from minigen.kernels.conv2d.cuda_shapes import supports_input_grad as supports
from minigen.kernels.launch import CudaFile, blocks, contiguous, empty

__all__ = ["launch", "supports"]

kernels = CudaFile(__file__)


def launch(g, w, *, size, stride=1, padding=0):
    s = sizes((len(g), *size, w.shape[2]), w.shape, stride, padding)
    gx = empty((s.N, s.H, s.W, s.C), g)
    arguments = (contiguous(g), contiguous(w), gx, *s)
    kernels.launch("conv2d_input_grad", (blocks(gx.size, 256),), (256,), *arguments)
    return gx, None

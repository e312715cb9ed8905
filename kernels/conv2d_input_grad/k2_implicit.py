"""conv2d_input_grad as a product of matrices that are never written ("implicit GEMM").

New since k1: the register tiles of conv2d's k4_implicit. With a stride the taps that reach a pixel
depend on its place in the raster: the pixels are sorted by it into phases, so that a block never
asks for a tap in vain.
Prediction: as conv2d's k4_implicit with C and O exchanged, at every stride; the weights are
transposed first, which is little.
Measured: not yet on a GPU.

Shapes: g (N, OH, OW, O), w (KH, KW, C, O) -> (N, H, W, C), float32, every size; channels that are
no multiples of 4 are filled up with zeros first.
Launch: 128 threads for 128 pixels of a phase x 64 channels; z counts the phases. 12 KB of shared
memory.
Source: Dumoulin and Visin, 2016, arXiv 1603.07285, section 4 (the transpose as a convolution).
Teaches: work sorted so that all threads of a block do the same.
"""

from minigen.kernels.conv2d.cuda_shapes import COLUMNS, ROWS, in_fours, sizes
from minigen.kernels.conv2d.cuda_shapes import supports_input_grad as supports
from minigen.kernels.launch import CudaFile, blocks, contiguous, empty

__all__ = ["launch", "supports"]

kernels = CudaFile(__file__)


def launch(g, w, *, size, stride=1, padding=0):
    C, g, w = w.shape[2], in_fours(g), in_fours(w, (2, 3))
    s = sizes((len(g), *size, w.shape[2]), w.shape, stride, padding)
    gx = empty((s.N, s.H, s.W, s.C), g)
    largest = s.N * blocks(s.H, s.SH) * blocks(s.W, s.SW)  # pixels of a phase
    grid = (blocks(largest, ROWS), blocks(s.C, COLUMNS), min(s.SH, s.H) * min(s.SW, s.W))
    weights = contiguous(w.transpose(0, 1, 3, 2))  # (KH, KW, C, O) -> (KH, KW, O, C)
    kernels.launch("conv2d_input_grad", grid, (128,), g, weights, gx, *s)
    return contiguous(gx[..., :C]), None

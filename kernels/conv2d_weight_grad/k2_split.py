"""conv2d_weight_grad as a product of matrices, its long sums split over blocks ("split K").

New since k1: the register tiles of conv2d's k4_implicit, here with a column of patches for each
weight. The result has few tiles, so the pixels are split into parts with a block for each; the
parts are added by a second kernel, in a fixed order and not by atomics: the same bits every run.
Prediction: near conv2d's k4_implicit; the parts, each as large as the filter, are written and read
once.
Measured: not yet on a GPU.

Shapes: g (N, OH, OW, O), x (N, H, W, C) -> (KH, KW, C, O), float32, every size; channels that are
no multiples of 4 are filled up with zeros first.
Launch: 128 threads for 128 x 64 weights, z counts the parts. 12 KB of shared memory.
Source: Osama et al., Stream-K, 2023, arXiv 2301.03598, section 3 (what splitting K is for).
Teaches: parallel sums that are reproducible.
"""

from minigen.kernels.conv2d.cuda_shapes import COLUMNS, ROWS, in_fours, sizes
from minigen.kernels.conv2d.cuda_shapes import supports_weight_grad as supports
from minigen.kernels.launch import CudaFile, blocks, contiguous, empty

__all__ = ["launch", "supports"]

BLOCKS = 512  # that keep a large GPU busy; fixed, so that every GPU adds in the same order
LEAST = 256  # pixels in a part

kernels = CudaFile(__file__)


def split(pixels, tiles):
    """(Z, pixels in each of Z parts), for a result of so many tiles."""
    length = max(LEAST, blocks(pixels, max(1, BLOCKS // tiles)))
    return blocks(pixels, length), length


def launch(g, x, *, kernel_size, stride=1, padding=0):
    C, O, g, x = x.shape[3], g.shape[3], in_fours(g), in_fours(x)
    s = sizes(x.shape, (*kernel_size, x.shape[3], g.shape[3]), stride, padding)
    K = s.KH * s.KW * s.C
    rows, columns = blocks(K, ROWS), blocks(s.O, COLUMNS)
    Z, length = split(s.pixels, rows * columns)
    parts, gw = empty((Z, K, s.O), g), empty((s.KH, s.KW, s.C, s.O), g)
    kernels.launch("multiply_part", (rows, columns, Z), (128,), g, x, parts, length, *s)
    add(parts, gw)
    return contiguous(gw[:, :, :C, :O]), None


def add(parts, gw):
    """gw = the sum of the parts, (Z, ...)."""
    fours = gw.size // 4
    kernels.launch("add_parts", (blocks(fours, 256),), (256,), parts, gw, len(parts), fours)

"""conv2d by tiles of the picture with their halo.

New since k1: the pixels of a block read nearly the same part of x, so the block brings it into
shared memory once: 8 x 8 output pixels and the rim that the filter reaches beyond them, with the
filter's weights for 32 outputs. A thread makes 8 pixels, so a weight that it reads serves 8 times.
Prediction: a number of x is fetched from memory little more than once for each 32 outputs. The
limit is shared memory: 9 reads for 8 multiplications. Pictures that are no multiples of 8 and
channels that are no multiples of 32 leave threads idle.
Measured: not yet on a GPU.

Shapes: x (N, H, W, C), w (KH, KW, C, O) -> (N, OH, OW, O), float32; filters up to 19 x 19,
so that a channel's tiles fit in shared memory.
Launch: 32 outputs x 8 rows of 8 pixels; up to 48 KB of shared memory, for 1 to 8 channels.
Source: Podlozhnyuk, Image Convolution with CUDA, NVIDIA 2007 (the apron around a tile).
Teaches: the halo; dynamic shared memory cut in two; what a register that is used again saves.
"""

from minigen.kernels.conv2d import cuda_shapes
from minigen.kernels.conv2d.cuda_shapes import sizes
from minigen.kernels.launch import CudaFile, blocks, contiguous, empty

TILE, OUTPUTS = 8, 32  # as in the .cu
SHARED = 48 << 10  # bytes that every GPU gives a block without being asked

kernels = CudaFile(__file__)


def floats(s):
    """Numbers of shared memory for each channel: the tile of x and the weights."""
    tile = ((TILE - 1) * s.SH + s.KH) * ((TILE - 1) * s.SW + s.KW)
    return tile + s.KH * s.KW * OUTPUTS


def supports(x, w, *, stride=1, padding=0):
    if reason := cuda_shapes.supports(x, w, stride=stride, padding=padding):
        return reason
    if 4 * floats(sizes(x.shape, w.shape, stride, padding)) > SHARED:
        return "a tile and its filter do not fit in 48 KB of shared memory"
    return None


def launch(x, w, *, stride=1, padding=0):
    s = sizes(x.shape, w.shape, stride, padding)
    y = empty((s.N, s.OH, s.OW, s.O), x)
    channels = next(c for c in (8, 4, 2, 1) if 4 * floats(s) * c <= SHARED)
    grid = (s.N * blocks(s.OH, TILE) * blocks(s.OW, TILE), blocks(s.O, OUTPUTS))
    arguments = (contiguous(x), contiguous(w), y, channels, *s)
    kernels.launch("conv2d", grid, (OUTPUTS, TILE), *arguments, shared=4 * floats(s) * channels)
    return y, None

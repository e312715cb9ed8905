"""conv2d for 3x3 filters with fewer multiplications: Winograd's F(2x2, 3x3).

New since k4: pictures and filter are transformed, so that a tile of 2 x 2 outputs takes 16
multiplications for each pair of channels instead of 36. Four kernels, the products by the same
register tiles as before.
Prediction: the products take 2.25 times less; but the tiles are four times the picture, and so are
their products, all written and read again. A few images at a time, so that they may stay in the
second-level cache: then ahead of k4 where there are many channels, behind where there are few. This
is the least certain of the predictions.
Measured: not yet on a GPU.

Shapes: x (N, H, W, C), w (3, 3, C, O) -> (N, OH, OW, O), float32, every size and padding, stride 1;
channels that are no multiples of 4 are filled up with zeros first.
Error: about that of k4; it is tested with the same tolerance.
Launch: transforms by 256 threads; 16 products by 128 threads for 128 tiles x 64 outputs, 12 KB.
Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2016, arXiv 1509.09308,
section 4.1. Derivation: docs/derivations/winograd.md.
Teaches: another algorithm may beat a better kernel; and bytes may eat what multiplications save.
"""

from minigen.kernels.conv2d import cuda_shapes
from minigen.kernels.conv2d.cuda_shapes import COLUMNS, ROWS, in_fours, pair, sizes
from minigen.kernels.launch import CudaFile, blocks, contiguous, empty

BYTES = 16 << 20  # of tiles and their products at a time

kernels = CudaFile(__file__)


def supports(x, w, *, stride=1, padding=0):
    if reason := cuda_shapes.supports(x, w, stride=stride, padding=padding):
        return reason
    if w.shape[:2] != (3, 3) or pair(stride) != (1, 1):
        return "it is for 3x3 filters at stride 1"
    return None


def launch(x, w, *, stride=1, padding=0):
    O, x, w = w.shape[3], in_fours(x), in_fours(w, (2, 3))
    s = sizes(x.shape, w.shape, stride, padding)
    y, tiles = empty((s.N, s.OH, s.OW, s.O), x), blocks(s.OH, 2) * blocks(s.OW, 2)
    images = min(s.N, max(1, BYTES // (4 * 16 * tiles * (s.C + s.O))))
    T = images * tiles
    U, V, M = empty((16, s.C, s.O), x), empty((16, T, s.C), x), empty((16, T, s.O), x)
    run = kernels.launch
    run("transform_filter", (blocks(s.C * s.O, 256),), (256,), w, U, s.C, s.O)
    for n in range(0, s.N, images):
        part = slice(n, n + images)  # the last one may have fewer images
        T = len(x[part]) * tiles
        image = (s.H, s.W, s.C, s.OH, s.OW, s.PH, s.PW)
        run("transform_data", (blocks(T * s.C, 256),), (256,), x[part], V, T, *image)
        grid = (blocks(T, ROWS), blocks(s.O, COLUMNS), 16)
        run("multiply_tiles", grid, (128,), V, U, M, T, s.C, s.O)
        run("transform_back", (blocks(T * s.O, 256),), (256,), M, y[part], T, s.O, s.OH, s.OW)
    return contiguous(y[..., :O]), None

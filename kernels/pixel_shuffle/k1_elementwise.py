"""pixel_shuffle and space_to_depth, each the other's gradient, a thread for each number.

New: nothing yet; a thread is at a place of the wide picture both ways, and finds the other one.
Prediction: neighbours in a warp are neighbours in the wide picture; in the deep one they lie r^2
apart, so one side moves at memory's speed and the other in pieces, which the cache mends in part.
Measured: not yet on a GPU.

Shapes: (N, H, W, C r r) <-> (N, H r, W r, C), float32, every size. Error: none, numbers are moved.
Launch: as avg_pool2d/k1_elementwise.py, over the wide picture.
Source: Shi et al., 2016, arXiv 1609.05158, eq. 4.
Teaches: that of two orders of memory only one can be walked along.
"""

from minigen.kernels.avg_pool2d.k1_elementwise import over_pictures, refusal
from minigen.kernels.launch import CudaFile, contiguous, empty

kernels = CudaFile(__file__)


def supports(x, *, r):
    return refusal(x) or ("the shapes do not fit" if x.shape[3] % (r * r) else None)


def launch(x, *, r):
    return to_pixels(x, r), lambda g, needs: (to_channels(g, r),)


def to_pixels(deep, r):
    """(N, H, W, C r r) -> (N, H r, W r, C)."""
    N, H, W, CRR = deep.shape
    wide = empty((N, H * r, W * r, CRR // (r * r)), deep)
    over_pictures(kernels, "to_pixels", wide, contiguous(deep), wide, H, W, wide.shape[3], r)
    return wide


def to_channels(wide, r):
    """(N, H r, W r, C) -> (N, H, W, C r r)."""
    N, HR, WR, C = wide.shape
    deep = empty((N, HR // r, WR // r, C * r * r), wide)
    over_pictures(kernels, "to_channels", wide, contiguous(wide), deep, HR // r, WR // r, C, r)
    return deep

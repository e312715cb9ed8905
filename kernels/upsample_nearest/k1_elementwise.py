"""upsample_nearest and its gradient, a thread for each number of the result.

New: nothing yet; the gradient, the sum over each pixel's square, is `gather` of
avg_pool2d/k1_elementwise.py with no mean to be undone.
Prediction: memory's speed, one write and 1 / r^2 reads.
Measured: not yet on a GPU.

Shapes: x (N, H, W, C) -> (N, H r, W r, C), float32, every size. Error: none forward; that of a sum
in another order backward (tests/kernels/test_cuda_resample.py).
Launch: as avg_pool2d.
Source: none.
Teaches: that a copy can be left out: a convolution that reads x[h / r] needs no y.
"""

from minigen.kernels.avg_pool2d.k1_elementwise import gather, over_pictures, refusal
from minigen.kernels.launch import CudaFile, contiguous, empty

kernels = CudaFile(__file__)


def supports(x, *, scale_factor):
    return refusal(x, scale_factor)


def launch(x, *, scale_factor):
    (N, H, W, C), r = x.shape, scale_factor
    y = empty((N, H * r, W * r, C), x)
    over_pictures(kernels, "repeat", y, contiguous(x), y, H, W, C, r)
    return y, lambda g, needs: (gather(g, (r, r, r, r, 0, 0), 1.0),)

"""conv2d_weight_grad on the tensor cores.

New since k2: the same product in the same parts, with mma.sync and cp.async, as in conv2d's
k6_implicit_mma. The sum goes over pixels, whose numbers lie across it in memory; ldmatrix turns
each 8 x 8 of them on the way to the registers, for nothing.
Prediction: as conv2d's k6_implicit_mma, less what it costs to find each pixel's place by division.
Measured: not yet on a GPU.

Shapes: g (N, OH, OW, O), x (N, H, W, C) -> (KH, KW, C, O), float32, every size.
Precision: use_precision("fp16") or "bf16", to which g and x are rounded; sums are float32. In fp16
small gradients vanish, below 6e-8. Not in "tf32": ldmatrix turns numbers of 16 bits.
Launch: 128 threads for 128 x 128 weights in 64 KB of shared memory, or for 64 x 64 in 32 KB; z
counts the parts.
Source: PTX ISA 8.5, sections 9.7.9.25 and 9.7.14.5 (ldmatrix .trans).
Teaches: a transpose that costs nothing, because registers are filled by addresses.
"""

from minigen.kernels import precision
from minigen.kernels.conv2d import cuda_shapes
from minigen.kernels.conv2d.cuda_shapes import sizes
from minigen.kernels.conv2d.k6_implicit_mma import may_round, rounded, run
from minigen.kernels.conv2d_weight_grad.k2_split import add, split
from minigen.kernels.launch import CudaFile, blocks, contiguous, empty

kernels = CudaFile(__file__)


def supports(g, x, *, kernel_size, stride=1, padding=0):
    settings = {"kernel_size": kernel_size, "stride": stride, "padding": padding}
    if reason := cuda_shapes.supports_weight_grad(g, x, **settings) or may_round(g):
        return reason
    if precision.current() == "tf32":
        return "it rounds to 16 bits, and the precision is tf32"
    return None


def launch(g, x, *, kernel_size, stride=1, padding=0):
    s = sizes(x.shape, (*kernel_size, x.shape[3], g.shape[3]), stride, padding)
    g, x = rounded(g.reshape(1, -1, s.O)), rounded(x.reshape(1, -1, s.C))
    C, O = 2 * x.shape[2], 2 * g.shape[2]  # filled up with zeros to multiples of 8
    K = s.KH * s.KW * C
    Z, length = split(s.pixels, blocks(K, 128) * blocks(O, 128))
    parts, gw = empty((Z, K, O), x, "float32"), empty((s.KH, s.KW, C, O), x, "float32")
    run(kernels, "multiply_part", K, O, Z, g, x, parts, length, C // 8, O // 8, *s)
    add(parts, gw)
    return contiguous(gw[:, :, : s.C, : s.O]), None

"""conv2d_input_grad on the tensor cores.

New since k2: the same product in the same phases, with mma.sync and cp.async, as in conv2d's
k6_implicit_mma. Here g and w already lie along the axis that is summed over, so both are only
rounded, not turned.
Prediction: as conv2d's k6_implicit_mma, at every stride.
Measured: not yet on a GPU.

Shapes: g (N, OH, OW, O), w (KH, KW, C, O) -> (N, H, W, C), float32, every size.
Precision: use_precision("fp16"), "bf16" or "tf32", to which g and w are rounded; sums are float32.
In fp16 small gradients vanish, below 6e-8.
Launch: 128 threads for 128 x 128 numbers of gx in 64 KB of shared memory, or for 64 x 64 in 32 KB;
z counts the phases.
Source: PTX ISA 8.5, sections 9.7.9.25 and 9.7.14.5; arXiv 1603.07285, section 4.
Teaches: once the addresses are apart from the product, a faster product serves all three.
"""

from minigen.kernels.conv2d import cuda_shapes
from minigen.kernels.conv2d.cuda_shapes import sizes
from minigen.kernels.conv2d.k6_implicit_mma import may_round, rounded, run
from minigen.kernels.launch import CudaFile, blocks, empty

kernels = CudaFile(__file__)


def supports(g, w, *, size, stride=1, padding=0):
    settings = {"size": size, "stride": stride, "padding": padding}
    return cuda_shapes.supports_input_grad(g, w, **settings) or may_round(g)


def launch(g, w, *, size, stride=1, padding=0):
    s = sizes((len(g), *size, w.shape[2]), w.shape, stride, padding)
    gx = empty((s.N, s.H, s.W, s.C), g)
    g, w = rounded(g.reshape(1, -1, s.O)), rounded(w.reshape(-1, s.C, s.O))
    largest = s.N * blocks(s.H, s.SH) * blocks(s.W, s.SW)  # pixels of a phase
    phases = min(s.SH, s.H) * min(s.SW, s.W)
    arguments = (g, w, gx, g.shape[2] // 4, *s)
    run(kernels, "conv2d_input_grad", largest, s.C, phases, *arguments)
    return gx, None

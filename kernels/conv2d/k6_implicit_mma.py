"""conv2d on the tensor cores.

New since k4: the same implicit product, with mma.sync: a warp multiplies 16 x 16 by 16 x 8 numbers
of 16 bits in one instruction. cp.async brings the patches to shared memory while others are being
multiplied, and writes the zeros of the padding (include/mg_mma_tile.cuh). First x and w are rounded
by a small kernel, w also turned, so that both lie along C.
Prediction: several times k4 where there are many channels; half of the tensor cores' peak or a
little more, which is what mma.sync gives on an H100. With few channels lines are mostly zeros.
Measured: not yet on a GPU.

Shapes: x (N, H, W, C), w (KH, KW, C, O) -> (N, OH, OW, O), float32, every size.
Precision: use_precision("fp16"), "bf16" or "tf32", to which x and w are rounded; sums are float32.
Launch: 128 threads, four warps, for 128 x 128 numbers of y in 64 KB of shared memory, or for
64 x 64 in 32 KB where that leaves too few blocks.
Source: PTX ISA 8.5, sections 9.7.9.25 and 9.7.14.5; Chetlur et al., 2014, arXiv 1410.0759.
Teaches: what tensor cores ask of the data: rounded, in chunks of 16 bytes, on their way early.
"""

from minigen.kernels import precision
from minigen.kernels.conv2d import cuda_shapes
from minigen.kernels.conv2d.cuda_shapes import sizes
from minigen.kernels.launch import CudaFile, blocks, empty
from minigen.kernels.matmul.k6_mma import NUMBERS, may_round, packed

STAGES, DEEP, CHUNK = 4, 4, 16  # steps in shared memory; chunks of a line; bytes: mg_mma_tile.cuh
FULL = 128  # blocks that give a large GPU something to do

kernels = CudaFile(__file__)


def supports(x, w, *, stride=1, padding=0):
    return cuda_shapes.supports(x, w, stride=stride, padding=padding) or may_round(x)


def launch(x, w, *, stride=1, padding=0):
    s = sizes(x.shape, w.shape, stride, padding)
    y = empty((s.N, s.OH, s.OW, s.O), x)
    x = rounded(x.reshape(1, -1, s.C))  # (1, N H W, chunks of C)
    w = rounded(w.reshape(-1, s.C, s.O).transpose(0, 2, 1))  # (KH KW, O, chunks of C)
    run(kernels, "conv2d", s.pixels, s.O, 1, x, w, y, x.shape[2] // 4, *s)
    return y, None


def rounded(a):
    """(B, lines, K) in the current precision, K in chunks of 16 bytes."""
    kind = precision.current()
    return packed(a, kind, {**NUMBERS[kind][0], "WARP_TILE": 32})


def run(kernels, name, rows, columns, z, *arguments):
    """Launch a kernel that makes `z` times rows x columns sums by mg_mma_tile.cuh."""
    large = blocks(rows, 128) * blocks(columns, 128) * z >= FULL and columns > 64
    tile = 128 if large else 64
    defines = {"MMA": NUMBERS[precision.current()][0]["MMA"], "WARP_TILE": tile // 2}
    grid, shared = (blocks(rows, tile), blocks(columns, tile), z), STAGES * 2 * tile * DEEP * CHUNK
    kernels.launch(name, grid, (128,), *arguments, shared=shared, **defines)

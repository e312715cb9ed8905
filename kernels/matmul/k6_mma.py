"""matmul on the tensor cores.

New since k5: a warp multiplies 16 x 16 by 16 x 8 numbers of 16 bits in one instruction, mma.sync,
and adds them up in float; cp.async brings tiles to shared memory past the registers, three of them
on their way while one is read; ldmatrix deals them out to the lanes. A first kernel rounds a and b,
with lines along k, filled up with zeros, so that every size is whole chunks of 16 bytes.
Prediction: at most about 60 % of what the tensor cores of an H100 can do, which only wgmma reaches;
several times k5 all the same. Small products are held up by the rounding: it reads and writes all.
Measured: not yet on a GPU.

Shapes: a (..., M, K), b (K, N) or (..., K, N) -> (..., M, N), float32; leading axes broadcast.
Precision: use_precision("fp16"), "bf16" or "tf32"; inputs are rounded to 11, 8 and 11 bits, beyond
65504 fp16 is infinite. Not in "fp32".
Launch: blocks of 128 threads, four warps, for 128 x 128 numbers of y, or 64 x 64 where there are
few; z counts products and parts, as in k5. 64 KB of shared memory, or 32.
Source: PTX ISA 8.5, sections 9.7.9.25 and 9.7.14.5; the order of chunks in shared memory as in
NVIDIA, CUTLASS, 2017 and later.
Teaches: tensor cores, asynchronous copies, and bank conflicts avoided by where things are put.
"""

import numpy as np

from minigen.kernels import gpu, precision
from minigen.kernels.launch import CudaFile, blocks, empty
from minigen.kernels.matmul import shapes
from minigen.kernels.matmul.shapes import FULL, MOST, add_parts, as_views, by_lines, parts_of

__all__ = ["launch", "product", "supports"]

kernels = CudaFile(__file__)
NUMBERS = {  # C's type, what rounds to it, the instruction; and how many are 16 bytes
    "fp16": ({"NUMBER": "__half", "ROUND": "__float2half", "MMA": "mg_mma_f16"}, 8),
    "bf16": ({"NUMBER": "__nv_bfloat16", "ROUND": "__float2bfloat16", "MMA": "mg_mma_bf16"}, 8),
    "tf32": ({"NUMBER": "unsigned", "ROUND": "mg_tf32", "MMA": "mg_mma_tf32"}, 4),
}
STAGES, LINE = 4, 64  # tiles in shared memory, bytes of a line in them


def supports(a, b):
    return shapes.supports(a, b) or may_round(a)


def may_round(a):
    """None where the precision allows it and the GPU can do it, else why not."""
    if (chosen := precision.current()) not in NUMBERS:
        return f"it rounds what it multiplies, and the precision is {chosen}"
    if not isinstance(a, np.ndarray) and gpu.capability() < (8, 0):
        return "it needs a GPU of compute capability 8.0 or more"
    return None


def launch(a, b):
    return product(a, b), None


def product(a, b, bias=None, kind=None):
    """a @ b + bias; bias (N,) or None; kind "fp16", "bf16", "tf32", or None for the current one."""
    kind = kind or precision.current()
    a, b, y, result = as_views(a, b)
    (B, M, N), K = y.shape, a.shape[2]
    large = blocks(M, 128) * blocks(N, 128) * B >= FULL // 2
    warp = 64 if large else 32
    tiles = blocks(M, 2 * warp), blocks(N, 2 * warp)
    parts = parts_of(tiles[0] * tiles[1] * B, K)
    sums = y if parts == 1 else empty((B, parts, M, N), y)
    how = {**NUMBERS[kind][0], "WARP_TILE": warp}
    for z in range(0, B, MOST):
        some = slice(z, z + MOST)
        packed_a = packed(a[some], kind, how)
        packed_b = packed(b[some].transpose(0, 2, 1), kind, how)
        kernels.launch(
            "matmul", (*tiles, len(y[some]) * parts), (128,), packed_a, packed_b,
            bias if parts == 1 else None, sums[some], M, N, packed_a.shape[2] // 4, parts,
            shared=STAGES * 4 * warp * LINE, **how,
        )  # fmt: skip
    if parts > 1:
        add_parts(sums, bias, y)
    return result


def packed(x, kind, how):
    """x (B, lines, K), rounded, in lines of whole chunks of four times 32 bits."""
    B, lines, K = x.shape
    x, along_k = by_lines(x)
    chunks = blocks(K, NUMBERS[kind][1])
    y = empty((B, lines, chunks * 4), x, "uint32")
    squares = blocks(lines, 32) * blocks(chunks * NUMBERS[kind][1], 32)
    kernels.launch("pack", (squares, 1, B), (32, 8), x, y, lines, K, chunks, along_k, **how)
    return y

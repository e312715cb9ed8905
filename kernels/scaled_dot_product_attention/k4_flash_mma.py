"""Attention on the tensor cores, by tiles: flash attention.

New since k3: both products, and the five of the way back, are mma.sync: 16 x 16 by 16 x 8 numbers
of 16 bits, added up in float. The scores of a tile stay in the registers of a warp: as one product
leaves them the next one takes them. The next tile is on its way by cp.async meanwhile; a kernel
before rounds q, k and v once, filled up with zeros to whole chunks of 16 bytes.
Prediction: several times k3; for short sequences launches and the rounding are what is seen. The
exponentials are then as dear as the products, which is why a tile is scaled down only once.
Measured: not yet on a GPU.

Shapes: q (..., L, DH), k (..., S, DH), v (..., S, DV), mask (..., L, S) -> (..., L, DV), float32;
every L and S, DH and DV up to 128. It keeps two numbers for each query for the way back.
Precision: use_precision("fp16") or "bf16": q, k, v, the weights and the gradient are rounded to 11
or 8 bits, beyond 65504 fp16 is infinite, and below 6e-8, as gradients may be, 0. Not in "fp32".
Launch: blocks of 4 warps, 64 queries or keys; a file for each multiple of 16 that DH and DV fit in.
Source: Dao et al., 2022, arXiv 2205.14135, algorithms 1 and 4; Dao, 2023, arXiv 2307.08691; PTX ISA
8.5, sections 9.7.9.25 and 9.7.14.5.
Teaches: how the layout of mma lets one product feed the next; one barrier for each tile.
"""

import numpy as np

from minigen.kernels import gpu, precision
from minigen.kernels.launch import CudaFile, blocks, empty
from minigen.kernels.scaled_dot_product_attention import k3_shared_kv
from minigen.kernels.scaled_dot_product_attention.cuda_shapes import Work

OWN, THREADS = 64, 128  # as in the .cu file
NUMBERS = {
    "fp16": {"PAIR": "__half2", "ROUND": "__floats2half2_rn", "MMA": "mg_mma_f16"},
    "bf16": {"PAIR": "__nv_bfloat162", "ROUND": "__floats2bfloat162_rn", "MMA": "mg_mma_bf16"},
}

kernels = CudaFile(__file__)


def supports(q, k, v, *, mask=None, is_causal=False):
    if reason := k3_shared_kv.supports(q, k, v, mask=mask, is_causal=is_causal):
        return reason
    if (chosen := precision.current()) not in NUMBERS:
        return f"it rounds to 16 bits, and the precision is {chosen}"
    if not isinstance(q, np.ndarray) and gpu.capability() < (8, 0):
        return "it needs a GPU of compute capability 8.0 or more"
    return None


def launch(q, k, v, *, mask=None, is_causal=False):
    work = Work(q, k, v, mask, is_causal)
    L, S, DH, DV = work.L, work.S, work.DH, work.DV
    sizes = (L, S, DH, DV, work.scale, *work.look)
    width = max(32, 16 * blocks(max(DH, DV), 16))
    tile = 64 if width <= 64 else 32  # that the sums fit the registers
    how = {**NUMBERS[precision.current()], "WIDTH": width, "TILE": tile}

    def pack(x):
        rows = x.size // x.shape[-1]
        packed = empty((*x.shape[:-1], width // 2), x, "uint32")
        grid = (blocks(packed.size, 256),)
        kernels.launch("pack", grid, (256,), x, packed, rows, x.shape[-1], **how)
        return packed

    def run(kernel, rows, owned, *arrays):
        grid = (work.B * blocks(rows, OWN),)
        shared = (2 * width + 16) * (owned * OWN + 4 * tile)
        kernels.launch(kernel, grid, (THREADS,), *arrays, *sizes, shared=shared, **how)

    inputs = [pack(a) for a in (work.q, work.k, work.v)]
    y, top, share = work.empty(L, DV), work.empty(L), work.empty(L)
    run("attention", L, 1, *inputs, y, top, share)

    def backward(g, needs):
        g, dot = work.as_heads(g), work.empty(L)
        gq, gk, gv = work.empty(L, DH), work.empty(S, DH), work.empty(S, DV)
        packed = pack(g)
        run("grad_of_queries", L, 2, packed, *inputs, g, y, top, share, dot, gq)
        run("grad_of_keys", S, 2, packed, *inputs, top, share, dot, gk, gv)
        return work.gradients(gq, gk, gv)

    return work.result(y), backward

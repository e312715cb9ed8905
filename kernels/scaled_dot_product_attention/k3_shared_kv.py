"""Attention by tiles of keys and values in shared memory.

New since k2: a block brings 32 keys and their values into shared memory, where all its queries use
them. A warp has four queries and each of its lanes a key of the tile: a number of the tile that
was read is used four times. For the sum over keys the lanes change their part: each has every 32nd
channel of the values, and finds the weights of all 32 keys in shared memory. The online softmax
runs by tiles: one look for a new maximum for each 32 keys, not for every key.
Prediction: several times k1. The reads of shared memory are the limit, two for each four products;
with more queries for each warp it would be fewer, with more registers.
Measured: not yet on a GPU.

Shapes: q (..., L, DH), k (..., S, DH), v (..., S, DV), mask (..., L, S) -> (..., L, DV), float32;
every L and S, DH and DV up to 128. It keeps two numbers for each query for the way back.
Launch: blocks of 8 warps, 32 queries or keys, for DH and DV above 64 of 4 warps and 16; a file for
each multiple of 32 that DH and DV fit in; 16 to 52 KB of shared memory.
Source: Dao et al., 2022, arXiv 2205.14135, algorithms 1 and 4; Dao, 2023, arXiv 2307.08691, section
3.2, blocks over queries.
Teaches: what a tile is for when the softmax stands between two products.
"""

from minigen.kernels.launch import CudaFile, blocks
from minigen.kernels.scaled_dot_product_attention import cuda_shapes
from minigen.kernels.scaled_dot_product_attention.cuda_shapes import Work

kernels = CudaFile(__file__)


def supports(q, k, v, *, mask=None, is_causal=False):
    if reason := cuda_shapes.supports(q, k, v, mask=mask, is_causal=is_causal):
        return reason
    width = max(q.shape[-1], v.shape[-1])
    return None if width <= 128 else f"a row of {width} numbers is longer than 128"


def launch(q, k, v, *, mask=None, is_causal=False):
    work = Work(q, k, v, mask, is_causal)
    L, S, DH, DV = work.L, work.S, work.DH, work.DV
    sizes = (L, S, DH, DV, work.scale, *work.look)
    inputs = (work.q, work.k, work.v)
    width = 32 * blocks(max(DH, DV), 32)
    warps = 8 if width <= 64 else 4  # with less shared memory

    def run(kernel, rows, fours, weights, *arrays):
        grid, block = (work.B * blocks(rows, 4 * warps),), (32 * warps,)
        shared = 16 * warps * (fours * width + weights * 32) + 8 * 32 * (width + 1)
        kernels.launch(
            *(kernel, grid, block, *arrays, *sizes), shared=shared, WIDTH=width, WARPS=warps
        )

    y, top, share = work.empty(L, DV), work.empty(L), work.empty(L)
    run("attention", L, 1, 1, *inputs, y, top, share)

    def backward(g, needs):
        g, dot = work.as_heads(g), work.empty(L)
        gq, gk, gv = work.empty(L, DH), work.empty(S, DH), work.empty(S, DV)
        run("grad_of_queries", L, 2, 1, g, *inputs, y, top, share, dot, gq)
        run("grad_of_keys", S, 2, 2, g, *inputs, top, share, dot, gk, gv)
        return work.gradients(gq, gk, gv)

    return work.result(y), backward

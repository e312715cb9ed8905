"""Attention in one kernel without a matrix of scores, a thread for each query.

New since k1: the softmax is online. A thread meets one key after the other and carries the mean of
the values so far, the maximum and the sum; where a score is a new maximum, they are scaled down.
The way back computes the scores again from the maximum and 1 / the sum, which is all that is kept;
it has a kernel for the queries and one for the keys, so that nobody adds to another's sums.
Prediction: slower than k1, though it moves far fewer bytes. Only B L threads work, each on
S (DH + DV) products one after the other, and no two of them share what they fetch but through a
cache. It is the naive flash attention: what makes it fast are the tiles of k3.
Measured: not yet on a GPU. In llm.c such a kernel took three times as long as the plain one.

Shapes: q (..., L, DH), k (..., S, DH), v (..., S, DV), mask (..., L, S) -> (..., L, DV), float32;
every L and S, DH + DV <= 192. It keeps two numbers for each query for the way back.
Launch: blocks of 32 queries, on the way back also of 32 keys; 256 (DH + DV) bytes of shared memory.
Source: Milakov and Gimelshein, 2018, arXiv 1805.02867, algorithm 3; Dao et al., 2022, arXiv
2205.14135, appendix B.2, the gradient; Karpathy, llm.c, dev/cuda/attention_forward.cu, kernel 2.
Teaches: the online softmax; and that fewer bytes alone are no speed.
"""

from minigen.kernels.launch import CudaFile, blocks
from minigen.kernels.scaled_dot_product_attention import cuda_shapes
from minigen.kernels.scaled_dot_product_attention.cuda_shapes import Work

THREADS = 32  # as in the .cu file
MOST = 48 << 10  # bytes of shared memory that every GPU gives without being asked

kernels = CudaFile(__file__)


def supports(q, k, v, *, mask=None, is_causal=False):
    if reason := cuda_shapes.supports(q, k, v, mask=mask, is_causal=is_causal):
        return reason
    width, most = q.shape[-1] + v.shape[-1], MOST // (8 * THREADS)
    return None if width <= most else f"DH + DV = {width} is more than {most}"


def launch(q, k, v, *, mask=None, is_causal=False):
    work = Work(q, k, v, mask, is_causal)
    B, L, S, DH, DV = work.B, work.L, work.S, work.DH, work.DV
    sizes = (B, L, S, DH, DV, work.scale, *work.look)
    inputs = (work.q, work.k, work.v)

    def run(kernel, rows, width, *arrays):
        kernels.launch(
            *(kernel, (blocks(B * rows, THREADS),), (THREADS,), *arrays, *sizes),
            shared=4 * THREADS * width,
        )

    y, top, share = work.empty(L, DV), work.empty(L), work.empty(L)
    run("attention", L, DH + DV, *inputs, y, top, share)

    def backward(g, needs):
        g, dot = work.as_heads(g), work.empty(L)
        gq, gk, gv = work.empty(L, DH), work.empty(S, DH), work.empty(S, DV)
        run("grad_of_queries", L, 2 * DH + DV, g, *inputs, y, top, share, dot, gq)
        run("grad_of_keys", S, 2 * (DH + DV), g, *inputs, top, share, dot, gk, gv)
        return work.gradients(gq, gk, gv)

    return work.result(y), backward

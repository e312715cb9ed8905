"""Attention in three kernels: scores, softmax, product.

New: nothing yet; the formula as it stands, and its gradient by the rule of each of the three.
Prediction: memory is the limit. The L x S scores of every head are written, read three times and
written twice by the softmax, and read by the product: 7 L S numbers where q, k, v and y have
(L + S) (DH + DV). And no number that was fetched is used by two threads but through a cache.
Measured: not yet on a GPU.

Shapes: q (..., L, DH), k (..., S, DH), v (..., S, DV), mask (..., L, S) -> (..., L, DV), float32,
every size. It keeps p (..., L, S) for the way back.
Launch: a thread for each number of the result, or row of the softmax; blocks of 128.
Source: Vaswani et al., 2017, arXiv 1706.03762, eq. 1.
Teaches: why a matrix of scores is what attention must not write.
"""

from minigen.kernels.launch import CudaFile, blocks
from minigen.kernels.scaled_dot_product_attention.cuda_shapes import Work, supports

__all__ = ["launch", "supports"]

kernels = CudaFile(__file__)


def launch(q, k, v, *, mask=None, is_causal=False):
    work = Work(q, k, v, mask, is_causal)
    B, L, S, DH, DV = work.B, work.L, work.S, work.DH, work.DV
    everything = (None, 0, 0, 0)

    def run(kernel, threads, *arguments):
        kernels.launch(kernel, (blocks(threads, 128),), (128,), *arguments)

    p, y = work.empty(L, S), work.empty(L, DV)
    run("scores", p.size, work.q, work.k, p, B, L, S, DH, work.scale, *work.look)
    run("softmax", B * L, p, B * L, S)
    run("product", y.size, p, work.v, y, B, L, S, DV)

    def backward(g, needs):
        g, gs = work.as_heads(g), work.empty(L, S)
        run("scores", gs.size, g, work.v, gs, B, L, S, DV, 1, *everything)
        run("softmax_grad", B * L, p, gs, B * L, S, work.scale)
        gq, gk, gv = work.empty(L, DH), work.empty(S, DH), work.empty(S, DV)
        run("product", gq.size, gs, work.k, gq, B, L, S, DH)
        run("product_over_queries", gk.size, gs, work.q, gk, B, L, S, DH)
        run("product_over_queries", gv.size, p, g, gv, B, L, S, DV)
        return work.gradients(gq, gk, gv)

    return work.result(y), backward

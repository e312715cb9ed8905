"""Gradient clipping."""

import math
from collections.abc import Iterable

from minigen.autograd import Tensor
from minigen.backend import array_module, select


def clip_grad_norm(parameters: Iterable[Tensor], max_norm: float) -> float:
    """Shorten all gradients by one factor to a joint length <= max_norm; returns that before.

    norm = sqrt(sum over parameters of |g|^2). Where it is not finite the gradients stay as they
    are, for the caller to see.
    Source: Pascanu, Mikolov and Bengio, 2013, algorithm 1, arXiv 1211.5063.
    """
    gradients = [(p, p.grad.data) for p in parameters if p.grad is not None]
    gs = [g for _, g in gradients]
    kernel = select("clip_grad_norm", (gs,), {"max_norm": max_norm})
    if kernel is not None:
        (norm, shortened), _ = kernel.launch(gs, max_norm=max_norm)
        if shortened is not gs:
            for (p, _), g in zip(gradients, shortened):
                p.grad = Tensor(g)
        return norm
    norm = math.sqrt(sum(float(array_module(g).vdot(g, g)) for _, g in gradients))
    if math.isfinite(norm) and norm > max_norm:
        for p, g in gradients:  # a new array: two gradients may share one
            p.grad = Tensor(g * (max_norm / norm))
    return norm

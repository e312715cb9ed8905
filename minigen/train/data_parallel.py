"""The gradient of a batch, each core working on its part of it.

    loss = sum_i (N_i / N) loss_i,   gradient = sum_i (N_i / N) gradient_i,   part i has N_i of N

The parts read the same weights; each part's graph and gradients are its own.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from minigen.autograd import Tensor, leaf_gradients
from minigen.nn import Dropout, Module
from minigen.parallel import parallel_map, size_of, split


def check_parallel(model: Module) -> None:
    """Raises: ValueError for a model that changes while it computes: threads would clash."""
    if any(isinstance(module, Dropout) and module.p > 0 for module in model.modules()):
        raise ValueError("train: a model with Dropout draws from one generator; use workers=1")
    if next(iter(model.named_buffers()), None) is not None:
        raise ValueError("train: a model with running statistics changes them; use workers=1")


def parallel_backward(
    loss: Callable[..., Any], model: Module, batch: Any, rng: np.random.Generator, workers: int
) -> tuple[float, dict[str, float]]:
    """Add the gradients of the mean loss to `.grad`; returns the loss and its other numbers.

    Each part draws from a generator of its own, seeded by `rng`: the result depends on the number
    of workers, and on nothing else.
    """
    parts = split(batch, workers)
    rngs = [np.random.default_rng(seed) for seed in rng.integers(2**63, size=len(parts))]
    shares = np.array([size_of(part) for part in parts]) / size_of(batch)

    def work(part: Any, rng: np.random.Generator, share: float) -> tuple[dict[str, float], Any]:
        result = loss(model, part, rng)
        value, extra = result if isinstance(result, tuple) else (result, {})
        numbers = {"": value.item()} | {name: float(x) for name, x in extra.items()}
        return {name: share * x for name, x in numbers.items()}, leaf_gradients(value * share)

    results = parallel_map(work, parts, rngs, shares)
    for _, gradients in results:
        for leaf, g in gradients:
            leaf.grad = Tensor(g.data if leaf.grad is None else leaf.grad.data + g.data)
    numbers = {name: sum(own[name] for own, _ in results) for name in results[0][0]}
    return numbers.pop(""), numbers

"""A batch on several cores: one thread for each part of it, one BLAS thread inside each.

NumPy lets go of the interpreter's lock inside its loops and products, so threads that each work
through a part of the batch use all cores, also for what BLAS does not do: elementwise ops, sums,
copies.
"""

from collections.abc import Callable
from contextlib import nullcontext
from itertools import pairwise
from typing import Any

from minigen.autograd import Tensor
from minigen.backend import Array, array_module, in_use, move, recorded
from minigen.kernels.threads import cores, one_blas_thread, parallel_map, small_work, use_threads

__all__ = [
    "cores",
    "in_parts",
    "one_blas_thread",
    "parallel_map",
    "size_of",
    "split",
    "use_threads",
]


def split(batch: Any, parts: int) -> list[Any]:
    """A batch as up to `parts` batches of nearly equal size, in order; a tuple member by member.

    >>> split(([1, 2, 3], "abc"), 2)
    [([1, 2], 'ab'), ([3], 'c')]
    """
    if isinstance(batch, tuple):
        return list(zip(*(split(member, parts) for member in batch)))
    size: int = len(batch)
    parts = max(1, min(parts, size))
    edges = [-(-size * i // parts) for i in range(parts + 1)]
    return [batch[first:last] for first, last in pairwise(edges)]


def size_of(batch: Any) -> int:
    """Pictures in a batch: the length of its first member where it is a tuple."""
    return len(batch[0] if isinstance(batch, tuple) else batch)


def in_parts(model: Callable[..., Tensor], size: int = 32, least: int = 8) -> Callable[..., Tensor]:
    """The same model, its batch worked through in parts of up to `size` pictures, on all cores.

    Up to `least` pictures are one part in one thread, and BLAS has its own: for so few, two of ours
    would wait for each other, and for the interpreter's lock, longer than they compute. The parts
    depend on the batch alone, not on the machine.

    On a GPU, which is where xt lies or what `use_device` says, the batch is one part, and its
    launches, hundreds of them, are recorded at the first call with such shapes and from then on
    started as one. The result lies where xt does.
    """
    on_gpu: Callable[..., Array] | None = None

    def whole(xt: Array, t: Array, **conditions: Any) -> Array:
        return model(Tensor(xt), t, **conditions).data

    def run(xt: Tensor, t: Any, **conditions: Any) -> Tensor:
        nonlocal on_gpu
        if "gpu" in (xt.device, in_use.get()):
            on_gpu = on_gpu or recorded(whole)
            there = {name: move(c, "gpu") for name, c in conditions.items()}
            y = on_gpu(move(xt.data, "gpu"), move(t, "gpu"), **there)
            return Tensor(move(y, xt.device))
        names = list(conditions)
        count = 1 if len(xt) <= least else max(2, -(-len(xt) // size))

        def part(xt: Any, t: Any, *values: Any) -> Any:
            return model(Tensor(xt), t, **dict(zip(names, values))).data

        batch = (xt.data, t, *conditions.values())
        with small_work() if count == 1 else nullcontext():
            ys = parallel_map(part, *zip(*split(batch, count)))
        return Tensor(array_module(ys[0]).concatenate(ys))

    return run

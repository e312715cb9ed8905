"""Work on several cores at once: one thread for each part of a batch, one BLAS thread inside each.

NumPy lets go of the interpreter's lock inside its loops and products, so threads that each work
through a part of the batch use all cores, also for what BLAS does not do: elementwise ops, sums,
copies. Two layers of threads would fight for the cores, so BLAS is held to one thread meanwhile.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from contextvars import copy_context
from functools import cache
from itertools import pairwise
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from minigen.autograd import Tensor
from minigen.backend import array_module

T = TypeVar("T")


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def one_blas_thread() -> AbstractContextManager[Any]:
    """Inside the block, BLAS works in the thread that calls it."""
    return threadpool_limits(limits=1, user_api="blas")


def parallel_map(function: Callable[..., T], *arguments: Iterable[Any]) -> list[T]:
    """[function(*each) for each in zip(*arguments)], on all cores, in this thread's context.

    To be called inside `one_blas_thread()`. The context is no_grad, the choice of kernels, trace.

    Raises: the first error of the threads, when all of them are done.
    """
    calls = list(zip(*arguments, strict=True))
    futures = [_threads().submit(copy_context().run, function, *each) for each in calls]
    errors = [error for future in futures if (error := future.exception())]
    if errors:
        raise errors[0]
    return [future.result() for future in futures]


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cores(), thread_name_prefix="minigen")


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


def in_parts(model: Callable[..., Tensor], size: int = 8) -> Callable[..., Tensor]:
    """The same model, its batch worked through in parts of up to `size` pictures, on all cores.

    The parts depend on the batch alone, not on the machine: a picture is the same on two cores as
    on sixteen.
    """

    def run(xt: Tensor, t: Any, **conditions: Any) -> Tensor:
        names = list(conditions)
        count = max(2, -(-len(xt) // size))  # a single picture and its unguided twin: two parts

        def part(xt: Any, t: Any, *values: Any) -> Any:
            return model(Tensor(xt), t, **dict(zip(names, values))).data

        batch = (xt.data, t, *conditions.values())
        with one_blas_thread():
            ys = parallel_map(part, *zip(*split(batch, count)))
        return Tensor(array_module(ys[0]).concatenate(ys))

    return run

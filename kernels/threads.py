"""Threads under kernels and batches: a piece of the work for each core, one BLAS thread in each.

NumPy and compiled kernels let go of the interpreter's lock, so Python threads keep all cores busy.
Two layers of threads would fight for the cores: BLAS is held to one thread meanwhile, and work that
is spread from inside such a thread runs right there.

What is spread over how many threads depends on the sizes and on `width()` alone, so the same number
of threads gives the same bits.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar, copy_context
from functools import cache
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

T = TypeVar("T")

_width: ContextVar[int] = ContextVar("width", default=0)  # 0: as many as there are cores
_free_blas: ContextVar[bool] = ContextVar("free_blas", default=False)


@cache
def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def width() -> int:
    """How many threads work may be spread over here: all cores, or 1 where they are shared out."""
    return _width.get() or cores()


@contextmanager
def use_threads(n: int) -> Iterator[None]:
    """Inside the block, work is spread over `n` threads; 0 stands for one on each core."""
    token = _width.set(n)
    try:
        yield
    finally:
        _width.reset(token)


@contextmanager
def small_work() -> Iterator[None]:
    """Inside the block, work stays in this thread, and BLAS keeps its own threads.

    For so little work that our threads would wait longer for each other than they compute; those of
    BLAS wait awake.
    """
    token = _free_blas.set(True)
    try:
        with use_threads(1):
            yield
    finally:
        _free_blas.reset(token)


def parallel_map(function: Callable[..., T], *arguments: Iterable[Any]) -> list[T]:
    """[function(*each) for each in zip(*arguments)], on all cores, in this thread's context.

    The context is no_grad, the choice of kernels, trace.

    Raises: the first error in the order of the arguments, when all threads are done.
    """
    calls = list(zip(*arguments, strict=True))
    threads = min(width(), len(calls))
    with one_blas_thread():
        if threads <= 1:
            return [function(*each) for each in calls]
        results: list[Any] = [None] * len(calls)
        errors: list[BaseException | None] = [None] * len(calls)
        todo = deque(range(len(calls)))

        def work() -> None:
            _width.set(1)
            while todo:
                try:
                    i = todo.popleft()
                except IndexError:  # another thread was faster
                    return
                try:
                    results[i] = function(*calls[i])
                except BaseException as error:
                    errors[i] = error
                    if not isinstance(error, Exception):  # Ctrl-C: no more
                        todo.clear()

        futures = [_threads().submit(copy_context().run, work) for _ in range(threads - 1)]
        copy_context().run(work)
        for future in futures:
            future.result()
    for error in errors:
        if error is not None:
            raise error
    return results


def spread(work: Callable[[int, int], Any], n: int, grain: int = 1) -> None:
    """work(first, last) for runs of range(n), one on each thread, none shorter than `grain`.

    Raises: the first error of the threads, when all are done.
    """
    parts = max(1, min(width(), n // grain))
    edges = [n * i // parts for i in range(parts + 1)]
    parallel_map(work, edges[:-1], edges[1:])


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, cores() - 1), thread_name_prefix="minigen")


# ------------------------------------------------------------------------------------------- BLAS


@cache
def _blas() -> list[Any]:
    """The BLAS libraries of this process; to set their threads takes a microsecond."""
    found = ThreadpoolController().lib_controllers
    return [library for library in found if library.user_api == "blas"]


class _OneBlasThread:
    """The setting belongs to the process: the first who enters changes it, the last restores it."""

    def __init__(self) -> None:
        self.lock, self.inside, self.before = threading.Lock(), 0, [0]

    def __enter__(self) -> None:
        with self.lock:
            if self.inside == 0:
                self.before = [library.get_num_threads() for library in _blas()]
                for library in _blas():
                    library.set_num_threads(1)
            self.inside += 1

    def __exit__(self, *error: Any) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                for library, n in zip(_blas(), self.before):
                    library.set_num_threads(n)


_one_blas_thread = _OneBlasThread()


def one_blas_thread() -> AbstractContextManager[Any]:
    """Inside the block, BLAS works in the thread that calls it; not so inside `small_work`."""
    return nullcontext() if _free_blas.get() else _one_blas_thread

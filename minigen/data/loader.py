"""One loader for all sources: batches that are prepared in a thread and can be resumed exactly.

A source is either arrays, of which every epoch sees each example once in a new random order, or a
function that draws a batch from a generator. With every batch travels the state that comes after
it, so `state()` speaks of the batches that were handed out, not of those that wait in the queue.
"""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

_PATIENCE = 0.05  # seconds that a thread waits for room before it looks whether to stop

Batch = tuple[Any, ...]
Source = Sequence[Any] | Callable[[np.random.Generator], Batch]


class _Producer(Protocol):
    def batch(self) -> Batch: ...
    def state(self) -> dict[str, Any]: ...
    def load_state(self, state: dict[str, Any]) -> None: ...


class Loader:
    """An endless iterator over batches.

    >>> loader = Loader([np.arange(4), list("abcd")], batch_size=2, rng=0)
    >>> numbers, letters = next(loader)
    >>> [int(n) for n in numbers], letters
    ([2, 0], ['c', 'a'])
    >>> loader.close()

    `source` is a list or tuple of arrays (or lists) of one length N, or a function `rng -> batch`.
    Batches are tuples. Arrays need a `batch_size`; what is left of an epoch after its last full
    batch waits for the next shuffle. `rng` is a seed, or a generator, of which one number is drawn
    as the seed. `prefetch` batches are prepared ahead; with 0 there is no thread, and the batches
    are the same.

    An error in the source is raised by `next`. Close a loader with `close()` or use it in `with`;
    one that is forgotten closes itself.
    """

    def __init__(
        self,
        source: Source,
        batch_size: int | None = None,
        *,
        rng: np.random.Generator | int,
        prefetch: int = 2,
    ) -> None:
        if prefetch < 0:
            raise ValueError(f"Loader: got prefetch = {prefetch}, expected 0 or more")
        # A generator of its own: the thread must not share one with the caller.
        seed = rng if isinstance(rng, int | np.integer) else rng.integers(2**63)
        own = np.random.default_rng(int(seed))
        self._producer: _Producer
        if callable(source):
            if batch_size is not None:
                raise ValueError("Loader: got a batch_size, but the function makes the batches")
            self._producer = _Draws(source, own)
        else:
            self._producer = _Epochs(source, batch_size, own)
        self._prefetch = prefetch
        self._state = self._producer.state()
        self._thread: _Thread | None = None

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        if self._prefetch == 0:
            batch = self._producer.batch()
            self._state = self._producer.state()
            return batch
        if self._thread is None:
            self._thread = _Thread(self._producer, self._prefetch)
            self._stop = weakref.finalize(self, self._thread.stop)  # at exit, too
        batch, state, error = self._thread.get()
        if error is not None:
            self.close()
            raise error
        self._state = state
        return batch

    def state(self) -> dict[str, Any]:
        """The position behind the last batch handed out; JSON can store it."""
        return self._state

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken.

        Raises: ValueError for a state of another kind of source, size or batch size.
        """
        self.close()
        self._producer.load_state(state)
        self._state = self._producer.state()

    def close(self) -> None:
        """Stop the thread. Iterating again goes on behind the last batch handed out."""
        if self._thread is not None:
            self._stop()
            self._thread = None
            self._producer.load_state(self._state)

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Epochs:
    """Batches of arrays. The state holds the generator as it was before the epoch's shuffle."""

    def __init__(
        self, arrays: Sequence[Any], batch_size: int | None, rng: np.random.Generator
    ) -> None:
        lengths = {len(array) for array in arrays}
        if len(lengths) != 1:
            raise ValueError(f"Loader: got lengths {sorted(lengths)}, expected one for all")
        self.n = lengths.pop()
        if batch_size is None or not 1 <= batch_size <= self.n:
            raise ValueError(
                f"Loader: got batch_size = {batch_size}, expected 1 to {self.n}, the number of "
                "examples"
            )
        self.arrays, self.batch_size, self.rng = tuple(arrays), batch_size, rng
        self._start_epoch(0)

    def _start_epoch(self, epoch: int) -> None:
        self.epoch, self.position = epoch, 0
        self.before = self.rng.bit_generator.state
        self.order = self.rng.permutation(self.n)

    def batch(self) -> Batch:
        if self.position + self.batch_size > self.n:
            self._start_epoch(self.epoch + 1)
        rows = self.order[self.position : self.position + self.batch_size]
        self.position += self.batch_size
        return tuple(_take(array, rows) for array in self.arrays)

    def state(self) -> dict[str, Any]:
        return {
            "source": f"arrays of {self.n} examples in batches of {self.batch_size}",
            "epoch": self.epoch,
            "position": self.position,
            "rng": self.before,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        _check_source(state, self.state())
        self.rng.bit_generator.state = state["rng"]
        self._start_epoch(state["epoch"])
        self.position = state["position"]


class _Draws:
    """Batches that a function draws from the generator, which is all the state there is."""

    def __init__(
        self, draw: Callable[[np.random.Generator], Batch], rng: np.random.Generator
    ) -> None:
        self.draw, self.rng = draw, rng

    def batch(self) -> Batch:
        return tuple(self.draw(self.rng))

    def state(self) -> dict[str, Any]:
        return {"source": "a function", "rng": self.rng.bit_generator.state}

    def load_state(self, state: dict[str, Any]) -> None:
        _check_source(state, self.state())
        self.rng.bit_generator.state = state["rng"]


def _take(array: Any, rows: np.ndarray) -> Any:
    return array[rows] if isinstance(array, np.ndarray) else [array[k] for k in rows.tolist()]


def _check_source(state: dict[str, Any], own: dict[str, Any]) -> None:
    if state.get("source") != own["source"]:
        raise ValueError(
            f"Loader: got the state of {state.get('source')!r}, expected {own['source']!r}"
        )


class _Thread:
    """A thread that fills a queue. It knows no loader, so that a forgotten one can go away."""

    def __init__(self, producer: _Producer, size: int) -> None:
        self._queue: queue.Queue[tuple[Any, Any, BaseException | None]] = queue.Queue(size)
        self._stopped = threading.Event()
        self._thread = threading.Thread(
            target=_fill,
            args=(producer, self._queue, self._stopped),
            name="minigen-loader",
            daemon=True,
        )
        self._thread.start()

    def get(self) -> tuple[Any, Any, BaseException | None]:
        return self._queue.get()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread is not threading.current_thread():  # garbage is collected in any thread
            self._thread.join()


def _fill(producer: _Producer, batches: queue.Queue[Any], stopped: threading.Event) -> None:
    error = None
    while not stopped.is_set() and error is None:
        batch = None
        try:
            batch = producer.batch()
        except BaseException as problem:
            error = problem
        item = (batch, producer.state(), error)
        while not stopped.is_set():
            try:
                batches.put(item, timeout=_PATIENCE)
                break
            except queue.Full:
                continue

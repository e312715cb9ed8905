"""CUDA graphs: hundreds of launches, recorded once, then started as one.

    step = Recorded(predict)
    y = step(x, t, tokens=tokens)      the first time: runs predict to warm up, records it, replays
    y = step(x, t, tokens=tokens)      copies all three to where the recording reads, replays

Where a kernel takes less time than its launch from Python, as in small U-Nets, that is most of the
time. A recording knows addresses and numbers, not names: it reads the same arrays every time, and a
number that Python computed stays what it was. So all arrays are copied in, and one recording serves
every call with such shapes: every painting, whatever its prompts.

What can be recorded is what the GPU does by itself: our kernels and CuPy's elementwise operations.
cuBLAS, copies to and from the host, and a look at a number on the GPU cannot.
"""

import gc
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from minigen.kernels import precision
from minigen.kernels.errors import GraphError
from minigen.kernels.gpu import plain_errors, require

Array = Any  # a cupy.ndarray
KEPT = 4  # recordings of a function
WARM_UP = 2  # runs before the recording: they compile kernels and bring memory into the pool


class Recording:
    """One run of `work`, kept as a graph.

    output   what it returned, an array; each replay writes it anew

    Its memory is a pool of its own, so that nobody else gets what the graph will write to. All that
    it reads lives as long as it does, by `work`.

    Raises: GraphError.
    """

    def __init__(self, work: Callable[[], Array]):
        cupy = require()
        self.work, self.pool = work, cupy.cuda.MemoryPool()
        cupy.cuda.get_current_stream().synchronize()  # what `work` reads is there
        stream = cupy.cuda.Stream(non_blocking=True)
        with cupy.cuda.using_allocator(self.pool.malloc), stream:
            with plain_errors("warming up a recording"):
                for _ in range(WARM_UP):
                    work()
                stream.synchronize()
            gc.collect()  # nothing is to be freed by chance while the stream is recorded
            stream.begin_capture()
            try:
                with _no_copies_from_the_host(cupy):
                    self.output = work()
            except Exception as error:
                with suppress(Exception):  # the recording is void, and the stream must end it
                    stream.end_capture()
                raise GraphError(
                    f"a function cannot be recorded: {type(error).__name__}: {error}"
                ) from error
            self.graph = stream.end_capture()
        self.graph.upload()

    def replay(self) -> Array:
        """Run it once more in the current stream: `output`, which the next replay overwrites."""
        self.graph.launch()
        return self.output


@contextmanager
def _no_copies_from_the_host(cupy: Any) -> Iterator[None]:
    """Inside the block a NumPy array cannot become a CuPy array.

    Such a copy goes through pinned memory, which is given to others afterwards: a replay would read
    what they wrote there.
    """

    def refuse(size: int) -> None:
        raise GraphError(f"{size} bytes are copied from the host, which a replay could not repeat")

    cupy.cuda.set_pinned_memory_allocator(refuse)
    try:
        yield
    finally:
        cupy.cuda.set_pinned_memory_allocator(cupy.get_default_pinned_memory_pool().malloc)


class Recorded:
    """A function of CuPy arrays that is recorded at its first call with such shapes.

    function(*arrays, **named) -> array. All arrays, those with names too, are copied to where the
    recording reads; other values with names are part of what is recorded. So is what was chosen
    when it was: the precision, and `choice()`, which kernels. The `KEPT` recordings that were used
    last are kept, with their memory.
    """

    def __init__(
        self, function: Callable[..., Array], choice: Callable[[], Hashable] = lambda: None
    ):
        self.function, self.choice = function, choice
        self.recordings: dict[Any, tuple[list[Array], Recording]] = {}  # the last used stands last

    def __call__(self, *arrays: Array, **named: Any) -> Array:
        """Raises: GraphError where the function does what cannot be recorded."""
        cupy = require()
        names = [name for name, value in named.items() if isinstance(value, cupy.ndarray)]
        others = {name: value for name, value in named.items() if name not in names}
        given = [*arrays, *(named[name] for name in names)]
        chosen = precision.current(), self.choice()
        key = (tuple((a.shape, a.dtype) for a in given), (*names, *others.items()), chosen)
        if key in self.recordings:
            inputs, recording = self.recordings.pop(key)
        else:
            inputs = [cupy.array(a) for a in given]  # copies of its own
            mine, mine_by_name = inputs[: len(arrays)], dict(zip(names, inputs[len(arrays) :]))
            recording = Recording(lambda: self.function(*mine, **mine_by_name, **others))
        self.recordings[key] = inputs, recording
        while len(self.recordings) > KEPT:
            del self.recordings[next(iter(self.recordings))]
        for to, a in zip(inputs, given):
            to[...] = a
        return recording.replay().copy()

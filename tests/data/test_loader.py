"""The loader: every example once an epoch, the same batches in a thread, and after a resume."""

import gc
import json
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from minigen.data.loader import Loader

ARRAYS = (np.arange(10), [f"caption {k}" for k in range(10)])


def draw(rng):
    return rng.random(3), [int(rng.integers(100))]


def make(kind, prefetch=2, seed=0):
    if kind == "arrays":
        return Loader(ARRAYS, 4, rng=seed, prefetch=prefetch)
    return Loader(draw, rng=seed, prefetch=prefetch)


def take(loader, n):
    return [[list(part) for part in next(loader)] for _ in range(n)]


def loader_threads():
    return [thread for thread in threading.enumerate() if thread.name == "minigen-loader"]


def test_an_epoch_has_every_example_once_with_its_partner():
    with Loader(ARRAYS, 5, rng=1) as loader:
        for _ in range(3):
            (first, second), (third, fourth) = zip(*take(loader, 2), strict=True)
            assert sorted(first + second) == list(range(10))
            assert third + fourth == [f"caption {k}" for k in first + second]


def test_epochs_are_shuffled_anew():
    with Loader(ARRAYS, 10, rng=1) as loader:
        (first, _), (second, _) = take(loader, 2)
    assert first != second
    assert first != sorted(first)


def test_batches_are_tuples_of_the_full_size():
    with make("arrays") as loader:
        for _ in range(7):
            batch = next(loader)
            assert isinstance(batch, tuple)
            assert [len(part) for part in batch] == [4, 4]
            assert isinstance(batch[0], np.ndarray)


@pytest.mark.parametrize("kind", ["arrays", "function"])
@pytest.mark.parametrize("prefetch", [1, 5])
def test_a_thread_changes_nothing(kind, prefetch):
    with make(kind, prefetch) as threaded, make(kind, prefetch=0) as plain:
        assert take(threaded, 9) == take(plain, 9)


@pytest.mark.parametrize("kind", ["arrays", "function"])
def test_a_seed_and_a_generator_fix_the_batches(kind):
    def run(rng):
        with make(kind, seed=rng) as loader:
            return take(loader, 5)

    assert run(3) == run(3) != run(4)
    assert run(np.random.default_rng(3)) == run(np.random.default_rng(3))


@pytest.mark.parametrize("kind", ["arrays", "function"])
@pytest.mark.parametrize("prefetch", [0, 3])
@pytest.mark.parametrize("taken", [0, 1, 2, 5])
def test_a_resumed_loader_goes_on_bit_for_bit(kind, prefetch, taken):
    with make(kind, prefetch) as loader:
        take(loader, taken)
        time.sleep(0.02)  # let the queue fill with batches that are not handed out
        stored = json.dumps(loader.state())
        rest = take(loader, 6)
        loader.load_state(json.loads(stored))
        assert take(loader, 6) == rest
    with make(kind, prefetch, seed=99) as other:
        other.load_state(json.loads(stored))
        assert take(other, 6) == rest


@pytest.mark.parametrize("kind", ["arrays", "function"])
def test_closing_loses_no_batch(kind):
    with make(kind) as loader, make(kind, prefetch=0) as plain:
        for _ in range(3):
            assert take(loader, 2) == take(plain, 2)
            loader.close()


def test_a_state_is_not_changed_by_going_on():
    with make("arrays") as loader:
        take(loader, 1)
        state = loader.state()
        before = json.dumps(state)
        take(loader, 5)
        assert json.dumps(state) == before


@pytest.mark.parametrize("prefetch", [0, 2])
def test_an_error_in_the_source_reaches_the_caller(prefetch):
    def failing(rng):
        if rng.random() < 0.3:
            raise RuntimeError("the source broke")
        return ([1],)

    with Loader(failing, rng=0, prefetch=prefetch) as loader:
        with pytest.raises(RuntimeError, match="the source broke") as info:
            take(loader, 100)
        assert "failing" in [entry.name for entry in info.traceback]
    assert not loader_threads()


def test_no_thread_is_left_when_a_loader_is_closed_or_forgotten():
    closed, forgotten = make("arrays"), make("function")
    next(closed), next(forgotten)
    assert len(loader_threads()) == 2
    closed.close()
    assert len(loader_threads()) == 1
    del forgotten
    gc.collect()
    assert not loader_threads()


def test_a_loader_in_a_reference_cycle_is_collected():
    loader = make("arrays")
    next(loader)
    holder = [loader]
    loader.source = holder  # the cycle
    del loader, holder
    gc.collect()
    assert not loader_threads()


def test_a_program_that_forgets_to_close_ends():
    program = (
        "import numpy as np; from minigen.data.loader import Loader\n"
        "loader = Loader([np.arange(9)], 2, rng=0); next(loader); print('done')"
    )
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert (done.stdout, done.stderr) == ("done\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": ARRAYS}, "got batch_size = None, expected 1 to 10"),
        ({"source": ARRAYS, "batch_size": 11}, "got batch_size = 11, expected 1 to 10"),
        ({"source": (ARRAYS[0], [1]), "batch_size": 1}, "expected one for all"),
        ({"source": (), "batch_size": 1}, "expected one for all"),
        ({"source": draw, "batch_size": 4}, "the function makes the batches"),
        ({"source": draw, "prefetch": -1}, "prefetch = -1, expected 0 or more"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        Loader(rng=0, **arguments)


def test_the_state_of_another_source_is_refused():
    for state in (make("function").state(), Loader(ARRAYS, 5, rng=0).state(), {}):
        with pytest.raises(ValueError, match="Loader: got the state of"):
            make("arrays").load_state(state)

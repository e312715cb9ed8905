"""Work in a process of its own: what crashes there, or never ends, ends there."""

import contextlib
import ctypes
import faulthandler
import os
import signal
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, Pipe
from typing import Any, NamedTuple


class Step(NamedTuple):
    """What the work is at now, and after how many seconds that is too long."""

    what: Any
    seconds: float


class EndedError(RuntimeError):
    """The process ended at a step, of a signal, or was stopped after its seconds (signal 0)."""

    def __init__(self, step: Step, number: int):
        super().__init__(f"{step.what}: signal {number}")
        self.step, self.signal = step, number


def in_a_child(work: Callable[[], Iterator[Any]]) -> Any:
    """The last thing that `work` yields; before it come its Steps.

    Raises: EndedError, or what `work` raises.
    """
    if not hasattr(os, "fork"):  # Windows: here, without a limit
        *_, last = work()
        return last
    ours, theirs = Pipe(duplex=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other threads of a notebook do not come along
        child = os.fork()
    if child == 0:
        _in_the_child(work, theirs)
    with contextlib.suppress(OSError):
        os.setpgid(child, child)  # both sides do it, whoever is first
    theirs.close()
    step = Step("the start", 60)
    try:
        while ours.poll(step.seconds):
            kind, found = ours.recv()
            if kind == "raised":
                raise found
            if kind == "last":
                return found
            step = found
        raise EndedError(step, 0)
    except EOFError:
        _, status = os.waitpid(child, 0)
        child = 0
        raise EndedError(step, os.waitstatus_to_exitcode(status) * -1) from None
    finally:
        ours.close()
        if child:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)  # with the programs that it started
            os.waitpid(child, 0)


def _in_the_child(work: Callable[[], Iterator[Any]], theirs: Connection) -> None:
    code = 1
    try:
        os.setpgid(0, 0)
        _end_with_the_parent()
        faulthandler.disable()  # a crash is told in our words
        found = None
        for found in work():
            if isinstance(found, Step):
                theirs.send(("step", found))
        theirs.send(("last", found))
        code = 0
    except BaseException as error:
        with contextlib.suppress(Exception):
            theirs.send(("raised", _plain(error)))
    finally:
        os._exit(code)


def _end_with_the_parent() -> None:
    """Else an endless loop would go on when the parent was killed. Linux can."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, int(signal.SIGKILL))  # PR_SET_PDEATHSIG


def _plain(error: BaseException) -> BaseException:
    """The error itself where it can be sent, else one with its words."""
    import pickle

    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")

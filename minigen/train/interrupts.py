"""Ctrl-C while training: finish what must not be torn, then stop."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any


class Interrupts:
    """Inside the block, Ctrl-C is a wish that the loop asks for with `wanted`.

    The first one is only noted: the loop stops after the step it is in. A second one raises
    KeyboardInterrupt at once, except inside `held()`, where weights or files are being changed;
    there it waits until the end.
    A process that ignores Ctrl-C (started with nohup or &) goes on ignoring it.
    """

    def __init__(self) -> None:
        self.wanted = False
        self._urgent = False
        self._holding = False
        self._before: Any = None

    def __enter__(self) -> "Interrupts":
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            self._before = signal.signal(signal.SIGINT, self._arrived)
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        # os.write: the signal may have come in the middle of a print, which cannot be entered twice
        if not self.wanted:
            self.wanted = True
            os.write(2, b"\nstopping after this step; Ctrl-C again to stop at once\n")
        elif self._holding:
            self._urgent = True
        else:
            raise KeyboardInterrupt

    @contextmanager
    def held(self) -> Iterator[None]:
        """No KeyboardInterrupt inside the block; one that came is raised at its end."""
        self._holding = True
        try:
            yield
        finally:
            self._holding = False
        if self._urgent:
            self._urgent = False
            raise KeyboardInterrupt

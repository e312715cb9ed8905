"""Ctrl-C and `kill` while training: finish what must not be torn, then stop."""

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
    A process that ignores Ctrl-C (started with nohup or &) goes on ignoring it; `kill PID`, which a
    machine that shuts down sends too, is the same wish everywhere.
    """

    def __init__(self) -> None:
        self.wanted = False
        self._urgent = False
        self._holding = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._arrived)
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        for handled, before in self._before.items():
            signal.signal(handled, before)

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

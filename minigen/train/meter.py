"""The line in the terminal: a bar where there is a terminal, else a line of text now and then."""

import sys
import time
from types import TracebackType
from typing import Any

SMOOTHING = 0.9  # of the images per second, from step to step
PAUSE = 30.0  # seconds between lines of text


class Meter:
    """Shows step, loss, images per second and time left; to be used as a `with` block."""

    def __init__(self) -> None:
        self.rate = 0.0  # images per second
        self._spoke = time.monotonic()

    def __enter__(self) -> "Meter":
        from tqdm import tqdm  # takes long to import

        self._bar: Any = tqdm(
            total=1.0,
            bar_format="{percentage:3.0f}% |{bar}| {desc}",
            disable=None,  # where stderr is no terminal
            dynamic_ncols=True,
            mininterval=0.2,
            miniters=0,
            leave=False,
        )
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._bar.close()

    def count(self, images: int, seconds: float) -> None:
        rate = images / max(seconds, 1e-9)
        self.rate = SMOOTHING * self.rate + (1 - SMOOTHING) * rate if self.rate else rate

    def show(self, step: int, loss: float, done: float, seconds_left: float) -> None:
        """done: the part of the whole, 0 to 1."""
        rate = f"{self.rate:,.0f}" if self.rate >= 10 else f"{self.rate:.1f}"
        text = f"step {step}  loss {loss:.4g}  {rate} images/s  {clock(seconds_left)} left"
        if not self._bar.disable:
            self._bar.set_description_str(text, refresh=False)
            self._bar.update(min(done, 1.0) - self._bar.n)
        elif time.monotonic() - self._spoke >= PAUSE:
            self._spoke = time.monotonic()
            print(f"{done:4.0%}  {text}", file=sys.stderr, flush=True)


def clock(seconds: float) -> str:
    """Minutes and seconds, as on a clock.

    >>> clock(75), clock(3675)
    ('1:15', '1:01:15')
    """
    minutes, s = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{s:02}" if hours else f"{minutes}:{s:02}"

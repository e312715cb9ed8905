"""The line in the terminal: a bar where there is a terminal, else a line of text now and then."""

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

SMOOTHING = 0.9  # of the images per second, from step to step
PAUSE = 30.0  # seconds between lines of text


class Meter:
    """Shows step, loss, images per second and time left; to be used as a `with` block."""

    def __init__(self) -> None:
        self.rate = 0.0  # images per second
        self._spoke = time.monotonic()
        self._losses: dict[str, float] = {}  # the latest of each turn

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

    def show(
        self, step: int, numbers: Mapping[str, float], done: float, seconds_left: float
    ) -> None:
        """numbers: of the step, of which losses are shown; done: the part of the whole, 0 to 1."""
        rate = f"{self.rate:,.0f}" if self.rate >= 10 else f"{self.rate:.1f}"
        self._losses |= {name: x for name, x in numbers.items() if is_loss(name)}
        losses = "  ".join(f"{name.replace('_', ' ')} {x:.4g}" for name, x in self._losses.items())
        text = f"step {step}  {losses}  {rate} images/s  {clock(seconds_left)} left"
        if not self._bar.disable:
            self._bar.set_description_str(text, refresh=False)
            self._bar.update(min(done, 1.0) - self._bar.n)
        elif time.monotonic() - self._spoke >= PAUSE:
            self._spoke = time.monotonic()
            print(f"{done:4.0%}  {text}", file=sys.stderr, flush=True)


def is_loss(name: str) -> bool:
    """Whether a column of the log is a loss: that of the run, or of one of its turns."""
    return name == "loss" or name.endswith("_loss")


def clock(seconds: float) -> str:
    """Minutes and seconds, as on a clock.

    >>> clock(75), clock(3675)
    ('1:15', '1:01:15')
    """
    minutes, s = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{s:02}" if hours else f"{minutes}:{s:02}"

"""What a recipe's `evaluate` may give back where a dictionary of numbers does not say enough.

A number alone does not tell how sure it is, what the pictures look like, or that something went
wrong. `minigen eval` prints the numbers with their spreads, saves the pictures into the run folder
and prints the remarks last, where one looks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Measured:
    """A number, its standard error, and what it is of.

    >>> print(Measured(86.412, 0.131, "nats", "10000 test pictures"))
    86.41 +- 0.13 nats (10000 test pictures)
    """

    value: float
    error: float | None = None  # standard error of the value; None: not known
    unit: str = ""
    of: str = ""  # how many of what, and which set

    def __str__(self) -> str:
        if self.error is None:
            number = f"{self.value:.4g}"
        else:
            known = 0 < self.error < np.inf
            digits = max(0, 1 - int(np.floor(np.log10(self.error)))) if known else 3
            number = f"{self.value:.{digits}f} +- {self.error:.{digits}f}"
        return " ".join(filter(None, [number, self.unit, self.of and f"({self.of})"]))

    def __float__(self) -> float:
        return float(self.value)


def mean_of(values: np.ndarray, unit: str = "", of: str = "") -> Measured:
    """The mean of independent values with its standard error, std / sqrt(N).

    Raises: ValueError where there are no values.
    """
    values = np.asarray(values, np.float64).reshape(-1)
    if not len(values):
        raise ValueError("mean_of: there are no values")
    error = float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else None
    return Measured(float(values.mean()), error, unit, of)


@dataclass(frozen=True)
class Report:
    """Numbers, pictures and remarks on one model."""

    numbers: Mapping[str, "float | Measured"]
    pictures: Mapping[str, np.ndarray] = field(default_factory=dict)  # name -> uint8 (H, W, 3)
    remarks: tuple[str, ...] = ()  # what looks wrong, in words, and what to do about it

    def __or__(self, other: "Report") -> "Report":
        """What both say, this one first.

        >>> (Report({"a": 1.0}, remarks=("x",)) | Report({"b": 2.0}, remarks=("y",))).remarks
        ('x', 'y')
        """
        return Report(
            {**self.numbers, **other.numbers},
            {**self.pictures, **other.pictures},
            self.remarks + other.remarks,
        )

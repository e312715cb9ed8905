"""What an op is to a check: interface, sizes, exact result, and known mistakes.

A mistake is a formula that is easily computed in the place of the right one. Where a wrong result
equals one of them, that is the cause.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

Shape = tuple[int, ...]
Formula = Callable[..., Any]


class Case(NamedTuple):
    """Arrays of these shapes, and the settings."""

    shapes: tuple[Shape, ...]
    settings: dict[str, Any] = {}  # noqa: RUF012, nobody changes it
    is_view: bool = False  # arrays with gaps
    scale: float = 1

    def arrays(self) -> list[np.ndarray]:
        """The same ones each time: normal, float32."""
        rng = np.random.default_rng(sum(map(sum, self.shapes)))
        return [self._array(rng, shape) for shape in self.shapes]

    def _array(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        if not self.is_view:
            return np.float32(self.scale) * rng.standard_normal(shape, np.float32)
        return rng.standard_normal((*shape[:-1], 2 * shape[-1]), np.float32)[..., ::2]


class Mistake(NamedTuple):
    """cause: the class of it; formula: what it computes; text: in words."""

    cause: str
    formula: Formula
    text: str


class Op(NamedTuple):
    """arrays and settings are those of a student's function, `parameters` those of a .cu kernel."""

    name: str
    arrays: tuple[str, ...]
    shapes: str
    formula: Formula  # the right one
    parameters: str
    sizes: Callable[..., dict[str, int]]  # (*shapes, **settings) -> the axes by name
    cases: Callable[[int], Iterator[Case]]  # for a tile of this size
    terms: Callable[..., int]  # of the longest sum, by the axes
    mistakes: Sequence[Mistake]
    tiled: str  # the axes that are cut into tiles
    most: int  # the largest tile that is worth its sizes

    @property
    def signature(self) -> str:
        settings = next(self.cases(16)).settings
        return f"{self.name}({', '.join([*self.arrays, *(['*', *settings] if settings else [])])})"

    def sorted_cases(self, tile: int) -> list[Case]:
        """Small ones first; the last one has two tiles along its axes, the second not full."""
        return sorted(self.cases(min(tile, self.most)), key=self.work)

    def work(self, case: Case) -> int:
        return math.prod(self.axes(case).values())

    def axes(self, case: Case) -> dict[str, int]:
        return self.sizes(*case.shapes, **case.settings)

    def describe(self, case: Case) -> str:
        parts = [f"{name} {shape}" for name, shape in zip(self.arrays, case.shapes)]
        parts += [f"{name} {value}" for name, value in case.settings.items()]
        parts += ["arrays with gaps (x[..., ::2])"] if case.is_view else []
        return ", ".join(parts + ([f"numbers times {case.scale:g}"] if case.scale != 1 else []))

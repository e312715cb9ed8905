"""L-BFGS: Newton's method, the curvature remembered from the last few steps."""

import math
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from minigen.autograd import Tensor
from minigen.backend import Array, array_module
from minigen.optim.optimizer import Parameters, named

ARMIJO, CURVATURE = 1e-4, 0.9  # c1 and c2 of the Wolfe conditions


class Point(NamedTuple):
    """A place on the line that is searched: x + step d."""

    step: float
    value: float
    slope: float  # g . d
    gradient: Array


class LBFGS:
    """Steps along -H g, H the inverse curvature that the last `history` steps have shown.

        s = x' - x,  y = g' - g,  rho = 1 / (s . y)                              for each step
        H' = (1 - rho s y^T) H (1 - rho y s^T) + rho s s^T                       (7.16), so H' y = s
        H before the oldest step: (s . y) / (y . y) of the newest                (7.20)

    H is never formed: two loops over the history multiply it by g (algorithm 7.4). How far to go
    along the direction d is searched until the strong Wolfe conditions hold (algorithms 3.5, 3.6):

        f(x + a d) <= f(x) + c1 a g . d          far enough down
        |g(x + a d) . d| <= c2 |g . d|           and flat enough, which makes s . y > 0

    It is for a smooth function without noise, such as the loss of one picture, and steps by a
    `closure`, as it asks for more than one value. Its numbers are kept in float64.

    history          steps to remember
    max_evaluations  of the function, along one line
    converged        becomes true where no step leads down any more

    Raises: ValueError where there is no parameter; ArithmeticError where the loss is not finite
    at the start.
    Source: Nocedal and Wright, Numerical Optimization, 2nd edition, 2006, chapters 3 and 7.
    """

    def __init__(self, parameters: Parameters, history: int = 10, max_evaluations: int = 20):
        self.parameters = list(named(parameters, "LBFGS").values())
        self.pairs: deque[tuple[Array, Array, float]] = deque(maxlen=history)  # s, y, rho
        self.max_evaluations = max_evaluations
        self.evaluations, self.converged = 0, False
        self.x: Array | None = None  # where `here` was taken
        self.here: Point | None = None

    def step(self, closure: Callable[[], Tensor]) -> float:
        """One step; returns the loss after it. closure() is the loss at the parameters, a scalar.

        Parameters that somebody else has changed since the last step are noticed.
        """
        x, here = self._read(), self.here
        if here is None or self.x is None or not (x == self.x).all():
            here = self._at(closure, x, 0 * x, 0.0)
            self.pairs.clear()
        if not math.isfinite(here.value):
            raise ArithmeticError(f"LBFGS: the loss is {here.value} where the step begins")
        d, found = self._along(closure, x, here)
        if found.step == 0 and self.pairs:  # what was remembered misleads
            self.pairs.clear()
            d, found = self._along(closure, x, here)
        self.converged = found.step == 0
        s, y = found.step * d, found.gradient - here.gradient
        if float(s @ y) > 1e-10 * float(y @ y):
            self.pairs.append((s, y, 1 / float(s @ y)))
        self._write(x + s)
        self.x, self.here = self._read(), found
        return found.value

    def _along(self, closure: Callable[[], Tensor], x: Array, here: Point) -> tuple[Array, Point]:
        """A direction, and the point on it to go to; step 0 where none is lower."""
        d = self._direction(here.gradient)
        start = here._replace(step=0.0, slope=float(here.gradient @ d))
        if not start.slope < 0:
            return d, start
        first = 1.0 if self.pairs else min(1.0, 1 / float(abs(here.gradient).sum()))
        return d, search(lambda step: self._at(closure, x, d, step), start, first, self)

    def _direction(self, g: Array) -> Array:
        """-H g (algorithm 7.4)."""
        q, alphas = g.copy(), []
        for s, y, rho in reversed(self.pairs):
            alphas.append(rho * float(s @ q))
            q -= alphas[-1] * y
        if self.pairs:
            s, y, rho = self.pairs[-1]
            q *= 1 / (rho * float(y @ y))  # eq. 7.20
        for (s, y, rho), alpha in zip(self.pairs, reversed(alphas)):
            q += (alpha - rho * float(y @ q)) * s
        return -q

    def _at(self, closure: Callable[[], Tensor], x: Array, d: Array, step: float) -> Point:
        """Value, slope and gradient at x + step d."""
        self.evaluations += 1
        self._write(x + step * d)
        for p in self.parameters:
            p.grad = None
        loss = closure()
        loss.backward()
        xp = array_module(x)
        parts = [
            xp.zeros(p.size) if p.grad is None else p.grad.data.ravel() for p in self.parameters
        ]
        gradient = xp.concatenate(parts).astype("float64")
        return Point(step, float(loss.item()), float(gradient @ d), gradient)

    def _read(self) -> Array:
        xp = array_module(self.parameters[0].data)
        return xp.concatenate([p.data.ravel() for p in self.parameters]).astype("float64")

    def _write(self, x: Array) -> None:
        first = 0
        for p in self.parameters:  # a new array: the old one may be part of a graph
            p.data = x[first : first + p.size].reshape(p.shape).astype(p.dtype)
            first += p.size


def search(at: Callable[[float], Point], start: Point, step: float, limits: LBFGS) -> Point:
    """A point where the strong Wolfe conditions hold, or the lowest that was found (algorithm 3.5).

    Steps grow until a valley is enclosed, which `zoom` then narrows. Returns `start` where nothing
    was lower.
    """
    before, best, last = start, start, limits.evaluations + limits.max_evaluations
    while limits.evaluations < last:
        here = at(step)
        best = _lower(best, here)
        if _too_high(here, start) or (before is not start and here.value >= before.value):
            return zoom(at, start, before, here, last, limits)
        if abs(here.slope) <= -CURVATURE * start.slope:
            return here
        if here.slope >= 0:
            return zoom(at, start, here, before, last, limits)
        before, step = here, 2.5 * step
    return best


def zoom(
    at: Callable[[float], Point], start: Point, low: Point, high: Point, last: int, limits: LBFGS
) -> Point:
    """Narrow the interval between `low`, the lower end, and `high` (algorithm 3.6)."""
    while limits.evaluations < last and abs(high.step - low.step) > 1e-12 * abs(high.step):
        here = at(between(low, high))
        if _too_high(here, start) or here.value >= low.value:
            high = here
            continue
        if abs(here.slope) <= -CURVATURE * start.slope:
            return here
        if here.slope * (high.step - low.step) >= 0:
            high = low
        low = here
    return low


def between(a: Point, b: Point) -> float:
    """The lowest place of the cubic with the values and slopes of both ends (3.59), or the middle.

    Never within a tenth of an end, so that the interval gets smaller.
    """
    width = b.step - a.step
    place = 0.5
    if math.isfinite(b.value) and math.isfinite(b.slope):
        d1 = a.slope + b.slope - 3 * (a.value - b.value) / (a.step - b.step)
        square = d1 * d1 - a.slope * b.slope
        if square >= 0:
            d2 = math.copysign(math.sqrt(square), width)
            bottom = b.slope - a.slope + 2 * d2
            if bottom:
                place = 1 - (b.slope + d2 - d1) / bottom
    return a.step + width * min(0.9, max(0.1, place))


def _too_high(here: Point, start: Point) -> bool:
    """Whether the first Wolfe condition fails; a loss that is not finite is too high."""
    return not here.value <= start.value + ARMIJO * here.step * start.slope


def _lower(best: Point, here: Point) -> Point:
    return here if here.value < best.value else best

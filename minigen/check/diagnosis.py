"""From wrong numbers to the likely cause, in words."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigen.check.op import Case, Op

EPS = float(np.finfo(np.float32).eps)
POISON = float(np.frombuffer(b"\xfe" * 4, np.float32)[0])  # g++ puts it into unwritten variables
RACE = re.compile(r"race|barrier|thread sanitizer|lanes? that")
BOUNDS = re.compile(
    r"wrote element|which has the shape|where no memory is|address sanitizer|out of bounds"
    r"|the grid's \w is 0"
)


class Try(NamedTuple):
    """One case, run in one or several schedules."""

    case: Case
    exact: np.ndarray  # float64
    tolerance: float
    outputs: tuple[Any, ...]  # one for each schedule, up to the first that raised
    raised: str = ""  # what a run said when it did not come to an end
    changed: str = ""  # the input that is not what it was

    @property
    def is_right(self) -> bool:
        whole = bool(self.outputs) and not self.raised and not self.changed
        return whole and all(self.problem(y) is None for y in self.outputs)

    def problem(self, y: Any) -> str | None:
        """None, or what kind of result this is in the place of the expected one."""
        if not isinstance(y, np.ndarray):
            return f"it returned {type(y).__name__}, expected an array"
        if y.shape != self.exact.shape:
            return f"it returned the shape {y.shape}, expected {self.exact.shape}"
        if y.dtype != np.float32:
            return f"it returned {y.dtype}, expected float32"
        return None if agree(y, self.exact, self.tolerance).all() else "the numbers are wrong"

    @property
    def wrong(self) -> np.ndarray | None:
        """The first output with wrong numbers, where they can be compared at all."""
        for y in self.outputs:
            if self.problem(y) == "the numbers are wrong":
                return y
        return None


def agree(y: np.ndarray, exact: np.ndarray, tolerance: float) -> np.ndarray:
    """Where they do; what is NaN or infinite agrees with nothing."""
    with np.errstate(invalid="ignore"):
        return abs(y - exact) <= tolerance


def tolerance_of(op: Op, case: Case, exact: np.ndarray) -> float:
    """8 eps for each term of the longest sum, of the largest number."""
    return 8 * EPS * op.terms(**op.axes(case)) * max(1.0, float(abs(exact).max(initial=0)))


def where_wrong(t: Try) -> str:
    """The first wrong number, and how many there are."""
    y = t.wrong
    if y is None:
        return ""
    wrong = ~agree(y, t.exact, t.tolerance)
    index = tuple(int(i) for i in np.argwhere(wrong)[0])
    at, value = ", ".join(map(str, index)), float(y[index])
    return (
        f"y[{at}] is {value:.6g}, expected {float(t.exact[index]):.6g}; "
        f"{int(wrong.sum())} of {wrong.size} numbers are wrong"
    )


def cause(op: Op, tries: Sequence[Try], tile: int, found: Sequence[str] = ()) -> tuple[str, str]:
    """(a word, a sentence) for the likeliest cause; `found`: what the sanitizers said."""
    bad = [t for t in tries if not t.is_right]
    if not bad and found:
        return _said(found[0])
    first = bad[0]
    said = [*found, *(t.raised for t in bad)]
    if races := [text for text in said if RACE.search(text)]:
        return _said(races[0])
    if beyond := [text for text in said if BOUNDS.search(text)]:
        # exchanged axes leave an array where it is not square, and give a known result where it is
        square = [t for t in bad if not t.raised]
        return _mistakes(op, tries, square, tile) or _said(beyond[0])
    if first.raised:
        return "error", first.raised
    if first.changed:
        name = first.changed
        return "arguments", f"it writes into {name}, which belongs to the caller; make a new array"
    kind = first.problem(first.outputs[0])
    if kind and kind.startswith("it returned"):
        return _kind(first, kind)
    rules = (_schedules, _mistakes, _views, _multiples, _never_written, _not_finite, _small, _axes)
    for rule in rules:
        if answer := rule(op, tries, bad, tile):
            return answer
    return "formula", "no known mistake gives these numbers; compare the smallest size by hand"


def _said(text: str) -> tuple[str, str]:
    if "grid's" in text:
        return (
            "bounds",
            f"the grid is rounded down and leaves out the last, incomplete tile: {text}",
        )
    if BOUNDS.search(text) and not RACE.search(text):
        return "bounds", f"an index outside of an array: {text}"
    if "barrier that not all" in text or "different barriers" in text or "have returned" in text:
        why = "not all threads of a block come to this barrier: is it in an if, or after a return?"
        return "barrier", f"{why}: {text}"
    why = "a barrier is missing, or all write one place: the result depends on the order of threads"
    return "barrier", f"{why}: {text}"


def _kind(t: Try, kind: str) -> tuple[str, str]:
    y = t.outputs[0]
    if not isinstance(y, np.ndarray):
        return "shape", kind + "; does it lack its return?" * (y is None)
    if y.shape != t.exact.shape:
        turned = sorted(y.shape) == sorted(t.exact.shape)
        return ("stride" if turned else "shape"), kind + "; axes are exchanged" * turned
    if y.dtype == np.float64:
        why = "np.zeros and np.empty make float64 unless they are told dtype=np.float32"
        return "dtype", f"float64 comes out: {why}"
    return "dtype", kind


Answer = tuple[str, str] | None


def depends_on_order(tries: Sequence[Try]) -> bool:
    """Whether some result is another one when the threads run in another order."""
    return any(_differs(t) for t in tries)


def _differs(t: Try) -> tuple[int, list[int]] | None:
    """(the schedule, the index) where a result differs from that of the first schedule."""
    arrays = [y for y in t.outputs if isinstance(y, np.ndarray)]
    for seed, y in enumerate(arrays):
        if y.shape == arrays[0].shape:
            first = arrays[0]
            with np.errstate(invalid="ignore"):
                near = abs(y - first) <= t.tolerance
            same = (y == first) | (np.isnan(y) & np.isnan(first)) | near
            if not same.all():
                return seed, [int(i) for i in np.argwhere(~same)[0]]
    return None


def _schedules(op: Op, tries: Sequence[Try], bad: Sequence[Try], tile: int) -> Answer:
    for t in bad:
        if found := _differs(t):
            seed, index = found
            at = ", ".join(map(str, index))
            return "barrier", (
                "a barrier is missing: the result depends on the order in which the threads run; "
                f"y[{at}] differs between the schedules 0 and {seed}, at {op.describe(t.case)}"
            )
    return None


def _mistakes(op: Op, tries: Sequence[Try], bad: Sequence[Try], tile: int) -> Answer:
    """Do all wrong results equal those of one known mistake, and the right ones too?"""
    for mistake in op.mistakes:
        explained = [_explains(mistake.formula, t) for t in bad]
        if all(explained) and explained:
            return mistake.cause, mistake.text
    return None


def _explains(formula: Any, t: Try) -> bool:
    y = t.wrong
    try:
        with np.errstate(all="ignore"):
            other = formula(*(a.astype(float) for a in t.case.arrays()), **t.case.settings)
    except ValueError:  # the sizes forbid it
        return False
    if y is None or other.shape != y.shape:
        return False
    if other.dtype == np.float32:  # where the mistake is that float32 overflows
        holes = ~np.isfinite(other)
        same = agree(y, other, t.tolerance) | (holes & ~np.isfinite(y))
        return bool(holes.any() and same.all())
    largest = max(1.0, float(abs(other).max(initial=0)))
    return bool(agree(y, other, 10 * t.tolerance * largest).all())


def _views(op: Op, tries: Sequence[Try], bad: Sequence[Try], tile: int) -> Answer:
    if all(t.case.is_view for t in bad):
        return "stride", (
            "right for arrays without gaps, wrong for a view such as x[..., ::2]: "
            "neighbours in the array are not neighbours in memory; np.ascontiguousarray copies it"
        )
    return None


def _multiples(op: Op, tries: Sequence[Try], bad: Sequence[Try], tile: int) -> Answer:
    """Does it fail exactly where a size is no multiple of the tile?"""
    for n in dict.fromkeys((tile, 64, 32, 16, 8, 4)):
        for names in _sets(op):
            small = _iff(op, tries, lambda axes, n=n, names=names: any(axes[a] % n for a in names))
            if small or _iff(
                op,
                tries,
                lambda axes, n=n, names=names: any(axes[a] > n and axes[a] % n for a in names),
            ):
                return "bounds", (
                    f"right where {_listed(names)} is a multiple of {n}{' or less' * (not small)}, "
                    "wrong where not: "
                    "the grid must cover the last, incomplete tile, and the kernel must check "
                    f"its indices there{_hole(bad[0])}"
                )
    return None


def _sets(op: Op) -> Iterator[list[str]]:
    """Each axis, then all that are cut into tiles."""
    axes = list(op.sizes(*op.sorted_cases(16)[0].shapes, **op.sorted_cases(16)[0].settings))
    yield from ([a] for a in axes)
    yield [a for a in axes if a in op.tiled]


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else "each of " + ", ".join(names)


def _iff(op: Op, tries: Sequence[Try], rule: Any) -> bool:
    """Whether a case fails exactly where the rule holds, with enough on either side to say so."""
    holds = [rule(op.axes(t.case)) for t in tries]
    fails = [not t.is_right for t in tries]
    return holds == fails and 2 <= sum(fails) <= len(fails) - 2


def _hole(t: Try) -> str:
    y = t.wrong
    empty = y is not None and bool(np.isnan(y).all() or np.isnan(y).any())
    return "; some numbers were never written" if empty else ""


def _never_written(op: Op, tries: Sequence[Try], bad: Sequence[Try], tile: int) -> Answer:
    """What memory or a variable held before the kernel ran: all bits 1, or POISON."""
    y = bad[0].wrong
    if y is None:
        return None
    if np.isclose(y, POISON, rtol=1e-3).any():
        return "uninitialised", "a variable is read that nobody has written: a sum without its 0"
    bits = np.ascontiguousarray(y).view(np.uint32)
    if not (bits == 0xFFFFFFFF).any():
        return None
    if agree(y, bad[0].exact, bad[0].tolerance)[~np.isnan(y)].all():
        return "uninitialised", (
            "some numbers of y were never written, or were added to before they were written"
        )
    return "uninitialised", "memory is read that nobody has written: shared memory, or y itself"


def _not_finite(op: Op, tries: Sequence[Try], bad: Sequence[Try], tile: int) -> Answer:
    y = bad[0].wrong
    if y is None or np.isfinite(y).all():
        return None
    if all(t.case.scale > 1 for t in bad):
        why = "subtract the largest before exp, which is infinite beyond 88"
        return "overflow", f"right for small numbers, not finite for large ones: {why}"
    return "uninitialised", (
        "NaN or infinite: memory that nobody has written (a sum without its 0, np.empty, shared "
        "memory), or a division by 0"
    )


def _small(op: Op, tries: Sequence[Try], bad: Sequence[Try], tile: int) -> Answer:
    """Is it right but for some digits?"""
    errors = []
    for t in bad:
        y = t.wrong
        if y is None or not np.isfinite(y).all():
            return None
        errors.append(float(abs(y - t.exact).max()) / max(1.0, float(abs(t.exact).max())))
    if max(errors) > 0.02:
        return None
    text = f"only the last digits are wrong, by {max(errors):.1e} of the largest number: "
    if max(errors) > 1e-4:
        return "accumulation", text + "as if float16 or bfloat16 held the numbers or their sum"
    return "accumulation", text + "a sum in an unfavourable order, or a fast approximation of exp"


def _axes(op: Op, tries: Sequence[Try], bad: Sequence[Try], tile: int) -> Answer:
    """Does it fail exactly beyond some size of one axis, or with some setting?"""
    for names in _sets(op):
        if len(names) > 1:
            continue
        name = names[0]
        values = sorted({op.axes(t.case)[name] for t in tries})
        for limit in values[:-1]:
            if _iff(op, tries, lambda axes, name=name, limit=limit: axes[name] > limit):
                more = f"; only the first tile of {name} counts" * (limit >= tile > 2)
                return "bounds" if more else "formula", (
                    f"right where {name} <= {limit}, wrong where it is larger{more}"
                )
    for name in bad[0].case.settings:
        values = sorted({t.case.settings[name] for t in tries})
        for value in values:
            fails = [not t.is_right for t in tries]
            if fails == [t.case.settings[name] == value for t in tries]:
                if name == "padding" and value:
                    why = "outside of the image x is 0, also where an index is below 0"
                    return "bounds", f"wrong exactly where there is padding: {why}"
                return "stride", f"wrong exactly where {name} is {value}"
    return None

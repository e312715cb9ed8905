"""Look over the shoulder of a program: which ops ran, on what, how long; where the first NaN arose.

    >>> from minigen import Tensor
    >>> x, w = Tensor(np.ones((2, 3), np.float32)), Tensor(np.ones((3, 4), np.float32), True)
    >>> with trace() as record:
    ...     (x @ w).sum().backward()
    >>> [row.op for row in record if not row.rule]      # print(record) shows the whole table
    ['matmul', 'sum']
    >>> [row.op for row in record if row.rule == "matmul"]
    ['transpose', 'matmul']

Backward rules are made of ops, so the way back is seen as well; `rule` names the op whose gradient
is being computed. Nothing is paid for this outside the `with` blocks.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from minigen.autograd import Call, observe
from minigen.backend import Array, array_module

Shape = tuple[int, ...]


class Row(NamedTuple):
    """One run of an op."""

    op: str
    rule: str  # the op whose gradient is being computed, "" on the way forward
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    dtype: str
    ran: str  # "reference" or the name of the kernel
    ms: float


class Total(NamedTuple):
    """All runs of an op, or of its backward rule."""

    op: str
    calls: int
    ms: float
    share: float  # of the time of all ops


class Record(list[Row]):
    """What `trace` wrote down, a list of rows in the order in which they ran."""

    def __str__(self) -> str:
        head = ["op", "in the rule of", "inputs", "output", "dtype", "ran", "ms"]
        return _table(
            head,
            [
                [r.op, r.rule, _shapes(r.inputs), _shapes(r.outputs), r.dtype, r.ran, f"{r.ms:.3f}"]
                for r in self
            ],
        )

    def by_op(self) -> "Totals":
        """Where the time went, the largest share first; an op's backward rule counts as one."""
        spent: dict[str, list[float]] = {}
        for row in self:
            spent.setdefault(f"{row.rule} backward" if row.rule else row.op, []).append(row.ms)
        whole = sum(map(sum, spent.values())) or 1.0
        totals = [Total(op, len(ms), sum(ms), sum(ms) / whole) for op, ms in spent.items()]
        return Totals(sorted(totals, key=lambda total: -total.ms))


class Totals(list[Total]):
    """What `Record.by_op` added up."""

    def __str__(self) -> str:
        rows = [[t.op, str(t.calls), f"{t.ms:.3f}", f"{t.share:.1%}"] for t in self]
        return _table(["op", "ops", "ms", "share"], rows)


@contextmanager
def trace() -> Iterator[Record]:
    """Write down every op that runs inside the block, and what it took. Keeps no arrays."""
    record = Record()

    def write_down(call: Call) -> None:
        inputs, outputs = (tuple(a.shape for a in arrays) for arrays in (call.inputs, call.outputs))
        dtype = str(call.outputs[0].dtype) if call.outputs else ""
        row = Row(call.name, call.rule, inputs, outputs, dtype, call.rung, call.seconds * 1000)
        record.append(row)

    with observe(write_down):
        yield record


@contextmanager
def stop_at_nan() -> Iterator[None]:
    """Inside the block, the first op that gives a NaN or an infinity raises FloatingPointError.

    The message names the op, whether it ran forward or for a gradient, the shapes of its inputs and
    which of them were not finite before. NumPy's own warnings are silent meanwhile.
    """
    with np.errstate(all="ignore"), observe(_refuse_nan):
        yield


def _refuse_nan(call: Call) -> None:
    for y in call.outputs:
        if _finite(y):
            continue
        what = "NaN" if bool(array_module(y).isnan(y).any()) else "infinity"
        where = f"in the gradient of {call.rule}, {call.name}" if call.rule else call.name
        bad = [str(i) for i, x in enumerate(call.inputs) if not _finite(x)]
        before = f"not finite before: input {', '.join(bad)}" if bad else "all finite"
        raise FloatingPointError(
            f"{where}: {what} in the output of shape {y.shape}; "
            f"inputs of shape {_shapes([x.shape for x in call.inputs])}, {before}"
        )


def _finite(x: Array) -> bool:
    return x.dtype.kind != "f" or bool(array_module(x).isfinite(x).all())


def _shapes(shapes: Sequence[Shape]) -> str:
    """ "(2, 3) (3, 4)"."""
    return " ".join(map(str, shapes))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Text in columns under `head`, those of numbers to the right."""
    columns = list(zip(head, *rows))
    widths = [max(map(len, column)) for column in columns]
    right = [all(cell[:1].isdigit() for cell in column[1:]) for column in columns]
    lines = [
        "  ".join(cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(line, widths, right))
        for line in [head, *rows]
    ]
    return "\n".join(line.rstrip() for line in lines)

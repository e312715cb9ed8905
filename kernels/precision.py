"""How exact the products of kernels must be: what kernels on tensor cores ask before they run.

    use_precision("bf16")             from here on, in this thread
    with use_precision("tf32"):       in this block
    MINIGEN_PRECISION=bf16 python ... from outside

    "fp32"  strict: float32 throughout (the default)
    "tf32"  factors are rounded to 10 bits of mantissa, the exponent stays as wide as float32's
    "bf16"  to 7 bits, the exponent as wide; sums stay float32
    "fp16"  to 10 bits, and to numbers below 65,520; sums stay float32

Arrays stay float32 in all four. It is a permission: what has no such kernel runs in float32.
"""

import os
from contextvars import ContextVar, Token
from types import TracebackType

PRECISIONS = ("fp32", "tf32", "bf16", "fp16")

_precision: ContextVar[str | None] = ContextVar("precision", default=None)


def current() -> str:
    """The precision in use: "fp32" where nobody chose.

    Raises: ValueError where MINIGEN_PRECISION is none.
    """
    return _precision.get() or _checked(
        "MINIGEN_PRECISION", os.environ.get("MINIGEN_PRECISION") or "fp32"
    )


class use_precision:  # noqa: N801, a function to its users, and a context manager
    """Choose the precision of kernels, from here on or inside a `with` block, in this thread.

    >>> with use_precision("bf16"):
    ...     current()
    'bf16'
    >>> current()
    'fp32'

    Raises: ValueError for a name that is none of PRECISIONS.
    """

    def __init__(self, name: str):
        chosen = _checked("use_precision", name)
        self._token: Token[str | None] | None = _precision.set(chosen)

    def __enter__(self) -> "use_precision":
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._token is not None:
            _precision.reset(self._token)
            self._token = None


def _checked(who: str, name: str) -> str:
    if name not in PRECISIONS:
        raise ValueError(f"{who}: got {name!r}, expected one of {', '.join(PRECISIONS)}")
    return name

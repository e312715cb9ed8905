"""The ops that a kernel can be checked for."""

from collections.abc import Iterator

from minigen.check.op import Case, Mistake, Op
from minigen.check.products import CONV2D, MATMUL
from minigen.check.reductions import ATTENTION, NORM, SOFTMAX


def _affine_cases(t: int) -> Iterator[Case]:
    factors = {"a": 0.5, "b": -1.25}
    for n in (1, 7, t - 1, t, t + 1, 2 * t, 255, 256, 257, 1023, 4 * t + 1):
        yield Case(((n,), (n,)), factors)
    yield Case(((t,), (t,)), factors, is_view=True)


AFFINE = Op(
    "affine_step",
    ("x", "z"),
    "x (n,), z (n,) -> (n,): a x + b z, what a step of a sampler comes to",
    lambda x, z, a, b: a * x + b * z,
    "const float* x, const float* z, float* y, int n, float a, float b",
    lambda x, z, a, b: {"n": x[0]},
    _affine_cases,
    lambda n: 3,
    (
        Mistake("formula", lambda x, z, a, b: b * x + a * z, "a and b are exchanged"),
        Mistake("formula", lambda x, z, a, b: a * x - b * z, "b has the wrong sign"),
        Mistake("formula", lambda x, z, a, b: a * (x + z), "z is multiplied by a"),
    ),
    "n",
    256,
)

OPS = {op.name: op for op in (MATMUL, CONV2D, SOFTMAX, ATTENTION, NORM, AFFINE)}

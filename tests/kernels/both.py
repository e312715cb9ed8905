"""An op by the reference and by its rung `cpu_numba`: output and all gradients."""

import numpy as np
from close import assert_close

from minigen import Tensor, use_kernels
from minigen.autograd import grad


def run(op, rung, f, xs, g):
    """[f(*xs), its gradients from the upstream gradient g], with `rung` chosen for `op`."""
    with use_kernels("reference", **{op: rung}):
        tensors = [Tensor(x, requires_grad=True) for x in xs]
        y = f(*tensors)
        y.backward(np.broadcast_to(g, y.shape).astype(y.dtype, copy=False))
    return [y.data, *(x.grad.data for x in tensors)]


def check(op, f, xs, rng, terms=1):
    """The rung gives what the reference gives, in float64 and, against float64, in float32."""
    with use_kernels("reference"):
        g = rng.standard_normal(f(*xs).shape)
    xs, g = [x.astype(np.float32) for x in xs], g.astype(np.float32)
    exact = run(op, "reference", f, [x.astype(np.float64) for x in xs], g)
    double = run(op, "cpu_numba", f, [x.astype(np.float64) for x in xs], g)
    for i, (actual, expected) in enumerate(zip(double, exact)):
        assert_close(*map(np.ascontiguousarray, (actual, expected)), terms if i else 4 * terms)
    for actual, expected in zip(run(op, "cpu_numba", f, xs, g), exact):
        assert_close(np.ascontiguousarray(actual), expected.astype(np.float32), 4 * terms)


def second_order(op, rung, f, xs):
    """Gradients of the squared gradient of sum(f(*xs)^2)."""
    with use_kernels("reference", **{op: rung}):
        tensors = [Tensor(x, requires_grad=True) for x in xs]
        y = f(*tensors)
        (gx,) = grad((y * y).sum(), [tensors[0]], create_graph=True)
        return [np.ascontiguousarray(a.data) for a in grad((gx * gx).sum(), tensors)]

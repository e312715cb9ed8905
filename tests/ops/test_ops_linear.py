"""linear against its loops, and what it refuses."""

import itertools

import numpy as np
import pytest
from close import assert_close

from minigen import ops
from minigen.autograd import Tensor

LEADS = pytest.mark.parametrize("lead", [(), (1,), (5,), (2, 3), (0,), (2, 0, 3)], ids=str)


@LEADS
def test_linear_is_its_loops(lead, rng):
    x, w, b = rng.standard_normal((*lead, 4)), rng.standard_normal((4, 3)), rng.standard_normal(3)
    y = np.zeros((*lead, 3))
    for i in itertools.product(*map(range, lead)):
        for m in range(3):
            y[(*i, m)] = sum(x[(*i, k)] * w[k, m] for k in range(4)) + b[m]
    assert_close(ops.linear(x, w, b).data, y, 4)


@LEADS
def test_linear_has_the_gradients_of_product_and_sum(lead, rng):
    arrays = [rng.standard_normal(shape) for shape in ((*lead, 4), (4, 3), (3,))]
    g, leaves = rng.standard_normal((*lead, 3)), []
    for f in (ops.linear, lambda x, w, b: x.reshape(-1 if x.size else 0, 4) @ w + b):
        leaves.append([Tensor(a, requires_grad=True) for a in arrays])
        y = f(*leaves[-1])
        y.backward(g.reshape(y.shape))
    for one, other in zip(*leaves):
        assert_close(one.grad.data, other.grad.data.reshape(one.shape), 8)


@pytest.mark.parametrize(
    "shapes",
    [((2, 3), (4, 5), (5,)), ((2, 4), (4, 5), (4,)), ((2, 4), (4,), (4,)), ((), (4, 5), (5,))],
)
def test_shapes_that_do_not_fit_are_refused(shapes):
    with pytest.raises(
        ValueError, match=r"linear: expected x \(\.\.\., K\), w \(K, M\) and b \(M,\)"
    ):
        ops.linear(*(np.zeros(shape) for shape in shapes))

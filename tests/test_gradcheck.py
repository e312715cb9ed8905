"""gradcheck passes right rules, and catches each kind of wrong one by its number."""

import numpy as np
import pytest

from minigen import Tensor
from minigen.autograd import primitive
from minigen.gradcheck import gradcheck, gradcheck_all


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def with_rule(rule):
    """x * x * w, shapes alike, with this backward rule."""

    @primitive
    def squared(x, w):
        return x * x * w

    squared.backward(rule)
    return squared


def right(g, y, x, w):
    return g * x * w * 2.0, g * x * x


WRONG = {
    "a wrong factor": (lambda g, y, x, w: (g * x * w * 2.002, g * x * x), 0),
    "a wrong sign": (lambda g, y, x, w: (g * x * w * 2.0, -g * x * x), 1),
    "a division for a product": (lambda g, y, x, w: (x * w * 2.0 / g, g * x * x), 0),
    "no upstream gradient": (lambda g, y, x, w: (x * w * 2.0, g * x * x), 0),
    "a forgotten path": (lambda g, y, x, w: (g * x * w, g * x * x), 0),
    "no gradient": (lambda g, y, x, w: (g * x * w * 2.0, None), 1),
    "a nan": (lambda g, y, x, w: (g * x * w * 2.0, g * x * x * float("nan")), 1),
    "elements out of place": (lambda g, y, x, w: ((g * x * w * 2.0)[::-1], g * x * x), 0),
}


@pytest.mark.parametrize("order", [1, 2])
def test_a_right_rule_passes_with_a_tiny_error(order, rng):
    f, (x, w) = with_rule(right), rng.standard_normal((2, 3, 4))
    assert gradcheck(f, x, w, rng=rng, order=order) < 1e-8
    assert gradcheck_all(f, x, w) < 1e-8


@pytest.mark.parametrize("check", [gradcheck, gradcheck_all])
@pytest.mark.parametrize(("rule", "i"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_rule_is_caught_with_the_op_and_the_input(rule, i, check, rng):
    arguments = {"rng": rng} if check is gradcheck else {}
    with pytest.raises(AssertionError, match=rf"squared.*input {i}\b.*by the backward rule"):
        check(with_rule(rule), *rng.standard_normal((2, 3, 4)), **arguments)


def test_a_rule_that_is_right_but_not_differentiable_fails_at_order_2_only(rng):
    f = with_rule(lambda g, y, x, w: (g * (x.data * w.data * 2.0), g * (x.data * x.data)))
    x, w = rng.standard_normal((2, 3, 4))
    gradcheck(f, x, w, rng=rng)
    with pytest.raises(AssertionError, match="second order of squared"):
        gradcheck(f, x, w, rng=rng, order=2)


def test_a_small_error_in_one_element_of_many_is_seen(rng):
    factor = np.full((20, 20), 2.0)
    factor[3, 5] = 2.1
    f = with_rule(lambda g, y, x, w: (g * x * w * factor, g * x * x))
    with pytest.raises(AssertionError, match="input 0"):
        gradcheck(f, *rng.uniform(0.5, 1, (2, 20, 20)), rng=rng)


def test_gradcheck_all_names_the_element(rng):
    factor = np.array([2.0, 2.0, 2.1])
    f = with_rule(lambda g, y, x, w: (g * x * w * factor, g * x * x))
    with pytest.raises(AssertionError, match=r"d y\[2\] / d \(input 0\)\[2\]"):
        gradcheck_all(f, *rng.uniform(0.5, 1, (2, 3)))


CORNERS = {
    "a constant": (lambda x: x * 0.0 + 1.0, (3,)),
    "a linear function, of no second derivative": (lambda x: x.sum() * 3.0, (3,)),
    "the function itself": (lambda x: x, (3,)),
    "a scalar": (lambda x: x * x, ()),
    "nothing at all": (lambda x: x * x, (0, 3)),
    "no dependence": (lambda x: Tensor(np.ones(2)), (3,)),
    "terms that cancel": (lambda x: (x - x).sum(), (3,)),
    "large numbers": (lambda x: x * x * 1e12, (3,)),
    "small numbers": (lambda x: x * x * 1e-12, (3,)),
}


@pytest.mark.parametrize(("f", "shape"), CORNERS.values(), ids=CORNERS.keys())
def test_right_gradients_pass_in_every_corner(f, shape, rng):
    x = rng.standard_normal(shape)
    gradcheck(f, x, rng=rng, order=2)
    gradcheck_all(lambda x: f(x) * 1.0, x)


def test_the_arrays_of_the_caller_stay_as_they_are(rng):
    x = rng.standard_normal((2, 3)).astype(np.float32)
    before = x.copy()
    gradcheck(lambda x: x * x, x, rng=rng, order=2)
    np.testing.assert_array_equal(x, before)
    assert x.dtype == np.float32


def test_an_op_that_leaves_float64_is_refused(rng):
    with pytest.raises(AssertionError, match="astype: made float32 of float64 inputs"):
        gradcheck(lambda x: x.astype(np.float32), np.ones(2), rng=rng)

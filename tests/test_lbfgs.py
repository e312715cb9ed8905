"""L-BFGS against its laws: the secant, the Wolfe conditions, valleys that are known."""

import numpy as np
import pytest
from close import assert_close

from minigen import Tensor
from minigen.nn import Parameter
from minigen.ops import log
from minigen.optim import LBFGS
from minigen.optim.lbfgs import ARMIJO, CURVATURE, Point, between


def rosenbrock(x):
    a, b = x[1:] - x[:-1] * x[:-1], 1 - x[:-1]
    return (a * a * 100 + b * b).sum()


def minimised(f, start, steps, **settings):
    x = Parameter(np.asarray(start, np.float64))
    optimiser = LBFGS([x], **settings)
    values = [optimiser.step(lambda: f(x)) for _ in range(steps)]
    return x, optimiser, values


@pytest.mark.parametrize("start", [[-1.2, 1.0], [-1.2, 1.0] * 5])
def test_rosenbrocks_valley_is_walked_to_its_end(start):
    x, optimiser, values = minimised(rosenbrock, start, 90)
    assert_close(x.data, np.ones(len(start)), terms=1e6)
    assert optimiser.evaluations < 200
    assert (np.diff(values) <= 0).all()


def bowl(n, rng):
    """x A x / 2 - b x with curvatures from 1 to 100, and where its bottom is."""
    q, _ = np.linalg.qr(rng.standard_normal((n, n)))
    A, b = q @ np.diag(np.linspace(1, 100, n)) @ q.T, rng.standard_normal(n)
    return (
        lambda x: (x * (Tensor(A) @ x.reshape(-1, 1)).reshape(-1)).sum() * 0.5 - (x * b).sum()
    ), (np.linalg.solve(A, b))


def test_a_bowl_is_emptied_in_a_few_steps_more_than_it_has_directions(rng):
    f, bottom = bowl(8, rng)
    x, *_ = minimised(f, np.ones(8), 24, history=10)
    np.testing.assert_allclose(x.data, bottom, atol=1e-7)


def test_the_curvature_takes_the_last_change_of_gradient_to_the_last_step(rng):
    f, _ = bowl(8, rng)
    _, optimiser, _ = minimised(f, np.ones(8), 5)
    s, y, _ = optimiser.pairs[-1]
    np.testing.assert_allclose(-optimiser._direction(y), s, rtol=1e-10, atol=1e-12)  # H' y = s


def test_the_two_loops_are_the_matrix_of_the_formula(rng):
    _, optimiser, _ = minimised(rosenbrock, [-1.2, 1.0, 0.5], 6, history=3)
    s, y, rho = optimiser.pairs[-1]
    H = np.eye(3) / (rho * (y @ y))
    for s, y, rho in optimiser.pairs:
        left = np.eye(3) - rho * np.outer(s, y)
        H = left @ H @ left.T + rho * np.outer(s, s)
    g = rng.standard_normal(3)
    np.testing.assert_allclose(optimiser._direction(g), -H @ g, rtol=1e-9)


def test_every_step_fulfils_the_wolfe_conditions():
    x = Parameter(np.array([-1.2, 1.0, 0.3]))
    optimiser = LBFGS([x])
    optimiser.step(lambda: rosenbrock(x))
    for _ in range(20):
        before, place = optimiser.here, x.data.copy()
        optimiser.step(lambda: rosenbrock(x))
        slope = before.gradient @ (x.data - place)
        assert optimiser.here.value <= before.value + ARMIJO * slope
        assert abs(optimiser.here.gradient @ (x.data - place)) <= -CURVATURE * slope


def test_the_cubic_finds_the_lowest_place_of_a_cubic():
    f, slope = (lambda t: t**3 - 3 * t), (lambda t: 3 * t**2 - 3)
    ends = [Point(t, f(t), slope(t), np.zeros(1)) for t in (0.2, 2.5)]
    assert between(*ends) == pytest.approx(1)
    assert between(*ends[::-1]) == pytest.approx(1)


def test_where_the_function_ends_the_line_is_shortened():
    with np.errstate(all="ignore"):
        x, *_ = minimised(lambda x: (x * 5 - log(x)).sum(), [3.0, 0.01], 40)
    np.testing.assert_allclose(x.data, 0.2, rtol=1e-6)


def test_at_the_bottom_it_stays_and_says_so():
    x, optimiser, values = minimised(lambda x: (x * x).sum(), [0.0, 0.0], 2)
    assert optimiser.converged
    assert values == [0, 0]
    assert not x.data.any()


def test_parameters_that_were_changed_between_steps_are_noticed():
    x = Parameter(np.array([2.0, 2.0]))
    optimiser = LBFGS([x])
    optimiser.step(lambda: (x * x).sum())
    x.data = np.array([5.0, -7.0])
    for _ in range(5):
        optimiser.step(lambda: (x * x).sum())
    np.testing.assert_allclose(x.data, 0, atol=1e-8)


def test_several_parameters_keep_their_types_and_shapes(rng):
    ps = [Parameter(rng.standard_normal(s).astype(np.float32)) for s in ((2, 3), (4,), ())]
    optimiser = LBFGS(ps)
    for _ in range(8):
        value = optimiser.step(lambda: (ps[0] * ps[0]).sum() + (ps[1] * ps[1]).sum())
    assert value < 1e-10
    assert [(p.shape, p.dtype) for p in ps] == [((2, 3), "f4"), ((4,), "f4"), ((), "f4")]


def test_a_loss_that_is_no_number_is_told():
    x = Parameter(np.array([1.0]))
    with pytest.raises(ArithmeticError, match="the loss is nan where the step begins"):
        LBFGS([x]).step(lambda: (x * np.nan).sum())
    with pytest.raises(ValueError, match="LBFGS: got no parameters"):
        LBFGS([])

"""Is a backward rule right? Compare it with differences of the forward function.

For y = f(x) with Jacobian J, a random direction v and a random upstream gradient g:

    <g, J v>    by central differences    <g, f(x + epsilon v) - f(x - epsilon v)> / (2 epsilon)
    <J^T g, v>  by the backward rule

are one number computed in two ways. One direction sees every element of J, and a random g sees what
g = 1 hides (a `*` written for a `/`). Order 2 asks the same of the function (g, x) -> J(x)^T g,
which the backward rule computes.

    >>> rng = np.random.default_rng(0)
    >>> x, w = rng.standard_normal((2, 3)), rng.standard_normal((3, 4))
    >>> gradcheck(lambda x, w: x @ w, x, w, rng=rng, order=2) < 1e-8
    True

Error: truncation epsilon^2 |f'''| / 6, and rounding 1e-16 |f| / epsilon, 1e-10 at epsilon = 1e-6.
Source: Griewank and Walther, Evaluating Derivatives, 2nd ed., 2008, section 3.2.
"""

from collections.abc import Callable, Sequence

import numpy as np

from minigen.autograd import Tensor

Function = Callable[..., Tensor]


def gradcheck(
    f: Function,
    *arrays: np.ndarray,
    rng: np.random.Generator,
    order: int = 1,
    epsilon: float = 1e-6,
    tolerance: float = 1e-6,
) -> float:
    """Check the gradient of `f` by each of `arrays`, in float64. Returns the worst relative error.

    f       Tensors -> one Tensor; smooth within `epsilon` of the arrays (no kink of a relu there)
    order   1, or 2 to check the gradient of the gradient as well

    Raises: AssertionError with the op's name, the input's index and both numbers.
    """
    xs = [np.array(x, np.float64) for x in arrays]
    f, g = _named(f, xs, rng)
    worst = _check_directions(f, xs, g, rng, epsilon, tolerance)
    if order == 1:
        return worst
    second = _gradient_of(f, [rng.standard_normal(x.shape) for x in xs])
    one = np.array(rng.standard_normal())
    return max(worst, _check_directions(second, [g, *xs], one, rng, epsilon, tolerance))


def gradcheck_all(
    f: Function, *arrays: np.ndarray, epsilon: float = 1e-6, tolerance: float = 1e-6
) -> float:
    """Check every element of the Jacobian of `f` by each of `arrays`. Returns the worst error.

    Cost: `f` and its gradient once for each element of y, `f` twice for each element of the inputs.
    Raises: AssertionError with the op's name, the input's index, the element and both numbers.
    """
    xs = [np.array(x, np.float64) for x in arrays]
    f, g = _named(f, xs, np.random.default_rng(0))
    upstream = np.eye(g.size).reshape(g.size, *g.shape)  # 1 at one element of y, 0 at the others
    rows = [_gradients(f, xs, one) for one in upstream]
    worst = 0.0
    for i, x in enumerate(xs):
        exact = np.array([row[i].ravel() for row in rows]).reshape(g.size, x.size)
        directions = np.eye(x.size).reshape(x.size, *x.shape)
        columns = [_difference(f, xs, i, v, epsilon).ravel() for v in directions]
        numeric = np.array(columns).reshape(x.size, g.size).T
        errors = np.abs(exact - numeric) / max(1.0, np.abs(numeric).max(initial=0.0))
        for k, j in np.argwhere(~(errors <= tolerance)):  # a NaN is not <= either
            raise AssertionError(
                f"{f.__name__}: d y[{k}] / d (input {i})[{j}], counted flat, is {exact[k, j]:.9g} "
                f"by the backward rule and {numeric[k, j]:.9g} by differences"
            )
        worst = max(worst, float(errors.max(initial=0.0)))
    return worst


def _check_directions(
    f: Function,
    xs: Sequence[np.ndarray],
    g: np.ndarray,
    rng: np.random.Generator,
    epsilon: float,
    tolerance: float,
) -> float:
    """One random direction for each input, so that a failure says which input."""
    y = f(*map(Tensor, xs)).data
    worst = 0.0
    for i, gx in enumerate(_gradients(f, xs, g)):
        v = rng.standard_normal(xs[i].shape)
        numeric = g * _difference(f, xs, i, v, epsilon)
        exact = gx * v
        # terms may cancel in the sums: the error is relative to the sizes of the terms
        size = max(np.abs(terms).sum() for terms in (numeric, exact, g * y))
        error = float(abs(exact.sum() - numeric.sum()) / size) if size != 0 else 0.0
        if not error <= tolerance:  # a NaN is not <= either
            raise AssertionError(
                f"{f.__name__}: the gradient of input {i} of shape {xs[i].shape}, along a random "
                f"direction, is {exact.sum():.9g} by the backward rule and {numeric.sum():.9g} "
                f"by differences (relative error {error:.2g}, expected <= {tolerance:.2g})"
            )
        worst = max(worst, error)
    return worst


def _difference(
    f: Function, xs: Sequence[np.ndarray], i: int, v: np.ndarray, epsilon: float
) -> np.ndarray:
    """J v for the input i, by central differences; has the shape of y."""
    high = f(*[Tensor(x + epsilon * v if k == i else x) for k, x in enumerate(xs)]).data
    low = f(*[Tensor(x - epsilon * v if k == i else x) for k, x in enumerate(xs)]).data
    return (high - low) / (2 * epsilon)


def _gradients(f: Function, xs: Sequence[np.ndarray], g: np.ndarray) -> list[np.ndarray]:
    """J^T g by the backward rules; zeros for an input which they say that y does not depend on."""
    leaves = [Tensor(x.copy(), requires_grad=True) for x in xs]
    y = f(*leaves)
    if y.requires_grad:
        with np.errstate(all="ignore"):  # a wrong rule may divide by zero, and is caught later
            y.backward(g)
    return [np.zeros_like(x.data) if x.grad is None else x.grad.data for x in leaves]


def _gradient_of(f: Function, hs: Sequence[np.ndarray]) -> Function:
    """The function (g, *xs) -> sum over the inputs of <J^T g, h>; its gradient has order 2."""

    def second_order(g: Tensor, *xs: Tensor) -> Tensor:
        leaves = [x if x.requires_grad else Tensor(x.data, requires_grad=True) for x in xs]
        y = f(*leaves)
        if y.requires_grad:
            y.backward(g, create_graph=True)
        total = (g * 0.0).sum()  # depends on g also where no gradient does
        for x, h in zip(leaves, hs, strict=True):
            if x.grad is not None:
                total = total + (x.grad * h).sum()
            x.grad = None
        return total

    second_order.__name__ = f"second order of {f.__name__}"
    return second_order


def _named(
    f: Function, xs: Sequence[np.ndarray], rng: np.random.Generator
) -> tuple[Function, np.ndarray]:
    """`f` under a name for messages, and a random upstream gradient of its result.

    A lambda gets the name of the op that made its result.
    """
    y = f(*[Tensor(x, requires_grad=True) for x in xs])
    name = getattr(f, "__name__", type(f).__name__)
    if name == "<lambda>" and y.node is not None:
        name = y.node.op.name
    if y.dtype != np.float64:
        raise AssertionError(f"{name}: made {y.dtype} of float64 inputs")

    def named(*inputs: Tensor) -> Tensor:
        return f(*inputs)

    named.__name__ = name
    return named, np.asarray(rng.standard_normal(y.shape))

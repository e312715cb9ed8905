"""Is a backward rule right? Compare it with differences of the forward function, along random directions.

For y = f(x) with Jacobian J, a random direction v and a random upstream gradient g:

    <g, J v>    by central differences    <g, f(x + epsilon v) - f(x - epsilon v)> / (2 epsilon)
    <J^T g, v>  by the backward rule

are one number computed in two ways. One direction sees every element of J, and a random g sees what g = 1 hides (a `*`
written for a `/`). The second order asks the same of the function (g, x) -> J(x)^T g, which the backward rule computes.

    >>> rng = np.random.default_rng(0)
    >>> gradcheck(lambda x, w: x @ w, rng.standard_normal((2, 3)), rng.standard_normal((3, 4)), rng=rng) < 1e-8
    True

Error: truncation epsilon^2 |f'''| / 6 plus rounding 1e-16 |f| / epsilon; about 1e-9 of either for epsilon = 1e-6.
Source: Griewank and Walther, Evaluating Derivatives, 2nd ed., 2008, section 3.2 (the dot-product test).
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

    f       Tensors -> one Tensor; smooth within `epsilon` of the arrays (keep away from the kink of a relu)
    order   1, or 2 to check the gradient of the gradient as well

    Raises: AssertionError with the op's name, the input's index and both numbers.
    """
    xs = [np.array(x, np.float64) for x in arrays]
    f = _named(f, xs)
    worst = _check_directions(f, xs, rng, epsilon, tolerance)
    if order == 1:
        return worst
    g = rng.standard_normal(f(*map(Tensor, xs)).shape)
    return max(
        worst, _check_directions(_gradient_of(f, xs, rng), [g, *xs], rng, epsilon, tolerance)
    )


def gradcheck_all(
    f: Function, *arrays: np.ndarray, epsilon: float = 1e-6, tolerance: float = 1e-6
) -> float:
    """Check every element of every Jacobian of `f`, for tiny shapes. Returns the worst error.

    Cost: one evaluation of `f` and its gradient for each element of y, two of `f` for each element of the inputs.
    Raises: AssertionError with the op's name, the input's index, the element and both numbers.
    """
    xs = [np.array(x, np.float64) for x in arrays]
    f = _named(f, xs)
    y = f(*map(Tensor, xs)).data
    ones = np.eye(y.size).reshape(y.size, *y.shape)  # one upstream gradient for each element of y
    rows = [_gradients(f, xs, g) for g in ones]
    worst = 0.0
    for i, x in enumerate(xs):
        exact = np.array([row[i].ravel() for row in rows]).reshape(y.size, x.size)
        numeric = np.zeros_like(exact)
        for j in range(x.size):
            v = np.zeros(x.size)
            v[j] = 1.0
            numeric[:, j] = _difference(f, xs, i, v.reshape(x.shape), epsilon).ravel()
        errors = np.abs(exact - numeric) / max(1.0, np.abs(numeric).max(initial=0.0))
        if not np.all(errors <= tolerance):  # a NaN fails too
            k, j = np.unravel_index(
                np.nanargmax(np.where(errors <= tolerance, -1, 1)), errors.shape
            )
            raise AssertionError(
                f"{f.__name__}: d y[{k}] / d (input {i})[{j}] (flat) is {exact[k, j]:.9g} by the backward rule, "
                f"{numeric[k, j]:.9g} by differences"
            )
        worst = max(worst, float(errors.max(initial=0.0)))
    return worst


def _check_directions(
    f: Function,
    xs: Sequence[np.ndarray],
    rng: np.random.Generator,
    epsilon: float,
    tolerance: float,
) -> float:
    """One random direction for each input, so that a failure says which input."""
    y = f(*map(Tensor, xs)).data
    g = rng.standard_normal(y.shape)
    worst = 0.0
    for i, gx in enumerate(_gradients(f, xs, g)):
        v = rng.standard_normal(xs[i].shape)
        numeric = g * _difference(f, xs, i, v, epsilon)
        exact = gx * v
        # terms may cancel in the sums: measure the error against the sizes of the terms
        size = max(np.abs(t).sum() for t in (numeric, exact, g * y))
        error = float(abs(exact.sum() - numeric.sum()) / size) if size != 0 else 0.0
        if not error <= tolerance:  # a NaN fails too
            raise AssertionError(
                f"{f.__name__}: the gradient of input {i}, {xs[i].shape}, is {exact.sum():.9g} along a random "
                f"direction by the backward rule, {numeric.sum():.9g} by differences (error {error:.2g})"
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
    """J^T g for every input, by the backward rules; zeros where the rules say that y does not depend on it."""
    leaves = [Tensor(x.copy(), requires_grad=True) for x in xs]
    y = f(*leaves)
    if y.requires_grad:
        y.backward(g)
    return [np.zeros_like(x.data) if x.grad is None else x.grad.data for x in leaves]


def _gradient_of(f: Function, xs: Sequence[np.ndarray], rng: np.random.Generator) -> Function:
    """The function (g, *xs) -> sum over the inputs of <J^T g, h> with fixed random h: its gradient is of second order."""
    hs = [rng.standard_normal(x.shape) for x in xs]

    def gradient_of_f(g: Tensor, *inputs: Tensor) -> Tensor:
        leaves = [x if x.requires_grad else Tensor(x.data, requires_grad=True) for x in inputs]
        f(*leaves).backward(g, create_graph=True)
        total = g.sum() * 0.0  # depends on g also where no gradient does
        for x, h in zip(leaves, hs, strict=True):
            if x.grad is not None:
                total = total + (x.grad * h).sum()
            x.grad = None
        return total

    gradient_of_f.__name__ = f"second order of {f.__name__}"
    return gradient_of_f


def _named(f: Function, xs: Sequence[np.ndarray]) -> Function:
    """`f` under the name of the op that made its result, where it has no name of its own."""
    name = getattr(f, "__name__", "<lambda>")
    y = f(*[Tensor(x, requires_grad=True) for x in xs])
    if y.dtype != np.float64:
        raise AssertionError(f"gradcheck: {name} made {y.dtype} from float64")
    if name == "<lambda>" and y.node is not None:
        name = y.node.op.name

    def named(*inputs: Tensor) -> Tensor:
        return f(*inputs)

    named.__name__ = name
    return named

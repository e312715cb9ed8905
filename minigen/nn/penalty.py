"""Penalties on the slope of a network by its input: gradients inside a loss."""

from collections.abc import Callable
from typing import Any

from minigen.autograd import Tensor, grad
from minigen.backend import Array

Network = Callable[[Any], Tensor]  # x (N, ...) -> (M,), one answer for each N / M rows of x


def squared_slopes(network: Network, x: Array) -> Tensor:
    """|d y_m / d x|^2 of every answer y_m, over all numbers of the rows that it is an answer to.

        y_m = network(x)_m,   s_m = sum over all rows, pixels and channels of (d y_m / d x)^2

    The gradient of sum_m y_m is that of every y_m at once, as each has rows of its own: this holds
    for networks without batch norm. The result can be differentiated by the network's parameters.

    Shapes: x (N, ...) -> (M,).
    Raises: ValueError where the answers are not (M,) with M that divides N.
    """
    at = Tensor(x, requires_grad=True)
    y = network(at)
    if y.ndim != 1 or len(x) % len(y):
        raise ValueError(
            f"squared_slopes: {len(x)} rows have answers {y.shape}, expected (M,) with M dividing N"
        )
    (slope,) = grad(y.sum(), [at], create_graph=True)
    slope = slope.reshape(len(y), -1)  # (N, ...) -> (M, numbers of a pack)
    return (slope * slope).sum(axis=1)


def r1_penalty(network: Network, x: Array, gamma: float = 10.0) -> Tensor:
    """gamma / 2 E |d D(x) / d x|^2 over real x: pulls D to be flat where the data are.

    Where p_G = p_data, any slope of D would drive G away again; R1 makes that point attract.

    Shapes: x (N, ...) -> a scalar.
    Source: Mescheder, Geiger and Nowozin, Which Training Methods for GANs do actually Converge?,
    2018, eq. 9, arXiv 1801.04406.
    """
    return squared_slopes(network, x).mean() * (gamma / 2)

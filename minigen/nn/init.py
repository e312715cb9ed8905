"""Initial weights: each function says which variance it keeps.

With n_in inputs of mean square q summed by weights of variance s^2, an output has variance n_in s^2
q. So s^2 = 1 / n_in passes a signal on at its size, and a deep network starts with signals that
neither die out nor explode.

Shapes: the last axis of a weight is its outputs, all axes before are its inputs: Linear (in, out),
Conv2d (KH, KW, C, O). Arrays are float32, drawn in float64 and rounded.
"""

import math
from typing import TypeVar

import numpy as np

from minigen.nn.module import Module

M = TypeVar("M", bound=Module)


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """(inputs that one output sums, outputs that one input reaches): of (KH, KW, C, O) these are KH
    KW C and KH KW O.

    >>> fans((3, 3, 16, 32))
    (144, 288)
    """
    if len(shape) < 2:
        raise ValueError(f"fans: a weight has at least 2 axes, got the shape {shape}")
    window = math.prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


def normal(shape: tuple[int, ...], std: float, *, rng: np.random.Generator) -> np.ndarray:
    """Variance std^2: for embeddings, which are looked up, not summed; there is none to keep."""
    return (std * rng.standard_normal(shape)).astype(np.float32)


def lecun_normal(shape: tuple[int, ...], *, rng: np.random.Generator) -> np.ndarray:
    """Variance 1 / n_in: a linear layer's outputs keep the mean square of its inputs.

    Source: LeCun, Bottou, Orr and Müller, Efficient BackProp, 1998, equation 16.
    """
    return normal(shape, fans(shape)[0] ** -0.5, rng=rng)


def he_normal(shape: tuple[int, ...], *, rng: np.random.Generator) -> np.ndarray:
    """Variance 2 / n_in: a linear layer followed by relu keeps the mean square, as relu halves it.

    Source: He, Zhang, Ren and Sun, 2015, equation 10, arXiv 1502.01852.
    """
    return normal(shape, (2 / fans(shape)[0]) ** 0.5, rng=rng)


def xavier_uniform(shape: tuple[int, ...], *, rng: np.random.Generator) -> np.ndarray:
    """Variance 2 / (n_in + n_out), uniform: keeps that of signals and of gradients if n_in = n_out.

    Else it lies between 1 / n_in, which keeps the signals', and 1 / n_out, the gradients'.

    Source: Glorot and Bengio, 2010, equation 16.
    """
    bound = math.sqrt(6 / sum(fans(shape)))
    return rng.uniform(-bound, bound, shape).astype(np.float32)


def orthogonal(shape: tuple[int, ...], *, rng: np.random.Generator) -> np.ndarray:
    """Orthonormal columns or rows, whichever are fewer, of the (n_in, outputs) matrix.

    A layer with outputs >= n_in keeps the length of every input exactly.

    Source: Saxe, McClelland and Ganguli, 2014, arXiv 1312.6120.
    """
    rows, columns = math.prod(shape[:-1]), shape[-1]
    q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    q = q * np.sign(np.diag(r))  # without this, the draw is not uniform over rotations
    return (q if rows >= columns else q.T).reshape(shape).astype(np.float32)


def zeroed(module: M) -> M:
    """The module with all its parameters 0: for the last layer of a residual branch.

    The branch then starts as nothing, and the block as its skip.

    Source: Goyal et al., 2017, section 5.1, arXiv 1706.02677.
    """
    for parameter in module.parameters():
        parameter.data[...] = 0
    return module

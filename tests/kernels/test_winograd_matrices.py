"""Winograd's transforms over fractions, where nothing is rounded: they convolve, and exactly so.

The transforms are the functions that the kernels compile, here as plain Python, applied to the unit
vectors.
"""

from fractions import Fraction

import numpy as np
import pytest

from minigen.kernels.conv2d.winograd import TRANSFORMS

POINTS = {2: [0, 1, -1], 4: [0, 1, -1, 2, -2]}  # and infinity
both_sizes = pytest.mark.parametrize("m", [2, 4])


def matrix(function, columns):
    """The matrix of a transform: its columns are what it makes of the unit vectors.

    The sixths and quarters of the filter's transform are numbers of 53 bits in the code.
    """
    plain = getattr(function, "py_func", function)
    images = [plain(*unit) for unit in np.vectorize(Fraction)(np.eye(columns, dtype=int))]
    return np.vectorize(lambda x: Fraction(x).limit_denominator(24))(np.array(images).T)


def transforms(m):
    """A^T (m, a), G (a, 3), B^T (a, a), as the kernels have them."""
    code, a = TRANSFORMS[m], m + 2
    return matrix(code.output, a), matrix(code.taps, 3), matrix(code.data, a)


def polynomial(roots):
    """Coefficients of prod (t - root), constant first."""
    product = [Fraction(1)]
    for root in roots:
        product = [low - root * high for low, high in zip([0, *product], [*product, 0])]
    return product


def from_points(m):
    """The three matrices by the derivation, docs/derivations/winograd.md."""
    A, filters, data = [], [], []
    for p in POINTS[m]:
        others = [q for q in POINTS[m] if q != p]
        scale = np.prod([Fraction(p - q) for q in others])
        A.append([p**i for i in range(m)])
        filters.append([p**j / scale for j in range(3)])
        data.append([*polynomial(others), 0])
    A.append([0] * (m - 1) + [1])
    filters.append([0, 0, 1])
    data.append(polynomial(POINTS[m]))
    return np.array(A).T, np.array(filters), np.array(data)


@both_sizes
def test_the_transforms_convolve_exactly(m):
    A, filters, data = transforms(m)
    rng = np.random.default_rng(m)
    for _ in range(20):
        x, w = (np.vectorize(Fraction)(rng.integers(-99, 99, k), 7) for k in (m + 2, 3))
        y = A @ ((filters @ w) * (data @ x))
        assert y.tolist() == [sum(w * x[i : i + 3]) for i in range(m)]


@both_sizes
def test_two_dimensions_are_one_dimension_twice(m):
    A, filters, data = transforms(m)
    rng = np.random.default_rng(m)
    x, w = (np.vectorize(Fraction)(rng.integers(-99, 99, (k, k))) for k in (m + 2, 3))
    y = A @ ((filters @ w @ filters.T) * (data @ x @ data.T)) @ A.T
    patches = np.lib.stride_tricks.sliding_window_view(x, (3, 3))
    assert (y == (patches * w).sum(axis=(2, 3))).all()


@both_sizes
def test_they_are_those_of_the_points(m):
    """Up to signs: those of two factors may change together. So the products are compared."""
    derived, kept = from_points(m), transforms(m)
    assert all((abs(ours) == abs(theirs)).all() for ours, theirs in zip(kept, derived))
    ours, theirs = (np.einsum("ik,kj,kn->kijn", *of) for of in (kept, derived))
    assert (ours == theirs).all()


@both_sizes
def test_the_gradients_transforms_are_transposes(m):
    (A, filters, data), code = transforms(m), TRANSFORMS[m]
    assert (matrix(code.output_transposed, m) == A.T).all()
    assert (matrix(code.taps_transposed, m + 2) == filters.T).all()
    assert (matrix(code.data_transposed, m + 2) == data.T).all()


@both_sizes
def test_infinity_is_needed_for_the_last_output_alone(m):
    A, filters, data = transforms(m)
    filters[-1] = 0
    x, w = np.arange(1, m + 3), np.arange(1, 4)
    y = A @ ((filters @ w) * (data @ x))
    assert y[-1] != sum(w * x[m - 1 : m + 2])
    assert y[:-1].tolist() == [sum(w * x[i : i + 3]) for i in range(m - 1)]

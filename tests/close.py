"""The one comparison of numbers in the tests."""

import numpy as np


def assert_close(actual: np.ndarray, expected: np.ndarray, terms: int = 1) -> None:
    """Same kind of array, shape and dtype, and everywhere |actual - expected| <= tolerance.

    tolerance = 8 * eps(dtype) * terms * max(1, largest |expected|), where `terms` is about the
    length of the longest sum behind an element. A NaN fails, and the expected ones must be finite.
    """
    assert type(actual) is type(expected)
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    assert np.isfinite(expected).all()
    largest = max(1.0, float(np.abs(expected).max(initial=0.0)))
    tolerance = 8 * float(np.finfo(expected.dtype).eps) * terms * largest
    error = np.abs(actual - expected).max(initial=0.0)
    if not error <= tolerance:
        raise AssertionError(f"largest error {error:.3g}, allowed {tolerance:.3g}")

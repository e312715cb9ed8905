"""The CUDA rungs of silu, silu_grad and gelu, at sizes around a pack, a block and a grid."""

import math

import numpy as np
import pytest
from close import assert_close
from cuda_rungs import WHERE, launch

from minigen.kernels import elements
from minigen.kernels.cpu import run
from minigen.kernels.elements import vector_of

SIZES = [0, 1, 3, 4, 255, 256, 257, 1021, 1024, 2055]
EACH_SIZE = pytest.mark.parametrize("n", SIZES)
EACH_ORDER = pytest.mark.parametrize("where", WHERE)


@pytest.fixture(autouse=True)
def a_grid_of_one_block(monkeypatch):
    monkeypatch.setattr(elements, "BLOCKS", 1)


def example(n, rng):
    """x and g; x goes to where exp overflows float32 and to where erfc is nearly 0."""
    x = np.concatenate([[12, 100, -100, -12, 0], 3 * rng.standard_normal(n)])[:n]
    return x.astype(np.float32), rng.standard_normal(n).astype(np.float32)


def silu_slope(x):
    s = 1 / (1 + np.exp(-x))
    return s * (1 + x * (1 - s))


def Phi(x):  # noqa: N802
    return np.array([0.5 * math.erfc(-a / math.sqrt(2)) for a in x])


def gelu_slope(x, approximate):
    if approximate == "none":
        return Phi(x) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    root = math.sqrt(2 / math.pi)
    t = np.tanh(root * (x + 0.044715 * x**3))
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * root * (1 + 3 * 0.044715 * x * x)


def gelu(x, approximate):
    if approximate == "none":
        return x * Phi(x)
    return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


@EACH_SIZE
@EACH_ORDER
def test_silu(n, where, rng):
    x, g = example(n, rng)
    x64 = x.astype(float)
    y, (gx,) = launch(where, "silu/k1_elementwise", [x], g)
    assert_close(y, (x64 / (1 + np.exp(-x64))).astype(np.float32))
    assert_close(gx, (g * silu_slope(x64)).astype(np.float32))
    np.testing.assert_array_equal(launch(where, "silu_grad/k1_elementwise", [g, x]), gx)


@EACH_SIZE
@EACH_ORDER
@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu(n, where, approximate, rng):
    x, g = example(n, rng)
    x64 = x.astype(float)
    y, (gx,) = launch(where, "gelu/k1_elementwise", [x], g, approximate=approximate)
    assert_close(y, gelu(x64, approximate).astype(np.float32))
    assert_close(gx, (g * gelu_slope(x64, approximate)).astype(np.float32), 4)


def test_views_and_arrays_at_an_odd_address_are_read_as_they_are(rng):
    a = rng.standard_normal(1000).astype(np.float32)
    for view in (a[1:], a[::-1], a.reshape(10, 100).T, a[:1]):
        assert_close(run("silu/k1_elementwise", view), run("silu/k1_elementwise", view.copy()))
    assert vector_of(4, a[1:]) == vector_of(4, a, a[2:]) == vector_of(3, a) == 1
    assert vector_of(8, a, a[4:]) == 4


def test_what_does_not_fit_is_refused():
    x = np.zeros(3, np.float32)
    with pytest.raises(ValueError, match="shapes do not fit"):
        run("silu_grad/k1_elementwise", x, x[:2])
    with pytest.raises(ValueError, match='neither "none" nor "tanh"'):
        run("gelu/k1_elementwise", x, approximate="erf")
    with pytest.raises(ValueError, match="takes float32, got float64"):
        run("silu/k1_elementwise", x.astype(float))

"""Every CUDA rung of matmul, at sizes around its tiles, in several orders of blocks and threads."""

import importlib

import numpy as np
import pytest
from close import assert_close
from cuda_rungs import WHERE, launch, rungs_of
from rounding import choices, rounded

from minigen import Tensor
from minigen.backend import use_kernels
from minigen.kernels.cpu import emulated
from minigen.kernels.matmul import shapes
from minigen.kernels.precision import use_precision

# M, N, K around tiles of 16, 8 x 32, 64 and 128 x 64, 8 to 32 deep; multiples of four and others
SIZES = [
    (1, 1, 1),
    (16, 16, 16),
    (33, 7, 40),
    (2, 65, 31),
    (65, 64, 65),
    (128, 68, 9),
    (131, 66, 36),
]
WITH_PARTS = ["k5_warp_tile", "k6_mma"]  # which cut long sums, and take a bias
every_rung = pytest.mark.parametrize(("rung", "precision"), choices(rungs_of("matmul")))


def arrays(rng, *all_shapes):
    return [rng.standard_normal(shape, np.float32) for shape in all_shapes]


def exact(a, b, precision="fp32", bias=0):
    """In float64, of the rounded numbers."""
    a, b = rounded(a, precision), rounded(b, precision)
    return (a.astype(float) @ b + bias).astype(np.float32)


def module_of(rung):
    return importlib.import_module(f"minigen.kernels.matmul.{rung}")


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("size", SIZES, ids=str)
@every_rung
def test_rung_multiplies(rung, precision, size, where, rng):
    M, N, K = size
    a, b = arrays(rng, (M, K), (K, N))
    with use_precision(precision):
        y = launch(where, f"matmul/{rung}", [a, b])
    assert_close(y, exact(a, b, precision), K)


@pytest.mark.parametrize(
    ("of_a", "of_b"),
    [
        ((2, 3, 17, 18), (18, 5)),
        ((2, 3, 17, 18), (2, 3, 18, 5)),
        ((17, 18), (3, 18, 5)),  # the same a for each b: bilinear upsampling
        ((2, 1, 3, 4), (3, 4, 5)),
    ],
)
@every_rung
def test_leading_axes(rung, precision, of_a, of_b, rng):
    a, b = arrays(rng, of_a, of_b)
    with use_precision(precision):
        y = launch(2, f"matmul/{rung}", [a, b])
    assert_close(y, exact(a, b, precision), 18)


@pytest.mark.parametrize("size", [(6, 7, 5), (8, 12, 20), (70, 33, 35)], ids=str)
@every_rung
def test_transposed_views(rung, precision, size, rng):
    M, N, K = size
    a, b = (x.mT for x in arrays(rng, (2, K, M), (2, N, K)))
    with use_precision(precision):
        for left, right in [(a, b), (a, b.copy()), (a.copy(), b), (a[0], b[1]), (a[:, ::2], b)]:
            y = launch(3, f"matmul/{rung}", [left, right])
            assert_close(y, exact(left, right, precision), K)


@pytest.mark.parametrize("rung", rungs_of("matmul"))
def test_more_products_than_a_grid_counts(rung, rng, monkeypatch):
    for module in (module_of(rung), shapes):
        monkeypatch.setattr(module, "MOST", 2, raising=False)
    a, b = arrays(rng, (5, 3, 4), (5, 4, 6))
    precision = "bf16" if rung.endswith("mma") else "fp32"
    with use_precision(precision):
        assert_close(launch(0, f"matmul/{rung}", [a, b]), exact(a, b, precision), 4)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize(("B", "M", "N", "K"), [(1, 3, 5, 600), (1, 66, 8, 777), (2, 2, 3, 1030)])
@pytest.mark.parametrize("rung", WITH_PARTS)
def test_long_sums_are_cut_into_parts(rung, B, M, N, K, where, rng):
    a, b = arrays(rng, (B, M, K), (B, K, N))
    precision = "fp16" if rung.endswith("mma") else "fp32"
    with use_precision(precision):
        y = launch(where, f"matmul/{rung}", [a, b])
    assert_close(y, exact(a, b, precision), K)


@pytest.mark.parametrize(("tiles", "parts"), [(1, 4), (64, 4), (128, 2), (129, 1), (1000, 1)])
def test_parts_fill_a_gpu_and_are_not_too_short(tiles, parts):
    assert shapes.parts_of(tiles, 4 * shapes.LEAST + 3) == parts


@pytest.mark.parametrize(("M", "N", "K"), [(3, 6, 5), (3, 8, 8), (130, 67, 20), (4, 5, 520)])
@pytest.mark.parametrize("rung", WITH_PARTS)
def test_bias_is_added_once(rung, M, N, K, rng):
    a, b, bias = arrays(rng, (M, K), (K, N), (N,))
    precision = "tf32" if rung.endswith("mma") else "fp32"
    with emulated(2), use_precision(precision):
        y = module_of(rung).product(a, b, bias)
    assert_close(y, exact(a, b, precision, bias), K)


@pytest.mark.parametrize("where", [0, 3])
@pytest.mark.parametrize("size", [(1, 1, 1), (129, 127, 33), (128, 130, 140)], ids=str)
@pytest.mark.parametrize("precision", ["fp16", "bf16", "tf32"])
def test_large_tiles_of_mma(precision, size, where, rng, monkeypatch):
    M, N, K = size
    monkeypatch.setattr(module_of("k6_mma"), "FULL", 2)
    a, b = arrays(rng, (M, K), (K, N))
    with use_precision(precision):
        y = launch(where, "matmul/k6_mma", [a, b])
    assert_close(y, exact(a, b, precision), K)


def test_an_array_that_starts_anywhere_is_moved_to_where_four_numbers_can_be_read():
    a = np.arange(33, dtype=np.float32)[1:].reshape(1, 4, 8)
    for x in (a, a.mT):
        lying, by_rows = shapes.by_lines(x)
        assert shapes.address(lying) % 16 == 0
        np.testing.assert_array_equal(lying if by_rows else lying.mT, x)


@every_rung
def test_gradients_are_products_too(rung, precision, rng):
    a, b, g = arrays(rng, (2, 9, 6), (6, 5), (2, 9, 5))
    left, right = Tensor(a, requires_grad=True), Tensor(b, requires_grad=True)
    with emulated() as launches, use_precision(precision), use_kernels(matmul=rung):
        (left @ right).backward(Tensor(g))
    assert [name for name, *_ in launches].count("matmul") == 3
    assert_close(left.grad.data, exact(g, b.T, precision), 5)
    assert_close(right.grad.data, exact(a.reshape(18, 6).T, g.reshape(18, 5), precision), 18)


@pytest.mark.parametrize(
    ("of_a", "of_b", "reason"),
    [
        ((2,), (2, 3), "the shapes do not fit"),
        ((3, 2), (3, 2), "the shapes do not fit"),
        ((2, 3, 4), (3, 4, 5), "the leading axes do not fit"),
        ((0, 2), (2, 3), "an axis is empty"),
        ((1, 1), (1, 1048561), "b has more columns than a grid has blocks for"),
    ],
)
@pytest.mark.parametrize("rung", rungs_of("matmul"))
def test_what_a_rung_refuses(rung, of_a, of_b, reason):
    a, b = (np.broadcast_to(np.float32(0), shape) for shape in (of_a, of_b))
    with emulated():
        assert module_of(rung).supports(a, b) == reason


def test_tensor_cores_wait_for_permission():
    a = np.ones((2, 2), np.float32)
    reason = "it rounds what it multiplies, and the precision is fp32"
    with emulated():
        assert module_of("k6_mma").supports(a, a) == reason
        with use_precision("bf16"):
            assert module_of("k6_mma").supports(a, a) is None


def test_tensor_cores_of_bf16_came_with_ampere(monkeypatch):
    a_cupy_array = object()
    with use_precision("bf16"):
        for capability, reason in [
            ((7, 5), "it needs a GPU of compute capability 8.0 or more"),
            ((8, 0), None),
        ]:
            monkeypatch.setattr(module_of("k6_mma").gpu, "capability", lambda c=capability: c)
            assert module_of("k6_mma").may_round(a_cupy_array) == reason

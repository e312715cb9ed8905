"""mg_ptx.h, one instruction at a time, and half, bfloat16 and tf32 for every number they have."""

from pathlib import Path

import numpy as np
import pytest
from rounding import rounded

from minigen.kernels.cpu import EmulationError, emulated
from minigen.kernels.launch import CudaFile

SOURCE = CudaFile(Path(__file__).with_name("tensor_cores.cu"))
WHERE = [0, 1, 2, pytest.param("gpu", marks=pytest.mark.gpu)]
everywhere = pytest.mark.parametrize("where", WHERE)


def launch(where, kernel, *arguments, threads=32, blocks=1):
    """Changes the arrays among the arguments."""
    if where != "gpu":
        with emulated(where):
            return SOURCE.launch(kernel, (blocks,), (threads,), *arguments)
    cupy = pytest.importorskip("cupy")
    there = [cupy.asarray(a) if isinstance(a, np.ndarray) else a for a in arguments]
    SOURCE.launch(kernel, (blocks,), (threads,), *there)
    for a, b in zip(arguments, there):
        if isinstance(a, np.ndarray):
            a[...] = cupy.asnumpy(b)


def each(where, kernel, x, dtype):
    """The kernel for each number of x."""
    y = np.zeros(x.shape, dtype)
    launch(where, kernel, x, y, x.size, threads=256, blocks=-(-x.size // 256))
    return y


def as_bfloat16(x):
    return (x.view(np.uint32) >> 16).astype(np.uint16)


# ------------------------------------------------------------------------------- products


@everywhere
@pytest.mark.parametrize(
    ("kernel", "K", "stored"),
    [
        ("mma_f16", 16, lambda x: x.astype(np.float16)),
        ("mma_bf16", 16, as_bfloat16),
        ("mma_tf32", 8, lambda x: x),
    ],
    ids=["f16", "bf16", "tf32"],
)
def test_mma_adds_a_product(kernel, K, stored, where, rng):
    """Small whole numbers: every sum is exact, in every order."""
    a, b, d = (rng.integers(-9, 10, s).astype(np.float32) for s in ((16, K), (K, 8), (16, 8)))
    expected = d + a @ b
    launch(where, kernel, stored(a), stored(b), d)
    np.testing.assert_array_equal(d, expected)


def test_mma_looks_at_ten_bits_of_a_tf32():
    a, b, d = np.zeros((16, 8), "f"), np.eye(8, dtype="f"), np.zeros((16, 8), "f")
    a[0, 0], a[15, 7] = 1 + 2**-10 + 2**-11, -1 - 2**-23
    launch(0, "mma_tf32", a, b, d)
    assert (d[0, 0], d[15, 7]) == (1 + 2**-10, -1)


@everywhere
@pytest.mark.parametrize("transposed", [False, True])
def test_ldmatrix_deals_out_four_matrices(transposed, where):
    x = np.arange(4 * 8 * 8, dtype=np.uint16).reshape(4, 8, 8)
    r = np.zeros((32, 4), np.uint32)
    launch(where, "load_matrices", x, r, transposed)
    got = r.view(np.uint16).reshape(8, 4, 4, 2)  # g, t, matrix, which
    expected = (x.mT if transposed else x).reshape(4, 8, 4, 2)  # matrix, g, t, which
    np.testing.assert_array_equal(got, expected.transpose(1, 2, 0, 3))


def test_ldmatrix_needs_an_aligned_row():
    r = np.zeros(4, np.uint32)
    with pytest.raises(EmulationError, match="ldmatrix needs an address that is a multiple of 16"):
        launch(0, "load_matrices_at", r, 8)


# --------------------------------------------------------------------------------- copies


@pytest.mark.parametrize("commit_last", [False, True])
@pytest.mark.parametrize("open_groups", [0, 1, 2, 3])
def test_a_copy_is_there_after_its_wait_and_nan_before(open_groups, commit_last, rng):
    """open_groups 3: it never waits. What is not committed is in no group that a wait waits for."""
    x, y = rng.standard_normal((3, 32, 4), np.float32), np.zeros((3, 32, 4), np.float32)
    launch(2, "copy_groups", x, y, open_groups, commit_last)
    groups = 3 if commit_last else 2
    there = 0 if open_groups == 3 else groups - open_groups
    np.testing.assert_array_equal(y[:there], x[:there])
    assert np.isnan(y[there:]).all()


@everywhere
def test_every_copy_is_there_after_the_last_wait(where, rng):
    x, y = rng.standard_normal((3, 32, 4), np.float32), np.zeros((3, 32, 4), np.float32)
    launch(where, "copy_groups", x, y, 0, True)
    np.testing.assert_array_equal(y, x)


@everywhere
@pytest.mark.parametrize("some", [0, 5, 32])
def test_a_copy_of_nothing_is_zeros(some, where, rng):
    x, y = rng.standard_normal((32, 4), np.float32), np.ones((32, 4), np.float32)
    launch(where, "copy_some", x, y, some)
    np.testing.assert_array_equal(y, np.where(np.arange(32)[:, None] < some, x, 0))


def test_copies_of_a_kernel_that_did_not_wait_do_not_reach_the_next():
    x, y = np.ones((3, 32, 4), np.float32), np.zeros((3, 32, 4), np.float32)
    launch(0, "copy_groups", x, y, 3, True)
    launch(0, "copy_groups", 2 * x, y, 0, True)
    assert (y == 2).all()


def test_a_copy_needs_aligned_addresses():
    x, y = np.ones(132, np.float32), np.zeros(128, np.float32)
    with pytest.raises(EmulationError, match="needs addresses that are multiples of 16"):
        launch(0, "copy_from", x, y, 1)


# -------------------------------------------------------------------------------- numbers

ALL = np.arange(1 << 16, dtype=np.uint16)


def around_ties(values):
    """Of neighbours among finite values: what lies half way, and the floats on both sides of it."""
    values = np.unique(values[np.isfinite(values)].astype(np.float64))
    ties = ((values[1:] + values[:-1]) / 2).astype(np.float32)
    return np.concatenate([np.nextafter(ties, np.float32(-np.inf)), ties,
                           np.nextafter(ties, np.float32(np.inf))])  # fmt: skip


def strange():
    """Zeros, infinities, the largest float, the smallest ones, and numbers beyond a half's."""
    tiny, largest = np.float32(2**-149), np.finfo(np.float32).max
    beyond = [65504, 65519.996, 65520, 1e5, 2**-14, 2**-24, 2**-25, 2**-26, 2**-126]
    numbers = np.array([0, np.inf, largest, tiny, *beyond], np.float32)
    return np.concatenate([numbers, -numbers])


@everywhere
def test_every_half(where):
    halves = ALL.view(np.float16)
    wide = each(where, "from_half", halves, np.float32)
    np.testing.assert_array_equal(wide, halves.astype(np.float32))
    back, is_number = each(where, "to_half", wide, np.float16), ~np.isnan(halves)
    np.testing.assert_array_equal(back.view(np.uint16)[is_number], ALL[is_number])
    assert np.isnan(back[~is_number]).all()


@everywhere
def test_half_rounds_to_nearest_even(where, rng):
    x = np.concatenate([around_ties(ALL.view(np.float16)), strange(),
                        rng.standard_normal(5000, np.float32)])  # fmt: skip
    with np.errstate(over="ignore"):
        expected = x.astype(np.float16)
    got = each(where, "to_half", x, np.float16)
    np.testing.assert_array_equal(got.view(np.uint16), expected.view(np.uint16))


@everywhere
def test_every_bfloat16(where):
    expected = (ALL.astype(np.uint32) << 16).view(np.float32)
    wide = each(where, "from_bfloat16", ALL, np.float32)
    np.testing.assert_array_equal(wide, expected)
    back, is_number = each(where, "to_bfloat16", wide, np.uint16), ~np.isnan(expected)
    np.testing.assert_array_equal(back[is_number], ALL[is_number])
    assert (back[~is_number] & 0x7FFF > 0x7F80).all()


@everywhere
def test_bfloat16_rounds_to_nearest_even(where, rng):
    wide = (ALL.astype(np.uint32) << 16).view(np.float32)
    x = np.concatenate([around_ties(wide), rng.standard_normal(5000, np.float32)])
    got = each(where, "to_bfloat16", x, np.uint16)
    np.testing.assert_array_equal(got, as_bfloat16(rounded(x, "bf16")))


@everywhere
def test_tf32_rounds_a_tie_away_from_zero(where, rng):
    short = rng.integers(0, 0x3F800, 1000, np.uint32) << 13  # finite ones of all sizes
    x = np.concatenate([short, short + 0x1000, short + 0xFFF, short + 0x1001]).view(np.float32)
    x = np.concatenate([x, -x, rng.standard_normal(5000, np.float32)])
    got = each(where, "to_tf32", x, np.uint32)
    np.testing.assert_array_equal(got, rounded(x, "tf32").view(np.uint32))


def test_a_nan_stays_one_in_every_precision():
    x = np.array([0x7F800001, 0x7FFFFFFF, 0xFFFFFFFF], np.uint32).view(np.float32)
    assert np.isnan(each(0, "to_half", x, np.float16)).all()
    assert (each(0, "to_bfloat16", x, np.uint16) & 0x7FFF > 0x7F80).all()
    assert np.isnan(each(0, "to_tf32", x, np.uint32).view(np.float32)).all()

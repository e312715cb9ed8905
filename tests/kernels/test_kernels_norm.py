"""The compiled norms against the reference, in float64 and float32."""

import both
import numpy as np
import pytest
from close import assert_close

from minigen import ops, use_kernels
from minigen.backend import explain
from minigen.kernels import arrays, threads
from minigen.kernels.group_norm_silu import cpu_numba


def groups(f, num_groups):
    return lambda x, w, b: f(x, num_groups, w, b)


OPS = {"group_norm": ops.group_norm, "group_norm_silu": ops.group_norm_silu}
EACH_OP = pytest.mark.parametrize("op", OPS)
SHAPES = [  # one image, pixel, channel; lines of one pixel, of many, of all
    ((1, 1, 1, 1), 1),
    ((3, 1, 1, 4), 2),
    ((1, 7, 5, 1), 1),
    ((2, 3, 4), 4),
    ((5, 4, 4, 8), 2),
    ((4, 16, 16, 32), 8),
    ((3, 17, 19, 6), 3),
    ((2, 3, 3, 300), 4),
    ((6, 5), 1),
]


@pytest.fixture(autouse=True)
def few_elements_are_worth_a_thread(monkeypatch):
    monkeypatch.setattr(arrays, "GRAIN", 4)


def example(shape, rng, rows=""):
    """x, weight and bias; "w" and "b" in `rows` have a row for each image."""
    N, C = shape[0], shape[-1]
    sizes = [shape, *((N, C) if name in rows else (C,) for name in "wb")]
    return [rng.standard_normal(size) for size in sizes]


@EACH_OP
@pytest.mark.parametrize(("shape", "num_groups"), SHAPES)
def test_the_rung_is_the_reference_at_every_size(op, shape, num_groups, rng):
    xs = example(shape, rng)
    both.check(op, groups(OPS[op], num_groups), xs, rng, np.prod(shape[1:]) + shape[0])


@pytest.mark.parametrize("shape", [(1, 1), (2,), (3, 7), (5, 31), (2, 3, 32), (4, 33), (9, 2, 96)])
def test_layer_norm_is_the_reference_at_every_size(shape, rng):
    xs = [rng.standard_normal(size) for size in (shape, shape[-1:], shape[-1:])]
    both.check("layer_norm", ops.layer_norm, xs, rng, np.prod(shape))


def test_layer_norm_of_views_and_its_second_derivatives(rng):
    xs = [rng.standard_normal((6, 4, 10))[::-1, ::2, 1::3], np.ones(6)[::2], np.zeros(6)[::2]]
    g, names = rng.standard_normal((6, 1, 3)), ("cpu_numba", "reference")
    for a, e in zip(*(both.run("layer_norm", name, ops.layer_norm, xs, g) for name in names)):
        assert_close(*map(np.ascontiguousarray, (a, e)), 64)
    for a, e in zip(*(both.second_order("layer_norm", n, ops.layer_norm, xs) for n in names)):
        assert_close(a, e, 64)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_layer_norm_gives_the_same_bits_with_the_same_number_of_threads(n, rng):
    xs = [rng.standard_normal(size).astype(np.float32) for size in ((7, 11, 24), 24, 24)]
    with threads.use_threads(n):
        runs = [both.run("layer_norm", "cpu_numba", ops.layer_norm, xs, xs[0]) for _ in range(2)]
    assert [a.tobytes() for a in runs[0]] == [a.tobytes() for a in runs[1]]


def test_a_nan_stays_in_its_row_of_layer_norm(rng):
    x = rng.standard_normal((5, 8)).astype(np.float32)
    x[2, 3] = np.nan
    y, gx, gw, gb = both.run("layer_norm", "cpu_numba", ops.layer_norm, [x, x[0], x[1]], x[0])
    assert (
        np.isnan(y).all(1).tolist()
        == np.isnan(gx).all(1).tolist()
        == [False, False, True, False, False]
    )
    assert np.isfinite(y[[0, 1, 3, 4]]).all()
    assert np.isnan(gw).all()
    assert np.isfinite(gb).all()


@EACH_OP
@pytest.mark.parametrize("rows", ["w", "b", "wb"])
def test_rows_of_weight_and_bias_for_the_images(op, rows, rng):
    xs = example((3, 4, 5, 6), rng, rows)
    both.check(op, groups(OPS[op], 2), xs, rng, 60)


@EACH_OP
def test_far_from_zero_float32_keeps_its_digits(op, rng):
    x, w, b = (a.astype(np.float32) for a in example((2, 8, 8, 12), rng))
    x += 1000
    with use_kernels("reference"):
        exact = OPS[op](x.astype(np.float64), 3, w.astype(np.float64), b.astype(np.float64)).data
    with use_kernels("auto"):
        np.testing.assert_allclose(OPS[op](x, 3, w, b).data, exact, atol=2e-3)


@EACH_OP
def test_views_and_broadcast_gradients_are_read_as_they_are(op, rng):
    x, w, b = example((6, 4, 5, 8), rng, "w")
    views = [x.transpose(0, 2, 1, 3)[::-1, ::2], np.repeat(w, 2, axis=1)[:, ::2], b[::-1]]
    copies, g = [v.copy() for v in views], rng.standard_normal((6, 1, 1, 8))
    f = groups(OPS[op], 4)
    for actual, expected in zip(
        both.run(op, "cpu_numba", f, views, g), both.run(op, "reference", f, views, g)
    ):
        assert_close(*map(np.ascontiguousarray, (actual, expected)), 64)
    for view, copy in zip(views, copies):
        np.testing.assert_array_equal(view, copy)


@EACH_OP
def test_second_derivatives_are_those_of_the_reference(op, rng):
    xs, f = example((2, 3, 3, 4), rng, "w"), groups(OPS[op], 2)
    actual = both.second_order(op, "cpu_numba", f, xs)
    for a, e in zip(actual, both.second_order(op, "reference", f, xs)):
        assert_close(a, e, 256)


@EACH_OP
@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_same_bits_with_the_same_number_of_threads(op, n, rng):
    xs = [x.astype(np.float32) for x in example((7, 8, 8, 12), rng)]
    g, f = rng.standard_normal((7, 8, 8, 12)), groups(OPS[op], 3)
    with threads.use_threads(n):
        first, second = (both.run(op, "cpu_numba", f, xs, g) for _ in range(2))
    assert [a.tobytes() for a in first] == [a.tobytes() for a in second]


@EACH_OP
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_a_number_that_is_none_shows_in_its_group_alone(op, bad, rng):
    xs, f = example((3, 4, 4, 6), rng), groups(OPS[op], 2)
    xs[0][1, 2, 3, 4] = bad
    g = rng.standard_normal(xs[0].shape)
    actual, expected = (both.run(op, rung, f, xs, g) for rung in ("cpu_numba", "reference"))
    for a, e in zip(actual, expected):
        np.testing.assert_array_equal(np.isnan(a), np.isnan(e))
    assert np.isnan(actual[0][1, ..., 3:]).all()
    assert np.isfinite(actual[0][[0, 2]]).all()


@EACH_OP
def test_an_error_in_a_thread_reaches_the_caller(op, rng, monkeypatch):
    def broken(*arrays):
        raise ArithmeticError("a thread failed")

    monkeypatch.setattr(cpu_numba, "_forward", broken)
    with (
        threads.use_threads(2),
        use_kernels(**{op: "cpu_numba"}),
        pytest.raises(ArithmeticError, match="a thread failed"),
    ):
        groups(OPS[op], 2)(*example((4, 6, 6, 2), rng))


@EACH_OP
def test_what_does_not_fit_is_for_the_reference(op, rng):
    x, w, b = example((3, 4, 6), rng)
    how = {"num_groups": 2, "eps": 1e-5}
    with use_kernels("auto"):
        assert "cpu_numba" in explain(op, x, w, b, **how)
        assert "do not fit" in explain(op, x[:0], w, b, **how)
        assert "do not fit" in explain(op, x, w[:3], b, **how)
        assert "float32 or float64" in explain(
            op, *(a.astype(np.float16) for a in (x, w, b)), **how
        )

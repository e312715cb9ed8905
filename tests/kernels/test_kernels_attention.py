"""The compiled attention against the reference, in float64 and float32."""

import both
import numpy as np
import pytest
from close import assert_close

from minigen import ops, use_kernels
from minigen.backend import explain
from minigen.kernels import arrays, threads
from minigen.kernels.scaled_dot_product_attention import cpu_numba

OP = "scaled_dot_product_attention"
SHAPES = [  # heads, L, S, DH, DV: one of each; around a vector; few queries, few keys
    ((), 3, 4, 2, 5),
    ((1,), 1, 1, 1, 1),
    ((1, 1), 1, 7, 3, 2),
    ((2, 3), 5, 1, 4, 4),
    ((3, 2), 31, 14, 8, 8),
    ((2, 2), 32, 33, 5, 7),
    ((1, 4), 33, 64, 24, 24),
    ((2, 1), 64, 31, 3, 3),
    ((2, 2, 2), 7, 5, 4, 3),
]
MASKS = {  # of 3 pictures, 2 heads, 6 queries and 5 keys
    "keys": (3, 1, 1, 5),
    "scores": (6, 5),
    "all": (3, 2, 6, 5),
    "queries": (2, 6, 1),
    "one": (1, 1),
}


@pytest.fixture(autouse=True)
def few_elements_are_worth_a_thread(monkeypatch):
    monkeypatch.setattr(arrays, "GRAIN", 4)


def attend(**settings):
    return lambda q, k, v: ops.scaled_dot_product_attention(q, k, v, **settings)


def example(heads, L, S, DH, DV, rng):
    """q, k and v; with two or more axes of heads as views of (..., tokens, A, width)."""
    shapes = ((*heads, L, DH), (*heads, S, DH), (*heads, S, DV))
    xs = [rng.standard_normal(shape) for shape in shapes]
    if len(heads) < 2:
        return xs
    return [x.swapaxes(-2, -3).copy().swapaxes(-2, -3) for x in xs]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("is_causal", [False, True])
def test_the_rung_is_the_reference_at_every_size(shape, is_causal, rng):
    both.check(OP, attend(is_causal=is_causal), example(*shape, rng), rng, 64)


@pytest.mark.parametrize("size", [1 << 8, 1 << 11, 1 << 13])
@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("heads", [(1, 3), (2, 3)])
def test_pieces_of_pictures_heads_and_queries_fit_together(
    heads, size, is_causal, rng, monkeypatch
):
    monkeypatch.setattr(cpu_numba, "BYTES", size)
    both.check(OP, attend(is_causal=is_causal), example(heads, 37, 19, 4, 5, rng), rng, 64)


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("is_causal", [False, True])
def test_masks_of_every_shape_and_rows_that_see_nothing(name, is_causal, rng):
    mask = rng.random(MASKS[name]) < 0.6
    xs = example((3, 2), 6, 5, 4, 4, rng)
    both.check(OP, attend(mask=mask, is_causal=is_causal), xs, rng, 64)


def test_queries_that_may_look_at_nothing_get_zeros_and_give_none(rng):
    xs, mask = example((2, 2), 6, 5, 4, 4, rng), np.ones((6, 5), bool)
    mask[[1, 4]] = False
    y, gq, gk, gv = both.run(OP, "cpu_numba", attend(mask=mask), xs, np.ones(()))
    assert not y[..., [1, 4], :].any()
    assert not gq[..., [1, 4], :].any()
    assert np.isfinite(gk).all()
    assert np.isfinite(gv).all()


def test_keys_that_heads_share_get_the_sum_of_their_gradients(rng):
    xs = [rng.standard_normal(shape) for shape in ((2, 3, 6, 4), (1, 5, 4), (5, 3))]
    both.check(OP, attend(mask=rng.random((6, 5)) < 0.7), xs, rng, 64)


def test_views_and_broadcast_gradients_are_read_as_they_are(rng):
    q, k, v = (rng.standard_normal((2, 3, 8, 10)) for _ in range(3))
    views = [q[::-1, :, ::2, ::2], k.swapaxes(-1, -2)[..., :5], v[..., ::-1, :]]
    views[2] = np.concatenate([views[2], views[2][..., :2, :]], axis=-2)[..., ::3]
    copies, g = [x.copy() for x in views], rng.standard_normal((2, 3, 1, 1))
    for actual, expected in zip(
        both.run(OP, "cpu_numba", attend(), views, g), both.run(OP, "reference", attend(), views, g)
    ):
        assert_close(*map(np.ascontiguousarray, (actual, expected)), 64)
    for view, copy in zip(views, copies):
        np.testing.assert_array_equal(view, copy)


def test_the_heads_of_a_token_are_neighbours_in_the_output(rng):
    with use_kernels(scaled_dot_product_attention="cpu_numba"):
        y = attend()(*example((4, 2), 6, 5, 4, 3, rng)).data
    assert y.transpose(0, 2, 1, 3).flags.c_contiguous


def test_second_derivatives_are_those_of_the_reference(rng):
    xs = example((2, 2), 3, 4, 2, 2, rng)
    actual = both.second_order(OP, "cpu_numba", attend(), xs)
    for a, e in zip(actual, both.second_order(OP, "reference", attend(), xs)):
        assert_close(a, e, 64)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_same_bits_with_the_same_number_of_threads(n, rng):
    xs = [x.astype(np.float32) for x in example((5, 2), 33, 40, 8, 8, rng)]
    g = rng.standard_normal((5, 2, 33, 8))
    with threads.use_threads(n):
        first, second = (both.run(OP, "cpu_numba", attend(), xs, g) for _ in range(2))
    assert [a.tobytes() for a in first] == [a.tobytes() for a in second]


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_a_number_that_is_none_shows_where_it_does_in_the_reference(which, bad, rng):
    xs = example((2, 2), 33, 9, 4, 4, rng)
    xs[which][1, 0, 2, 3] = bad
    g = rng.standard_normal((2, 2, 33, 4))
    actual, expected = (both.run(OP, r, attend(), xs, g) for r in ("cpu_numba", "reference"))
    for a, e in zip(actual, expected):
        np.testing.assert_array_equal(np.isfinite(a), np.isfinite(e))
    assert not np.isfinite(actual[0][1, 0]).all()


def test_large_scores_do_not_overflow(rng):
    q, k, v = (x.astype(np.float32) for x in example((1, 2), 40, 12, 8, 4, rng))
    xs = [1000 * np.sign(q), 1000 * np.sign(k), v]  # scores of 1e6, all exact
    actual, expected = (
        both.run(OP, r, attend(), xs, np.ones(())) for r in ("cpu_numba", "reference")
    )
    assert_close(actual[0], np.ascontiguousarray(expected[0]), 12)
    assert all(np.isfinite(a).all() for a in actual)


def test_an_error_in_a_thread_reaches_the_caller(rng, monkeypatch):
    def broken(*arrays):
        raise ArithmeticError("a thread failed")

    monkeypatch.setattr(cpu_numba, "_softmax", broken)
    with (
        threads.use_threads(2),
        use_kernels(scaled_dot_product_attention="cpu_numba"),
        pytest.raises(ArithmeticError, match="a thread failed"),
    ):
        attend()(*example((4, 2), 6, 5, 4, 3, rng))


def test_what_does_not_fit_is_for_the_reference(rng):
    q, k, v = example((2, 2), 6, 5, 4, 3, rng)
    with use_kernels("auto"):
        assert "cpu_numba" in explain(OP, q, k, v)
        for bad in (
            (q[..., :3], k, v),
            (q, k[:, :, :4], v),
            (q[:0], k[:0], v[:0]),
            (q[:1], k, v[:0]),
        ):
            assert "do not fit" in explain(OP, *bad)
        assert "do not fit" in explain(OP, q, k, v, mask=np.ones((5, 6), bool))
        assert "no array of bool" in explain(OP, q, k, v, mask=np.ones((6, 5)))
        assert "do not fit" in explain(OP, q, k, v, mask=np.ones((3, 2, 2, 6, 5), bool))

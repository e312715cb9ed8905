"""Laws of the small layers, and what they say to wrong arguments."""

import numpy as np
import pytest

from minigen import Tensor, nn, ops


def rng():
    return np.random.default_rng(0)


# ---------------------------------------------------------------------------------------- dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean(p):
    y = nn.Dropout(p, rng=rng())(Tensor(np.ones((200, 200), np.float32))).data
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / (1 - p))}
    assert abs(y.mean() - 1) < 4 * (p / (1 - p) / y.size) ** 0.5


def test_dropout_in_use_is_the_identity():
    x = Tensor(np.ones((2, 3), np.float32))
    assert nn.Dropout(0.5, rng=rng()).eval()(x) is x
    assert nn.Dropout(0.0, rng=rng())(x) is x


def test_dropout_lets_the_gradient_through_where_it_lets_the_signal_through():
    x = Tensor(np.ones((20, 20), np.float32), requires_grad=True)
    y = nn.Dropout(0.3, rng=rng())(x)
    y.sum().backward()
    assert np.array_equal(x.grad.data, y.data)


def test_dropout_does_not_change_the_weights_drawn_after_it():
    one, other = rng(), rng()
    nn.Dropout(0.5, rng=one)
    assert one.random() == other.random()


@pytest.mark.parametrize("p", [-0.1, 1.0])
def test_dropout_refuses_what_is_no_probability(p):
    with pytest.raises(ValueError, match=f"p is {p}, expected 0 <= p < 1"):
        nn.Dropout(p, rng=rng())


# -------------------------------------------------------------------------------------- embedding


def test_embedding_sums_the_gradients_of_a_repeated_index():
    layer = nn.Embedding(4, 2, rng=rng())
    layer(np.array([1, 1, 3])).sum().backward()
    assert layer.weight.grad.data.tolist() == [[0, 0], [2, 2], [0, 0], [1, 1]]


@pytest.mark.parametrize("indices", [[4], [-1], [0.5]], ids=str)
def test_embedding_refuses_what_is_no_row(indices):
    with pytest.raises(IndexError, match=r"integers in 0 \.\.\. 3, got"):
        nn.Embedding(4, 2, rng=rng())(np.array(indices))


def test_timestep_embedding_is_its_formula():
    e = nn.timestep_embedding(np.array([0.0, 3.5, 900.0]), 6, max_period=100.0).data
    for n, t in enumerate((0.0, 3.5, 900.0)):
        for i in range(3):
            angle = t * 100.0 ** (-i / 3)
            np.testing.assert_allclose(e[n, [i, i + 3]], [np.cos(angle), np.sin(angle)], rtol=1e-9)


def test_timestep_embeddings_of_a_shift_differ_by_a_rotation():
    """The product of two depends on the distance of their times alone."""
    e = nn.timestep_embedding(np.arange(0.0, 100.0, 7.0), 16).data
    products = e @ e.T
    for shift in range(1, 5):
        np.testing.assert_allclose(np.diagonal(products, shift), products[0, shift], rtol=1e-9)


def test_timestep_embedding_takes_integers_and_keeps_the_type():
    integers = nn.timestep_embedding(np.array([1, 2]), 4)
    assert integers.dtype == np.float32
    assert np.array_equal(integers.data, nn.timestep_embedding(np.float32([1, 2]), 4).data)
    assert nn.timestep_embedding(np.array([1.0]), 4).dtype == np.float64


def test_timestep_embedding_refuses_an_odd_width():
    with pytest.raises(ValueError, match="width is 5, expected an even number"):
        nn.timestep_embedding(np.zeros(1), 5)


# ------------------------------------------------------------------------------- norms and AdaLN


def test_group_norm_refuses_groups_that_do_not_divide():
    with pytest.raises(ValueError, match="10 channels do not split into 4 groups"):
        nn.GroupNorm(4, 10)


@pytest.mark.parametrize("groups", [None, 2], ids=["layer", "group"])
def test_adaln_starts_as_the_plain_norm(groups):
    x = Tensor(rng().standard_normal((2, 3, 3, 4)))
    layer = nn.AdaLN(4, 5, groups, rng=rng()).astype(np.float64)
    plain = (nn.LayerNorm(4) if groups is None else nn.GroupNorm(groups, 4)).astype(np.float64)
    y = layer(x, Tensor(np.ones((2, 5))))
    np.testing.assert_allclose(y.data, plain(x).data, rtol=1e-12)


def test_silu_in_a_norm_is_silu_behind_it():
    x, e = Tensor(rng().standard_normal((2, 3, 3, 4))), Tensor(rng().standard_normal((2, 5)))
    for make, inputs in (
        (lambda **silu: nn.GroupNorm(2, 4, **silu), (x,)),
        (lambda **silu: nn.AdaLN(4, 5, 2, rng=rng(), **silu), (x, e)),
    ):
        plain, fused = (make(**silu).astype(np.float64) for silu in ({}, {"silu": True}))
        np.testing.assert_allclose(fused(*inputs).data, ops.silu(plain(*inputs)).data, rtol=1e-12)
    with pytest.raises(ValueError, match="AdaLN: silu follows a group norm only"):
        nn.AdaLN(4, 5, silu=True, rng=rng())


def test_adaln_scales_and_shifts_each_picture_by_its_own_embedding():
    x, e = Tensor(rng().standard_normal((2, 4, 3))), Tensor(np.array([[1.0], [-2.0]]))
    layer = nn.AdaLN(3, 1, rng=rng()).astype(np.float64)
    layer.scale.weight.data[:] = [[0.5, 1.0, 2.0]]
    layer.shift.weight.data[:] = [[1.0, 0.0, -1.0]]
    z = nn.LayerNorm(3).astype(np.float64)(x).data
    for n, value in enumerate((1.0, -2.0)):
        expected = z[n] * (1 + value * np.array([0.5, 1, 2])) + value * np.array([1, 0, -1])
        np.testing.assert_allclose(layer(x, e).data[n], expected, rtol=1e-12)


def test_batch_norm_in_use_judges_each_picture_by_itself():
    layer, x = nn.BatchNorm2d(3).eval(), rng().standard_normal((4, 2, 2, 3), np.float32)
    assert np.array_equal(layer(x).data[:1], layer(x[:1]).data)
    assert not np.array_equal(layer.train()(x).data[:1], layer(x[:1]).data)


# -------------------------------------------------------------------------------------------- MLP


def test_an_mlp_is_linear_layers_with_silu_between_them():
    mlp, x = nn.MLP((3, 5, 4, 2), rng=rng()), Tensor(np.ones((6, 7, 3), np.float32))
    first, second, third = mlp.layers
    assert np.array_equal(mlp(x).data, third(ops.silu(second(ops.silu(first(x))))).data)
    assert [p.shape for p in mlp.parameters()] == [(3, 5), (5,), (5, 4), (4,), (4, 2), (2,)]

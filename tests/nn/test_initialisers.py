"""Each initialiser keeps the variance that its docstring states."""

import numpy as np
import pytest

from minigen import nn
from minigen.nn import init

SHAPES = [(256, 64), (64, 256), (3, 3, 32, 64), (128, 128)]
LAWS = {
    "lecun_normal": lambda n_in, n_out: 1 / n_in,
    "he_normal": lambda n_in, n_out: 2 / n_in,
    "xavier_uniform": lambda n_in, n_out: 2 / (n_in + n_out),
}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", LAWS)
def test_weights_have_the_stated_variance(name, shape):
    w = getattr(init, name)(shape, rng=np.random.default_rng(0))
    expected = LAWS[name](*init.fans(shape))
    spread = expected * (2 / w.size) ** 0.5  # of a variance estimated from w.size normal numbers
    assert w.dtype == np.float32
    assert abs(w.var() - expected) < 4 * spread
    assert abs(w.mean()) < 4 * (expected / w.size) ** 0.5


def forward(initialiser, activation, depth=12, width=256):
    """Mean square of the signal after `depth` layers, over that at the start."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((256, width))
    start = np.square(activation(x)).mean()
    for _ in range(depth):
        x = activation(x) @ initialiser((width, width), rng=rng)
    return np.square(activation(x)).mean() / start


@pytest.mark.parametrize(
    ("initialiser", "activation"),
    [
        (init.lecun_normal, lambda x: x),
        (init.he_normal, lambda x: np.maximum(x, 0)),
        (init.xavier_uniform, lambda x: x),
        (init.orthogonal, lambda x: x),
    ],
    ids=["lecun-linear", "he-relu", "xavier-linear", "orthogonal-linear"],
)
def test_the_signal_keeps_its_size_through_twelve_layers(initialiser, activation):
    assert 0.6 < forward(initialiser, activation) < 1.6


def test_the_wrong_initialiser_for_relu_loses_the_signal():
    assert forward(init.lecun_normal, lambda x: np.maximum(x, 0)) < 0.01


@pytest.mark.parametrize("shape", [(32, 64), (2, 2, 8, 40), (48, 48)], ids=str)
def test_orthogonal_layers_keep_every_length(shape):
    rng = np.random.default_rng(0)
    w = init.orthogonal(shape, rng=rng).reshape(-1, shape[-1])
    x = rng.standard_normal((10, len(w))).astype(np.float32)
    np.testing.assert_allclose(np.linalg.norm(x @ w, axis=1), np.linalg.norm(x, axis=1), rtol=1e-5)


def test_fans_count_the_window():
    assert init.fans((3, 5, 7, 11)) == (3 * 5 * 7, 3 * 5 * 11)
    with pytest.raises(ValueError, match=r"at least 2 axes, got the shape \(3,\)"):
        init.fans((3,))


LAYERS = {
    "linear": (lambda rng: nn.Linear(300, 200, rng=rng), (400, 300)),
    "conv2d": (lambda rng: nn.Conv2d(32, 64, 3, rng=rng), (4, 12, 12, 32)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_keep_the_mean_square_of_their_input(name):
    make, shape = LAYERS[name]
    rng = np.random.default_rng(0)
    y = make(rng)(3 * rng.standard_normal(shape, np.float32)).data
    assert abs(y.var() / 9 - 1) < 0.1


def test_zeroed_layers_give_zero_and_still_learn():
    layer = init.zeroed(nn.Linear(3, 2, rng=np.random.default_rng(0)))
    y = layer(np.ones((1, 3), np.float32))
    y.sum().backward()
    assert not y.data.any()
    assert layer.weight.grad.data.all()

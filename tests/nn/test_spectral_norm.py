"""SpectralNorm: the layer it makes is the layer with its weight over the SVD's largest value."""

import numpy as np
import pytest
from close import assert_close

from minigen import Tensor, nn
from minigen.gradcheck import gradcheck


def largest(weight):
    return np.linalg.svd(weight.reshape(-1, weight.shape[-1]), compute_uv=False)[0]


LAYERS = {
    "linear": (lambda rng: nn.Linear(7, 5, rng=rng), (4, 7)),
    "conv": (lambda rng: nn.Conv2d(3, 4, 3, stride=2, padding=1, rng=rng), (2, 6, 6, 3)),
    "no bias": (lambda rng: nn.Linear(7, 5, bias=False, rng=rng), (4, 7)),
}


@pytest.fixture(params=LAYERS)
def layer_and_x(request, rng):
    make, shape = LAYERS[request.param]
    layer = make(rng).astype(np.float64)
    if layer.bias is not None:
        layer.bias.data = rng.standard_normal(layer.bias.shape)
    return layer, rng.standard_normal(shape)


def test_the_weight_is_divided_by_the_largest_singular_value(layer_and_x, rng):
    layer, x = layer_and_x
    whole = layer(Tensor(x)).data
    shift = 0.0 if layer.bias is None else layer.bias.data
    expected = (whole - shift) / largest(layer.weight.data) + shift
    normed = nn.SpectralNorm(layer, steps=400, rng=rng)
    assert_close(normed(Tensor(x)).data, expected, terms=100)


def test_a_call_in_training_goes_on_with_the_power_method(rng):
    layer = nn.Linear(20, 20, rng=rng).astype(np.float64)
    normed, exact = nn.SpectralNorm(layer, steps=0, rng=rng), largest(layer.weight.data)
    x = Tensor(np.eye(20))
    errors = [abs(largest(normed(x).data) - 1) for _ in range(100)]  # y = W / sigma
    second = np.linalg.svd(layer.weight.data, compute_uv=False)[1]
    assert errors[-1] < 1e-3 < errors[0]
    rate = (errors[60] / errors[20]) ** (1 / 40)
    assert rate == pytest.approx((second / exact) ** 4, abs=0.02)


def test_in_use_nothing_changes(rng):
    normed = nn.SpectralNorm(nn.Linear(6, 6, rng=rng), steps=1, rng=rng).eval()
    x = Tensor(rng.standard_normal((3, 6)).astype(np.float32))
    first, u = normed(x).data, normed.u.numpy().copy()
    assert_close(normed(x).data, first)
    assert_close(normed.u.numpy(), u)


def test_gradients_are_those_of_the_weight_over_u_w_v(rng):
    normed = nn.SpectralNorm(nn.Linear(4, 3, rng=rng).astype(np.float64), rng=rng)
    u = normed.u.data.copy()
    v = normed._right()

    def by_hand(W, x):
        sigma = (Tensor(u).reshape(1, -1) @ W @ Tensor(v).reshape(-1, 1)).reshape(())
        return x @ W / sigma

    W, x = normed.layer.weight, rng.standard_normal((5, 4))
    gradcheck(by_hand, W.data, x, rng=rng, order=2)
    g = rng.standard_normal((5, 3))
    (normed.eval()(Tensor(x)) - normed.bias).backward(g)
    other = Tensor(W.data.copy(), requires_grad=True)
    by_hand(other, Tensor(x)).backward(g)
    assert_close(W.grad.data, other.grad.data, terms=30)


def test_two_calls_before_one_backward(rng):
    normed = nn.SpectralNorm(nn.Linear(4, 3, rng=rng), steps=1, rng=rng)
    x = Tensor(rng.standard_normal((5, 4)).astype(np.float32))
    (normed(x).sum() - normed(x).sum()).backward()
    assert np.isfinite(normed.layer.weight.grad.data).all()


def test_the_vector_is_saved_and_the_bias_is_taken_over(rng):
    normed = nn.SpectralNorm(nn.Linear(4, 3, rng=rng), rng=rng)
    assert sorted(normed.state_dict()) == ["bias", "layer.weight", "u"]

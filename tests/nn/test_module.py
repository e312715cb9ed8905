"""What a Module owns, saves, loads, moves and converts."""

import numpy as np
import pytest

from minigen import nn
from minigen.ops import silu


class Tied(nn.Module):
    """Two names for one weight, a buffer, a part, and a generator."""

    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        self.first = nn.Linear(3, 3, rng=rng)
        self.second = nn.Linear(3, 3, rng=rng)
        self.second.weight = self.first.weight
        self.count = nn.Buffer(np.zeros(2, np.float32))
        self.parts = nn.ModuleList([nn.LayerNorm(3), nn.Dropout(0.5, rng=rng)])

    def forward(self, x):
        for part in self.parts:
            x = part(self.second(self.first(x)))
        return x


NAMES = ["first.weight", "first.bias", "second.bias", "parts.0.weight", "parts.0.bias"]


def test_names_are_paths_and_a_tied_weight_has_one():
    model = Tied()
    assert [name for name, _ in model.named_parameters()] == NAMES
    assert [name for name, _ in model.named_buffers()] == ["count"]
    assert [name for name, _ in model.named_modules()] == [
        *("", "first", "second", "parts", "parts.0", "parts.1")
    ]


def test_state_round_trip_gives_the_same_output():
    one, other = Tied(0).eval(), Tied(1).eval()
    x = np.ones((2, 3), np.float32)
    assert not np.array_equal(one(x).data, other(x).data)
    other.load_state_dict(one.state_dict())
    assert np.array_equal(one(x).data, other(x).data)


def test_state_dict_is_a_copy():
    model = Tied()
    state = model.state_dict()
    state["first.weight"][:] = 7
    assert not (model.first.weight.data == 7).any()


def test_loading_names_all_faults_at_once_and_changes_nothing():
    model, state = Tied(0), Tied(1).state_dict()
    before = model.state_dict()
    del state["count"]
    state |= {"extra": np.zeros(1), "first.bias": np.zeros(4)}
    expected = (
        r"missing: count\. unexpected: extra\. of another shape: first.bias \(4,\), expected \(3,\)"
    )
    with pytest.raises(ValueError, match=f"load_state_dict of Tied: {expected}"):
        model.load_state_dict(state)
    assert all(np.array_equal(before[name], a) for name, a in model.state_dict().items())


def test_loading_loosely_takes_what_there_is():
    model = Tied()
    before = model.second.bias.data.copy()
    model.load_state_dict({"first.bias": np.full(3, 2.0), "extra": np.zeros(1)}, strict=False)
    assert (model.first.bias.data == 2).all()
    assert np.array_equal(model.second.bias.data, before)


def test_loading_loosely_still_refuses_another_shape():
    with pytest.raises(ValueError, match=r"first\.bias \(4,\), expected \(3,\)"):
        Tied().load_state_dict({"first.bias": np.zeros(4)}, strict=False)


def test_loading_keeps_dtype_and_identity():
    model = Tied()
    weight = model.first.weight
    model.load_state_dict({n: a.astype(np.float64) for n, a in model.state_dict().items()})
    assert model.first.weight is weight
    assert weight.dtype == np.float32


@pytest.mark.parametrize("change", [lambda m: m.to("cpu"), lambda m: m.astype(np.float64)])
def test_tied_weights_stay_tied(change):
    model = change(Tied())
    assert model.first.weight is model.second.weight
    assert [name for name, _ in model.named_parameters()] == NAMES


def test_the_gradient_of_a_tied_weight_sums_both_uses():
    model, x = Tied().eval().astype(np.float64), np.ones((1, 3))
    model.second(model.first(x)).sum().backward()
    tied = model.first.weight.grad.data
    model.zero_grad()
    model.second.weight = nn.Parameter(model.first.weight.data)
    model.second(model.first(x)).sum().backward()
    np.testing.assert_allclose(
        tied, model.first.weight.grad.data + model.second.weight.grad.data, rtol=1e-12
    )


def test_astype_makes_the_whole_module_compute_in_that_type():
    model = Tied().astype(np.float64)
    assert {a.dtype for a in model.state_dict().values()} == {np.dtype(np.float64)}
    assert model(np.ones((2, 3))).dtype == np.float64


def test_train_and_eval_reach_every_part():
    model = Tied()
    assert not any(module.training for module in model.eval().modules())
    assert all(module.training for module in model.train().modules())


def test_the_place_in_the_random_streams_can_be_restored():
    model, x = Tied(), np.ones((4, 3), np.float32)
    model(x)
    state = model.rng_state()
    expected = model(x).data
    other = Tied()
    other.load_rng_state(state)
    assert np.array_equal(other(x).data, expected)


def test_random_streams_of_another_model_are_refused():
    with pytest.raises(ValueError, match=r"load_rng_state: got \[\], expected \['parts.1.rng'\]"):
        Tied().load_rng_state({})


def test_sequential_applies_modules_and_functions_in_order():
    rng = np.random.default_rng(0)
    a, b = nn.Linear(2, 3, rng=rng), nn.Linear(3, 4, rng=rng)
    model, x = nn.Sequential(a, silu, b), np.ones((5, 2), np.float32)
    assert np.array_equal(model(x).data, b(silu(a(x))).data)
    assert [name for name, _ in model.named_parameters()] == [
        *("0.weight", "0.bias", "2.weight", "2.bias")
    ]


def test_module_list_is_a_list_of_parts():
    parts = [nn.LayerNorm(2), nn.LayerNorm(3)]
    modules = nn.ModuleList(parts)
    assert len(modules) == 2
    assert list(modules) == parts
    assert modules[-1] is parts[1]


def test_zero_grad_forgets_every_gradient():
    model = Tied().eval()
    model(np.ones((2, 3), np.float32)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())


def test_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match="ModuleList: forward is not written"):
        nn.ModuleList()(1)

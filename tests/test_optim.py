"""Optimisers against PyTorch 2.13.0 and against their laws, EMA and clipping."""

from pathlib import Path

import numpy as np
import pytest
from close import assert_close

from minigen import Tensor, nn
from minigen.nn import Parameter
from minigen.optim import (
    EMA,
    SGD,
    Adam,
    AdamW,
    Muon,
    clip_grad_norm,
    orthogonalise,
    split_matrices,
)

GOLDEN = Path(__file__).parent / "golden" / "nn_optimisers.npz"
OPTIMISERS = {
    "sgd": lambda p: SGD(p, lr=0.1),
    "sgd_momentum": lambda p: SGD(p, lr=0.1, momentum=0.9, weight_decay=0.02),
    "sgd_nesterov": lambda p: SGD(p, lr=0.1, momentum=0.8, nesterov=True, weight_decay=0.02),
    "adam": lambda p: Adam(p, lr=0.05, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.03),
    "adamw": lambda p: AdamW(p, lr=0.05, weight_decay=0.1),
}
EVERY = OPTIMISERS | {"muon": lambda p: Muon(p, lr=0.02, weight_decay=0.1)}
every_optimiser = pytest.mark.parametrize("name", EVERY)


def parameters(*shapes, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    return [Parameter(rng.standard_normal(shape).astype(dtype)) for shape in shapes]


def set_gradients(ps, rng, scale=1.0):
    for p in ps:
        p.grad = Tensor((scale * rng.standard_normal(p.shape)).astype(p.dtype))


# -------------------------------------------------------------------------------------- every one


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", OPTIMISERS)
def test_six_steps_are_pytorchs(name, dtype):
    with np.load(GOLDEN) as file:
        golden = {n: a.astype(dtype) for n, a in file.items()}
    ps = [Parameter(golden[f"start.{i}"].copy()) for i in range(2)]
    optimiser = OPTIMISERS[name](ps)
    for step in range(6):
        for i, p in enumerate(ps):
            p.grad = Tensor(golden[f"gradient.{step}.{i}"])
        optimiser.step()
        for i, p in enumerate(ps):
            assert_close(p.data, golden[f"{name}.{step}.{i}"], terms=100)


@every_optimiser
def test_a_resumed_optimiser_takes_the_same_steps_bit_for_bit(name):
    whole, half = parameters((4, 6), (3, 3)), parameters((4, 6), (3, 3))
    one, other = EVERY[name](whole), EVERY[name](half)
    rng, again = np.random.default_rng(1), np.random.default_rng(1)
    for _ in range(6):
        set_gradients(whole, rng)
        one.step()
    for step in range(6):
        if step == 3:
            state, other = other.state_dict(), EVERY[name](half)
            other.load_state_dict(state)
        set_gradients(half, again)
        other.step()
    assert all(np.array_equal(p.data, q.data) for p, q in zip(whole, half, strict=True))


@every_optimiser
def test_steps_go_down_a_bowl(name):
    (p,) = parameters((4, 4))
    optimiser = EVERY[name]([p])
    start = np.linalg.norm(p.data)
    for _ in range(60):
        p.grad = Tensor(p.data.copy())  # of |p|^2 / 2
        optimiser.step()
    assert np.linalg.norm(p.data) < 0.7 * start


@every_optimiser
def test_a_learning_rate_of_zero_changes_nothing(name):
    ps = parameters((3, 4))
    before, optimiser = ps[0].data.copy(), EVERY[name](ps)
    optimiser.lr = 0.0
    for seed in range(3):
        set_gradients(ps, np.random.default_rng(seed))
        optimiser.step()
    assert np.array_equal(ps[0].data, before)


@every_optimiser
def test_steps_are_in_place_and_leave_gradients_and_types_alone(name):
    ps = parameters((3, 4))
    data = ps[0].data
    set_gradients(ps, np.random.default_rng(0))
    g = ps[0].grad.data.copy()
    EVERY[name](ps).step()
    assert ps[0].data is data
    assert data.dtype == np.float32
    assert np.array_equal(ps[0].grad.data, g)


@every_optimiser
def test_a_parameter_without_gradient_stays(name):
    ps = parameters((3, 4), (2, 2))
    before, optimiser = ps[1].data.copy(), EVERY[name](ps)
    set_gradients(ps[:1], np.random.default_rng(0))
    optimiser.step()
    assert np.array_equal(ps[1].data, before)
    optimiser.zero_grad()
    assert ps[0].grad is None


@every_optimiser
def test_a_model_that_changes_type_is_followed(name):
    ps = parameters((3, 4))
    optimiser = EVERY[name](ps)
    for dtype in (np.float32, np.float64):
        ps[0].data = ps[0].data.astype(dtype)
        set_gradients(ps, np.random.default_rng(0))
        optimiser.step()
        assert ps[0].dtype == dtype


def test_a_tied_parameter_takes_one_step():
    (p,) = parameters((3,))
    optimiser = SGD([("first", p), ("second", p)], lr=1.0)
    before = p.data.copy()
    p.grad = Tensor(np.ones(3, np.float32))
    optimiser.step()
    assert list(optimiser.parameters) == ["first"]
    assert np.array_equal(p.data, before - 1)


def test_state_goes_by_the_names_of_the_parameters():
    layer = nn.Linear(2, 3, rng=np.random.default_rng(0))
    state = AdamW(layer.named_parameters()).state_dict()
    assert set(state) == {"steps", "lr", "weight.m", "weight.v", "bias.m", "bias.v"}


def test_state_that_does_not_fit_is_refused_as_a_whole():
    optimiser = AdamW(parameters((2, 3)))
    state = {"steps": np.array(5), "lr": np.array(1.0), "0.m": np.zeros(3), "1.m": np.zeros(1)}
    message = "AdamW: missing: 0.v. unexpected: 1.m. of another shape: 0.m"
    with pytest.raises(ValueError, match=message):
        optimiser.load_state_dict(state)
    assert optimiser.steps == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AdamW([]), "AdamW: got no parameters"),
        (lambda: SGD(parameters((2,)), lr=1.0, nesterov=True), "nesterov needs a momentum"),
        (lambda: Muon([("bias", parameters((2,))[0])]), "fewer than 2 axes: bias"),
        (lambda: EMA(parameters((2,)), decay=1.0), "decay is 1.0, expected 0 <= decay < 1"),
    ],
    ids=["empty", "nesterov", "muon", "ema"],
)
def test_wrong_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# ------------------------------------------------------------------------------------ Adam, AdamW


@pytest.mark.parametrize("make", [Adam, AdamW])
def test_adam_does_not_see_the_size_of_gradients(make):
    small, large = parameters((5,), dtype=np.float64), parameters((5,), dtype=np.float64)
    for ps, scale in ((small, 1.0), (large, 1000.0)):
        optimiser, rng = make(ps, lr=0.1, eps=0.0), np.random.default_rng(0)
        for _ in range(4):
            set_gradients(ps, rng, scale)
            optimiser.step()
    np.testing.assert_allclose(small[0].data, large[0].data, rtol=1e-12)


def test_the_first_step_of_adam_is_lr_in_every_coordinate():
    (p,) = parameters((5,), dtype=np.float64)
    before, optimiser = p.data.copy(), Adam([p], lr=0.1)
    set_gradients([p], np.random.default_rng(0))
    optimiser.step()
    np.testing.assert_allclose(before - p.data, 0.1 * np.sign(p.grad.data), rtol=1e-6)


def test_adamw_decays_apart_from_the_gradient():
    (p,) = parameters((5,), dtype=np.float64)
    before, optimiser = p.data.copy(), AdamW([p], lr=0.1, weight_decay=0.5)
    p.grad = Tensor(np.zeros(5))
    optimiser.step()
    np.testing.assert_allclose(p.data, before * (1 - 0.1 * 0.5), rtol=1e-12)


# ------------------------------------------------------------------------------------------- Muon

MATRICES = [(20, 8), (8, 20), (16, 16), (1, 7), (7, 1)]
every_matrix = pytest.mark.parametrize("shape", MATRICES, ids=str)


@every_matrix
def test_the_orthogonalised_matrix_has_singular_values_near_one(shape):
    x = np.random.default_rng(0).standard_normal(shape)
    s = np.linalg.svd(orthogonalise(x), compute_uv=False)
    inverse = np.linalg.cond(x) * np.linalg.norm(x) / np.linalg.norm(x, 2)  # |x| / smallest
    assert inverse < 600  # five steps lift s / |x| > 0.0015 above 0.68
    assert 0.68 < s.min() <= s.max() < 1.21


@every_matrix
def test_the_orthogonalised_matrix_is_near_u_v(shape):
    """The same singular vectors: u^T y v is diagonal, and its entries are 0.68 ... 1.21, so that
    the cosine between both is 0.96 or more, the least where half of them are at either end."""
    x = np.random.default_rng(0).standard_normal(shape)
    u, _, vt = np.linalg.svd(x, full_matrices=False)
    y = orthogonalise(x)
    core = u.T @ y @ vt.T
    np.testing.assert_allclose(core, np.diag(np.diag(core)), atol=1e-10)
    cosine = np.sum(y * (u @ vt)) / np.linalg.norm(y) / np.linalg.norm(u @ vt)
    assert cosine > 0.96


@every_matrix
def test_float32_orthogonalises_as_float64(shape):
    x = np.random.default_rng(0).standard_normal(shape)
    y = orthogonalise(x.astype(np.float32))
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, orthogonalise(x), atol=1e-4)


def test_orthogonalising_is_the_textbook_iteration():
    x = np.random.default_rng(0).standard_normal((6, 10))
    y = x / np.linalg.norm(x)
    for _ in range(5):
        a = y @ y.T
        y = 3.4445 * y + (-4.7750 * a + 2.0315 * a @ a) @ y
    np.testing.assert_allclose(orthogonalise(x, eps=0.0), y, rtol=1e-9)


@pytest.mark.parametrize(("n_in", "n_out"), [(20, 8), (8, 20), (16, 16)])
def test_the_first_step_of_muon_turns_all_directions_alike(n_in, n_out):
    (p,) = parameters((n_in, n_out), dtype=np.float64)
    before, optimiser = p.data.copy(), Muon([p], lr=0.1)
    set_gradients([p], np.random.default_rng(0))
    optimiser.step()
    s = np.linalg.svd((before - p.data) / 0.1, compute_uv=False) / max(1, n_out / n_in) ** 0.5
    assert 0.68 < s.min() <= s.max() < 1.21


def test_a_filter_is_the_matrix_from_its_window_to_its_outputs():
    (w,) = parameters((3, 3, 4, 5), dtype=np.float64)
    flat = Parameter(w.data.reshape(36, 5).copy())
    set_gradients([w], np.random.default_rng(0))
    flat.grad = Tensor(w.grad.data.reshape(36, 5))
    for p in (w, flat):
        Muon([p], lr=0.1, weight_decay=0.1).step()
    np.testing.assert_allclose(w.data.reshape(36, 5), flat.data, rtol=1e-12)


@pytest.mark.parametrize("nesterov", [True, False])
def test_muon_orthogonalises_the_momentum(nesterov):
    (p,) = parameters((6, 4), dtype=np.float64)
    expected, b = p.data.copy(), np.zeros((6, 4))
    optimiser, rng = Muon([p], lr=0.1, momentum=0.9, nesterov=nesterov), np.random.default_rng(0)
    for _ in range(3):
        set_gradients([p], rng)
        g = p.grad.data
        b = 0.9 * b + 0.1 * g
        expected -= 0.1 * orthogonalise(0.1 * g + 0.9 * b if nesterov else b)
        optimiser.step()
    np.testing.assert_allclose(p.data, expected, rtol=1e-9)


def test_matrices_are_split_from_the_rest():
    model = nn.UNet(nn.UNetConfig(channels=(8, 8, 8)), rng=np.random.default_rng(0))
    matrices, rest = split_matrices(model.named_parameters(), ("input", "output", "positions"))
    assert not matrices.keys() & rest.keys()
    assert matrices.keys() | rest.keys() == {name for name, _ in model.named_parameters()}
    assert min(p.ndim for p in matrices.values()) == 2
    wide = {name for name, p in rest.items() if p.ndim >= 2}
    assert {name.split(".")[-1] for name in wide - {"input.weight", "output.weight"}} == {
        "positions"
    }


# --------------------------------------------------------------------------------------- clipping


def test_clipping_returns_the_joint_length_and_shortens_to_the_limit():
    ps = parameters((3, 4), (5,))
    set_gradients(ps, np.random.default_rng(0))
    before = np.concatenate([p.grad.data.ravel() for p in ps])
    norm = clip_grad_norm(ps, 0.5)
    after = np.concatenate([p.grad.data.ravel() for p in ps])
    np.testing.assert_allclose(norm, np.linalg.norm(before), rtol=1e-6)
    np.testing.assert_allclose(after, before * (0.5 / norm), rtol=1e-6)
    assert after.dtype == np.float32


def test_short_gradients_stay_as_they_are():
    ps = parameters((3, 4))
    set_gradients(ps, np.random.default_rng(0))
    g = ps[0].grad
    clip_grad_norm([*ps, *parameters((2,))], 100.0)
    assert ps[0].grad is g


def test_gradients_that_share_memory_are_shortened_once():
    a, b = parameters((3,), (3,))
    (a + b).sum().backward()
    clip_grad_norm([a, b], 1.0)
    for p in (a, b):
        np.testing.assert_allclose(p.grad.data, 1 / 6**0.5, rtol=1e-6)


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_gradients_that_are_not_finite_stay_to_be_seen(value):
    (p,) = parameters((2,))
    p.grad = Tensor(np.array([1, value], np.float32))
    assert not np.isfinite(clip_grad_norm([p], 1.0))
    assert p.grad.data[0] == 1


# -------------------------------------------------------------------------------------------- EMA


def test_the_average_of_a_constant_is_the_constant_and_of_a_jump_comes_near():
    (p,) = parameters((4,))
    ema, start = EMA([p], decay=0.9), p.data.copy()
    ema.update()
    assert np.array_equal(ema.averages["0"], start)
    p.data += 1
    for _ in range(100):
        ema.update()
    np.testing.assert_allclose(ema.averages["0"], start + 1, atol=1e-3)


def test_the_average_is_its_formula():
    (p,) = parameters((4,), dtype=np.float64)
    ema, average = EMA([p], decay=0.5), p.data.copy()
    for n in range(1, 20):
        p.data += n
        ema.update()
        d = min(0.5, (1 + n) / (10 + n))
        average = d * average + (1 - d) * p.data
        np.testing.assert_allclose(ema.averages["0"], average, rtol=1e-12)


def averaged_model():
    model = nn.Linear(3, 2, rng=np.random.default_rng(0))
    ema = EMA(model, decay=0.5)
    model.weight.data += 1
    ema.update()
    return model, ema


def test_inside_the_block_the_model_has_the_averages_and_afterwards_its_own():
    model, ema = averaged_model()
    own = model.state_dict()
    with ema.applied(model):
        assert np.array_equal(model.weight.data, ema.averages["weight"])
        assert not np.array_equal(model.weight.data, own["weight"])
    assert np.array_equal(model.weight.data, own["weight"])


def test_an_error_inside_the_block_gives_the_weights_back():
    model, ema = averaged_model()
    own = model.state_dict()
    with pytest.raises(ZeroDivisionError), ema.applied(model):
        _ = 1 / 0
    assert np.array_equal(model.weight.data, own["weight"])


def test_a_resumed_average_goes_on_bit_for_bit():
    model, ema = averaged_model()
    other = EMA(model, decay=0.5)
    other.load_state_dict(ema.state_dict())
    model.weight.data += 1
    ema.update()
    other.update()
    assert np.array_equal(ema.averages["weight"], other.averages["weight"])
    assert other.updates == 2


def test_averages_of_another_model_are_refused():
    _, ema = averaged_model()
    with pytest.raises(ValueError, match=r"EMA: missing: scale\. unexpected: weight, bias"):
        ema.copy_to([("scale", parameters((2,))[0])])


@every_optimiser
def test_several_workers_make_the_same_step(name):
    shapes = [(9, 4), (3, 3, 2, 5), (6, 8), (1, 7)]
    serial, parallel = parameters(*shapes), parameters(*shapes)
    for ps, workers in ((serial, 1), (parallel, 3)):
        optimizer, rng = EVERY[name](ps), np.random.default_rng(1)
        optimizer.workers = workers
        for _ in range(3):
            set_gradients(ps, rng)
            optimizer.step()
    for p, q in zip(serial, parallel, strict=True):
        assert np.array_equal(p.data, q.data)

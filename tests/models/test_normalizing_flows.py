"""Flows: their inverse, their log-determinant against the dense Jacobian, and what they learn."""

import math

import numpy as np
import pytest

from minigen.autograd import Tensor, grad, no_grad
from minigen.models.normalizing_flow import dequantisation, glow, nice, real_nvp
from minigen.models.normalizing_flow.dequantisation import (
    DequantisationConfig,
    UniformDequantisation,
    VariationalDequantisation,
    bound,
)
from minigen.models.normalizing_flow.glow import Conv1x1, Glow, GlowConfig
from minigen.models.normalizing_flow.nice import NICE, AdditiveCoupling, NICEConfig, Scaling
from minigen.models.normalizing_flow.real_nvp import RealNVP, RealNVPConfig
from minigen.nn.invertible import (
    ActNorm,
    Chain,
    Coupling,
    Invertible,
    Logit,
    MultiScale,
    Permute,
    Squeeze,
    checkerboard,
    initialise,
    log_sigmoid_slope,
    normal_log_prob,
)
from minigen.optim import Adam
from minigen.parallel import one_blas_thread
from minigen.train.data_parallel import check_parallel

RNG = np.random.default_rng(7)


@pytest.fixture(autouse=True)
def one_thread():
    """The products are small: two threads would only wait for each other."""
    with one_blas_thread():
        yield


def moved(module, by=0.3):
    """The module in float64, away from where it starts, which is often the identity."""
    for parameter in module.parameters():
        change = by * np.random.default_rng(parameter.size).standard_normal(parameter.shape)
        parameter.data += change.astype(parameter.dtype)
    return module.astype(np.float64)


def scaled_net(C):
    return glow.CouplingNet(C, 8, rng=RNG)


def model_of(name, shape):
    return {
        "nice": lambda: NICE(NICEConfig(shape, width=12, hidden=2), rng=RNG),
        "real_nvp": lambda: RealNVP(RealNVPConfig(shape, (2, 2), (8, 8)), rng=RNG),
        "glow": lambda: Glow(GlowConfig(shape, (2, 2), (8, 8)), rng=RNG),
    }[name]()


MODELS = {"nice": nice, "real_nvp": real_nvp, "glow": glow}
LAYERS = {
    "logit": (lambda: Logit(0.05), (4, 4, 1)),
    "squeeze": (Squeeze, (4, 4, 1)),
    "permute": (lambda: Permute([2, 0, 3, 1]), (2, 2, 4)),
    "coupling": (lambda: Coupling(scaled_net(4), 4), (2, 2, 4)),
    "coupling, flipped": (lambda: Coupling(scaled_net(4), 4, flipped=True), (2, 2, 4)),
    "actnorm": (lambda: ActNorm(4), (2, 2, 4)),
    "1x1 convolution": (lambda: Conv1x1(4, rng=RNG), (2, 2, 4)),
    "additive coupling": (lambda: AdditiveCoupling(16, 12, 2, False, rng=RNG), (16,)),
    "additive coupling, flipped": (lambda: AdditiveCoupling(15, 12, 2, True, rng=RNG), (15,)),
    "scaling": (lambda: Scaling(16), (16,)),
    "chain": (lambda: Chain([Squeeze(), ActNorm(4), Coupling(scaled_net(4), 4)]), (4, 4, 1)),
    "scales": (
        lambda: MultiScale([Squeeze(), Chain([Squeeze(), ActNorm(8)])], [(2, 2, 4), (1, 1, 8)]),
        (4, 4, 1),
    ),
    **{name: (lambda name=name: model_of(name, (4, 4, 1)), (4, 4, 1)) for name in MODELS},
}
every_layer = pytest.mark.parametrize(("make", "shape"), LAYERS.values(), ids=list(LAYERS))


def pictures(n, shape, seed=0):
    """Numbers in [0, 1], as floats."""
    return np.random.default_rng(seed).uniform(0.02, 0.98, (n, *shape))


def dense_log_det(function, x):
    """log |det dz/dx| of each picture, row by row of the Jacobian."""
    xt = Tensor(x, requires_grad=True)
    z = function(xt)
    D = x[0].size
    rows = []
    for i in range(D):
        unit = np.zeros((len(x), D))
        unit[:, i] = 1
        rows.append(grad(z, [xt], gradient=unit.reshape(z.shape))[0].data.reshape(len(x), D))
    return np.linalg.slogdet(np.stack(rows, axis=1))[1]


@every_layer
def test_the_log_determinant_is_that_of_the_jacobian(make, shape):
    layer, x = moved(make()), pictures(3, shape)
    _, log_det = layer(Tensor(x))
    log_det = log_det.data if isinstance(log_det, Tensor) else log_det
    expected = dense_log_det(lambda x: layer(x)[0], x)
    np.testing.assert_allclose(np.broadcast_to(log_det, (3,)), expected, rtol=0, atol=1e-8)


@every_layer
def test_the_inverse_comes_back(make, shape):
    layer, x = moved(make()), pictures(3, shape)
    z, _ = layer(Tensor(x))
    assert np.abs(layer.inverse(z).data - x).max() <= 1e-10


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-4)])
def test_the_inverse_comes_back_on_whole_pictures(name, dtype, tolerance):
    model = moved(model_of(name, (28, 28, 1)), 0.05).astype(dtype)
    x = pictures(2, (28, 28, 1)).astype(dtype)
    with no_grad():
        z, _ = model(Tensor(x))
        back = model.inverse(z).data
    assert z.dtype == back.dtype == dtype
    assert z.shape == (2, 784)
    assert np.abs(back - x).max() <= tolerance


def test_a_density_in_the_plane_integrates_to_one():
    """Of pictures of one pixel with two channels; a share of z, alpha's, lies outside of [0, 1]."""
    rng = np.random.default_rng(1)
    layers = [Logit(0.05)]
    for _ in range(3):
        layers += [ActNorm(2), Conv1x1(2, rng=rng), Coupling(glow.CouplingNet(2, 8, rng=rng), 2)]
    model, middles = moved(Chain(layers), 0.2), (np.arange(300) + 0.5) / 300
    square = np.stack(np.meshgrid(middles, middles), axis=-1).reshape(-1, 1, 1, 2)
    noise = np.random.default_rng(2).standard_normal((50_000, 1, 1, 2))
    with no_grad():
        z, log_det = model(Tensor(square))
        x = model.inverse(noise).data
    share = ((x >= 0) & (x <= 1)).all(axis=(1, 2, 3)).mean()
    mass = np.exp((normal_log_prob(z) + log_det).data).mean()
    assert mass == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 50_000) + 1e-3)


def test_the_logistic_density_of_nice_integrates_to_one():
    model = moved(NICE(NICEConfig((1, 1, 2), width=8, hidden=2), rng=RNG), 0.2)
    side = np.linspace(-25, 25, 301)
    plane = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 1, 1, 2)
    with no_grad():
        p = np.exp(nice.log_prob(model, plane).data)
    assert p.sum() * (side[1] - side[0]) ** 2 == pytest.approx(1, abs=1e-3)


def test_the_first_half_of_a_checkerboard_is_one_colour():
    x = np.indices((4, 4)).sum(axis=0)[None, :, :, None] % 2  # 0 on white fields, 1 on black
    z, _ = Chain([Squeeze(), Permute(checkerboard(4))])(Tensor(x.astype(np.float32)))
    np.testing.assert_array_equal(z.data[..., :2], 0)
    np.testing.assert_array_equal(z.data[..., 2:], 1)


@pytest.mark.parametrize("flipped", [False, True])
def test_a_coupling_leaves_the_half_that_decides(flipped):
    layer, x = moved(Coupling(scaled_net(4), 4, flipped)), pictures(2, (2, 2, 4))
    z, _ = layer(Tensor(x))
    kept, changed = ((2, 4), (0, 2)) if flipped else ((0, 2), (2, 4))
    np.testing.assert_array_equal(z.data[..., slice(*kept)], x[..., slice(*kept)])
    assert np.abs(z.data - x)[..., slice(*changed)].min() > 0


@pytest.mark.parametrize("C", [2, 4, 16])
def test_a_1x1_convolution_starts_as_a_rotation(C):
    lower, upper = Conv1x1(C, rng=np.random.default_rng(C)).factors()
    w = (lower @ upper).data
    np.testing.assert_allclose(w @ w.T, np.eye(C), atol=1e-5)


def test_actnorm_starts_where_the_first_batch_comes_out_normal():
    model = Glow(GlowConfig((8, 8, 1), (2, 1), (8, 8)), rng=RNG)
    before, x = model.state_dict(), pictures(50, (8, 8, 1)).astype(np.float32)
    initialise(model, x)
    first = next(layer for layer in model.modules() if isinstance(layer, ActNorm))
    y = first(Squeeze()(model.logit(Tensor(x))[0])[0])[0].data
    np.testing.assert_allclose(y.mean(axis=(0, 1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(y.std(axis=(0, 1, 2)), 1, atol=1e-4)
    changed = {k.split(".")[-1] for k, v in model.state_dict().items() if (v != before[k]).any()}
    assert changed == {"shift", "scale"}


def test_actnorm_moves_at_the_start_only():
    layer, x = ActNorm(2), pictures(9, (2, 2, 2)).astype(np.float32)
    initialise(layer, x)
    state = layer.state_dict()
    layer(Tensor(5 * x))
    assert all((state[name] == value).all() for name, value in layer.state_dict().items())


@pytest.mark.parametrize("name", MODELS)
def test_a_flow_trains_on_all_cores_and_is_its_state(name):
    """No buffers, which threads would share; nothing of the seed beside what is saved."""
    model, other = (model_of(name, (4, 4, 1)) for _ in range(2))
    check_parallel(model)
    other.load_state_dict(model.state_dict())
    x = pictures(2, (4, 4, 1)).astype(np.float32)
    ours, theirs = (MODELS[name].log_prob(m, Tensor(x)).data for m in (model, other))
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", MODELS)
def test_samples_are_the_inverse_of_noise(name):
    model = model_of(name, (8, 8, 1))
    x = MODELS[name].sample(model, 3, np.random.default_rng(0))
    again = MODELS[name].sample(model, 3, np.random.default_rng(0))
    cold = MODELS[name].sample(model, 3, np.random.default_rng(0), temperature=0.0)
    assert x.shape == (3, 8, 8, 1)
    assert x.dtype == np.float32
    assert x.min() >= 0
    assert x.max() <= 1
    np.testing.assert_array_equal(x, again)
    np.testing.assert_allclose(cold[0], cold[1], atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_the_density_is_that_of_the_formula(name):
    """log p(x) = log p(z) + log |det dz/dx|, the latter by the dense Jacobian."""
    model, x = moved(model_of(name, (4, 4, 1))), pictures(2, (4, 4, 1))
    z = model(Tensor(x))[0].data
    if name == "nice":
        prior = log_sigmoid_slope(z).data.sum(1)
    else:
        prior = (-0.5 * z**2 - 0.5 * math.log(2 * math.pi)).sum(1)
    expected = prior + dense_log_det(lambda x: model(x)[0], x)
    found = MODELS[name].log_prob(model, Tensor(x)).data
    np.testing.assert_allclose(found, expected, atol=1e-8)


@pytest.mark.parametrize(
    ("name", "lr", "reached"),
    [("nice", 0.03, -20), ("real_nvp", 5e-3, -100), ("glow", 5e-3, -120)],
)
def test_eight_pictures_are_learned_by_heart(name, lr, reached):
    """In nats; the density that is 1 everywhere would have 0."""
    model = model_of(name, (8, 8, 1))
    x = pictures(8, (8, 8, 1)).astype(np.float32)
    initialise(model, x)
    optimizer, rng = Adam(model.parameters(), lr=lr), np.random.default_rng(0)
    for _ in range(80):
        optimizer.zero_grad()
        value = MODELS[name].loss(model, x, rng)
        value.backward()
        optimizer.step()
    assert value.item() < reached


# -------------------------------------------------------------------------------- dequantisation


def greys(n=6, size=4, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 1)).astype(np.uint8)


def variational(by=0.3):
    return moved(VariationalDequantisation(DequantisationConfig(width=8), rng=RNG), by)


@pytest.mark.parametrize("dequantise", [UniformDequantisation(), variational()])
def test_noise_stays_in_the_cube_of_its_picture(dequantise):
    g = greys()
    x, log_q = dequantise(g, np.random.default_rng(0))
    assert log_q.shape == (6,)
    np.testing.assert_array_equal(np.floor(256 * x.data), g)


def test_learned_noise_knows_its_density():
    """q(x | g) = N(eps; 0, I) / |det dx/d eps|, the determinant by the dense Jacobian."""
    dequantise, g = variational(), greys(3)
    eps = np.random.default_rng(5).standard_normal(g.shape)
    _, log_q = dequantise(g, np.random.default_rng(5))
    log_det = dense_log_det(lambda eps: dequantise.transform(eps, g)[0], eps)
    expected = (-0.5 * (eps**2 + math.log(2 * math.pi))).sum(axis=(1, 2, 3)) - log_det
    np.testing.assert_allclose(log_q.data, expected, atol=1e-8)


def logit_normal_log_prob(x):
    """A density of x in [0, 1] with a known distribution function: logit(x) ~ N(-1, 1)."""
    z, log_det = Logit(1e-12)(x)
    return normal_log_prob(z + 1.0) + log_det


@pytest.mark.parametrize("dequantise", [UniformDequantisation(), variational(0.1)])
def test_the_mean_of_the_exponential_of_the_bound_is_the_probability(dequantise):
    """E p(x) / q(x | g) = P(g), and the mean of the logarithm is below log P(g)."""
    g = np.array([[3, 40], [90, 200]], np.uint8).reshape(1, 2, 2, 1)
    edges = np.log(np.array([g / 256, (g + 1) / 256]) / (1 - np.array([g / 256, (g + 1) / 256])))
    cdf = np.vectorize(lambda z: 0.5 * math.erfc(-(z + 1) / math.sqrt(2)))
    log_p = np.log(cdf(edges[1]) - cdf(edges[0])).sum()
    many = g.repeat(20_000, axis=0)
    found = bound(logit_normal_log_prob, dequantise, many, np.random.default_rng(0)).data - log_p
    weights = np.exp(found)
    assert weights.mean() == pytest.approx(1, abs=4 * weights.std() / math.sqrt(len(many)))
    assert found.mean() < 0


def test_learned_noise_makes_the_bound_tighter():
    """A normal density of the logit of black pixels: uniform noise loses, learned noise hardly."""
    g = np.zeros((32, 4, 4, 1), np.uint8)
    rng, uniform = np.random.default_rng(0), UniformDequantisation()
    dequantise = VariationalDequantisation(DequantisationConfig(width=8, couplings=0), rng=rng)
    optimizer = Adam(dequantise.parameters(), lr=0.02)
    for _ in range(100):
        optimizer.zero_grad()
        value = dequantisation.loss(logit_normal_log_prob, dequantise, g, rng)
        value.backward()
        optimizer.step()
    assert value.item() < dequantisation.loss(logit_normal_log_prob, uniform, g, rng).item() - 1


# ----------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("action", "said"),
    [
        (lambda: Logit(0.0), "alpha is 0.0"),
        (lambda: Logit()(Tensor([[2.0]])), "x lies between 0 and 2"),
        (lambda: Logit()(Tensor([[float("nan")]])), "x lies between"),
        (lambda: Coupling(scaled_net(4), 3), "3 channels"),
        (lambda: Coupling(scaled_net(4), 4)(Tensor(np.zeros((1, 2, 2, 6)))), "x has 6 channels"),
        (lambda: model_of("glow", (4, 4, 1)).inverse(np.zeros((1, 15))), "z has 15 numbers"),
        (lambda: UniformDequantisation()(np.zeros((1, 4, 4, 1)), RNG), "got float64"),
        (lambda: variational()(np.zeros((4, 4, 1), np.uint8), RNG), r"shape \(4, 4, 1\)"),
        (lambda: Invertible().forward(0), "forward is not written"),
        (lambda: Invertible().inverse(0), "inverse is not written"),
    ],
)
def test_bad_input_is_told(action, said):
    with pytest.raises((ValueError, NotImplementedError), match=said):
        action()


@pytest.mark.parametrize("name", MODELS)
def test_pictures_of_another_shape_are_told(name):
    """NICE would leave out the numbers for which it has no place, and give a likelihood."""
    with pytest.raises(ValueError, match=r"got pictures \(4, 8, 1\), expected \(4, 4, 1\)"):
        MODELS[name].log_prob(model_of(name, (4, 4, 1)), np.zeros((2, 4, 8, 1), np.float32))

"""The CUDA rungs of AdamW, of the moving average, of clipping and of a sampler's sum."""

import numpy as np
import pytest
from close import assert_close
from cuda_rungs import SEEDS, WHERE, launch, rungs_of
from in_place import changed

from minigen import Tensor, use_kernels
from minigen.backend import KernelError
from minigen.kernels.adamw import k3_all_in_one
from minigen.kernels.clip_grad_norm import k1_two_stage
from minigen.kernels.cpu import emulated
from minigen.nn import Parameter
from minigen.optim import EMA, AdamW, clip_grad_norm
from minigen.samplers.affine import affine_step

SIZES = [1, 1023, 1024, 1025, 0, 7, 2100, 3, 64, 5, 129]  # 8 and 2 with something in them
SETTINGS = {"lr": 0.05, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.1, "steps": 3}


def lists(n, sizes=SIZES, seed=0):
    """n lists of arrays, all positive, as v has to be."""
    rng = np.random.default_rng(seed)
    return [[rng.uniform(0.5, 1.5, size).astype(np.float32) for size in sizes] for _ in range(n)]


def exact_adamw(p, g, m, v, lr, betas, eps, weight_decay, steps):
    """Algorithm 2 in float64."""
    p, g, m, v = (a.astype(float) for a in (p, g, m, v))
    m = betas[0] * m + (1 - betas[0]) * g
    v = betas[1] * v + (1 - betas[1]) * g * g
    m_hat, v_hat = m / (1 - betas[0] ** steps), v / (1 - betas[1] ** steps)
    return p - lr * (m_hat / (np.sqrt(v_hat) + eps) + weight_decay * p), m, v


def assert_lists_close(found, exact, terms=2):
    for a, b in zip(found, exact, strict=True):
        assert_close(a, np.float32(b), terms)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("rung", rungs_of("adamw"))
def test_adamw_is_its_algorithm(rung, where):
    arrays = lists(4)
    _, (ps, _, ms, vs) = changed(where, f"adamw/{rung}", arrays, **SETTINGS)
    exact = [exact_adamw(*row, **SETTINGS) for row in zip(*arrays)]
    for found, expected in zip((ps, ms, vs), zip(*exact)):
        assert_lists_close(found, expected)


@pytest.mark.parametrize("where", SEEDS)
def test_clipping_and_the_average_in_the_same_pass(where):
    *arrays, averages = lists(5)
    more = {"averages": averages, "average_decay": 0.8, "factor": np.float32([0.25])}
    copies = [a.copy() for a in averages]
    _, (ps, _, ms, vs) = changed(where, "adamw/k3_all_in_one", arrays, **SETTINGS, **more)
    arrays[1] = [0.25 * g for g in arrays[1]]
    exact = [exact_adamw(*row, **SETTINGS) for row in zip(*arrays)]
    for found, expected in zip((ps, ms, vs), zip(*exact)):
        assert_lists_close(found, expected)
    assert_lists_close(averages, [0.8 * a + 0.2 * row[0] for a, row in zip(copies, exact)])


@pytest.mark.parametrize("where", WHERE)
def test_the_average_follows(where):
    averages, ps = lists(2)
    _, (found, _) = changed(where, "ema/k1_many", [averages, ps], decay=0.9)
    assert_lists_close(found, [0.9 * a + 0.1 * p for a, p in zip(averages, ps)])


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("sizes", [SIZES, [1], [1024 * 257]], ids=["many", "one", "long"])
def test_gradients_are_shortened_to_their_joint_length(sizes, where):
    (gs,) = lists(1, sizes)
    exact = float(np.sqrt(sum((g.astype(float) ** 2).sum() for g in gs)))
    (norm, short), _ = changed(where, "clip_grad_norm/k1_two_stage", [gs], max_norm=0.5 * exact)
    assert norm == pytest.approx(exact, rel=1e-6)
    assert_lists_close(short, [0.5 * g for g in gs])
    (norm, same), _ = changed(where, "clip_grad_norm/k1_two_stage", [gs], max_norm=2 * exact)
    assert norm == pytest.approx(exact, rel=1e-6)
    assert all(np.array_equal(a, g) for a, g in zip(same, gs))


def test_the_length_has_the_same_bits_in_any_order():
    (gs,) = lists(1)
    found = set()
    for seed in SEEDS:
        with emulated(seed):
            found.add(k1_two_stage.length(gs, 1.0).tobytes())
    assert len(found) == 1


@pytest.mark.parametrize(("value", "max_norm"), [(np.nan, 1), (np.inf, 1), (3.0, np.inf), (0, 1)])
def test_a_length_that_is_no_number_or_short_enough_shortens_nothing(value, max_norm):
    g = np.float32([value, 0])
    with emulated():
        norm, factor = k1_two_stage.length([g], max_norm)
        (same, kept), _ = k1_two_stage.launch([g], max_norm=max_norm)
    assert np.array_equal([norm, same], [value, value], equal_nan=True)
    assert factor == 1
    assert kept[0] is g


def trained(steps=3, max_norm=2.0, **kernels):
    """Parameters, averages, moments and norms after some steps, through the optimisers."""
    rng = np.random.default_rng(0)
    shapes = [(1,), (7,), (3, 3, 5, 2), (), (0, 4), (13, 17), (8, 8)]
    ps = [Parameter(rng.standard_normal(shape).astype(np.float32)) for shape in shapes]
    optimizer, ema, norms = AdamW(ps, lr=0.05, weight_decay=0.1), EMA(ps, 0.9), []
    with use_kernels(**kernels), emulated():
        for _ in range(steps):
            for p in ps:
                p.grad = Tensor(rng.standard_normal(p.shape[::-1]).astype(np.float32).T)
            norms.append(clip_grad_norm(ps, max_norm))
            optimizer.step()
            ema.update()
    moments = [a for own in optimizer.buffers.values() for a in own.values()]
    return [*(p.data for p in ps), *ema.averages.values(), *moments, np.array(norms, np.float32)]


@pytest.mark.parametrize("rung", rungs_of("adamw"))
@pytest.mark.parametrize("max_norm", [2.0, np.inf])
def test_three_steps_are_the_references(rung, max_norm):
    kernels = {"adamw": rung, "ema": "k1_many", "clip_grad_norm": "k1_two_stage"}
    for found, exact in zip(trained(max_norm=max_norm, **kernels), trained(max_norm=max_norm)):
        assert_close(found, exact, 16)


def test_what_is_written_to_must_lie_in_order():
    p = Parameter(np.ones((3, 4), np.float32).T)
    p.grad = Tensor(np.ones((4, 3), np.float32))
    refusal = pytest.raises(KernelError, match="does not lie in order")
    with emulated(), use_kernels(adamw="k2_many"), refusal:
        AdamW([p]).step()
    with emulated():
        average = np.ones((4, 3), np.float32).T
        refused = k3_all_in_one.supports([p.data.T], [], [], [], averages=[average], **SETTINGS)
    assert "does not lie in order" in refused


def test_nothing_to_do_is_no_error():
    with emulated():
        for rung in rungs_of("adamw"):
            assert changed(0, f"adamw/{rung}", [[], [], [], []], **SETTINGS)[0] is None
        assert changed(0, "ema/k1_many", [[], []], decay=0.5)[0] is None
        empty = np.zeros((0, 3), np.float32)
        for gs in ([], [empty]):
            (norm, same), _ = k1_two_stage.launch(gs, max_norm=1.0)
            assert norm == 0
            assert same is gs


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("terms", [2, 3])
@pytest.mark.parametrize("shape", [(1,), (255,), (2, 128), (257,), (5, 4, 3, 11)], ids=str)
def test_a_sum_of_multiples(shape, terms, where, rng):
    xs, factors = rng.standard_normal((terms, *shape)).astype(np.float32), (0.3, -2.0, 1.5)
    y = launch(where, "affine_step/k1_elementwise", list(xs), factors=factors[:terms])
    exact = sum(a * x.astype(float) for a, x in zip(factors, xs))
    assert_close(y, np.float32(exact), 2)


def test_samplers_reach_the_sum():
    x = np.float32([1, 2])
    with emulated(), use_kernels(affine_step="k1_elementwise"):
        assert np.array_equal(affine_step((2.0, x), (0.5, x[::-1])), np.float32([3, 4.5]))
        with pytest.raises(KernelError, match="differ in shape"):
            affine_step((2.0, x), (0.5, x[:1]))
        with pytest.raises(KernelError, match="two or three"):
            affine_step((2.0, x), (0.5, x), (0.5, x), (0.5, x))
        with pytest.raises(KernelError, match="empty"):
            affine_step((2.0, x[:0]), (0.5, x[:0]))

"""group_norm_silu and conv2d as one kernel, against both in float64, around the edges of a tile."""

import numpy as np
import pytest
from close import assert_close
from cuda_rungs import WHERE, launch
from rounding import rounded

from minigen import Tensor, explain, nn, use_kernels
from minigen.autograd import grad, no_grad, observe
from minigen.backend import KernelError, explain_on_gpu
from minigen.kernels.cpu import emulated, run
from minigen.kernels.precision import use_precision
from minigen.ops import group_norm_silu_conv2d

OP = "group_norm_silu_conv2d"
EACH_RUNG = pytest.mark.parametrize(
    ("rung", "precision"),
    [("k1_fused", "fp32"), ("k2_fused_mma", "fp16"), ("k2_fused_mma", "bf16")],
)
SIZES = [  # N, H, W, C, O, groups
    (1, 1, 1, 1, 1, 1),
    (2, 8, 16, 8, 4, 2),
    (1, 9, 17, 18, 65, 3),
    (2, 7, 15, 16, 68, 1),
]


def example(size, rng, rows=False):
    """x, the norm's weight and bias, the filter."""
    N, H, W, C, O, _ = size
    affine = (N, C) if rows else (C,)
    shapes = [(N, H, W, C), affine, affine, (3, 3, C, O)]
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def exact(x, weight, bias, w, num_groups, precision, eps=1e-5):
    """In float64, from factors that are rounded as the tensor cores have them."""
    (N, H, W, C), O = x.shape, w.shape[3]
    grouped = x.astype(float).reshape(N, H * W, num_groups, -1)
    d = grouped - grouped.mean((1, 3), keepdims=True)
    z = (d / np.sqrt((d * d).mean((1, 3), keepdims=True) + eps)).reshape(x.shape)
    u = z * weight.reshape(-1, 1, 1, C) + bias.reshape(-1, 1, 1, C)
    h = np.pad(rounded((u / (1 + np.exp(-u))).astype(np.float32), precision), 1)[1:-1, ..., 1:-1]
    y, w = np.zeros((N, H, W, O)), rounded(w, precision).astype(float)
    for i in range(3):
        for j in range(3):
            y += h[:, i : i + H, j : j + W].astype(float) @ w[i, j]
    return y.astype(np.float32)


def tolerance(size, precision):
    """A number near a tie may be rounded the other way: then a term is off by a unit."""
    unit = {"fp32": 0, "fp16": 2**-11, "bf16": 2**-8}[precision]
    return 9 * size[3] + unit / np.finfo(np.float32).eps / 4


@EACH_RUNG
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("where", WHERE)
def test_the_fused_kernel_is_both_ops(rung, precision, size, where, rng):
    arrays = example(size, rng)
    with use_precision(precision):
        y = launch(where, f"{OP}/{rung}", arrays, num_groups=size[5], eps=1e-5)
    assert_close(y, exact(*arrays, size[5], precision), tolerance(size, precision))


@EACH_RUNG
def test_the_fused_kernel_with_rows_of_weight_and_bias(rung, precision, rng):
    size = (3, 3, 5, 6, 7, 2)
    arrays = example(size, rng, rows=True)
    with use_precision(precision):
        y = launch(2, f"{OP}/{rung}", arrays, num_groups=2, eps=1e-5)
    assert_close(y, exact(*arrays, 2, precision), tolerance(size, precision))


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
def test_tensor_cores_wait_until_rounding_is_allowed(precision, rng):
    arrays = example(SIZES[0], rng)
    with (
        use_precision(precision),
        pytest.raises(ValueError, match=f"rounds to 16 bits, and the precision is {precision}"),
    ):
        run(f"{OP}/k2_fused_mma", *arrays, num_groups=1, eps=1e-5)


def test_what_does_not_fit_is_refused(rng):
    x, weight, bias, w = example((1, 2, 2, 4, 3, 1), rng)
    for bad in ([x, weight, bias, w[:2]], [x, weight, bias, w[:, :, :3]], [x[0], weight, bias, w]):
        with pytest.raises(ValueError, match="shapes do not fit"):
            run(f"{OP}/k1_fused", *bad, num_groups=1, eps=1e-5)


# ------------------------------------------------------------------------------------- as an op

FUSED = {OP: "k1_fused"}


def block(rng, **settings):
    """A block whose second convolution is not 0, and what it takes."""
    model = nn.ResBlock(4, 8, 3, num_groups=2, rng=rng, **settings)
    for weight in model.parameters():
        weight.data += 0.3 * rng.standard_normal(weight.shape).astype(np.float32)
    x, e = rng.standard_normal((2, 5, 6, 4), np.float32), rng.standard_normal((2, 3), np.float32)
    return model, Tensor(x, True), Tensor(e, True)


def test_a_block_asks_for_the_fused_op_by_name(rng):
    model, x, e = block(rng)
    expected = model(x, e)
    calls = []
    with emulated(), use_kernels(**FUSED), observe(calls.append), no_grad():
        y = model(x, e)
    assert [c.rung for c in calls if c.name == OP] == ["k1_fused"] * 2
    assert not {"conv2d", "group_norm_silu"} & {c.name for c in calls}
    assert_close(y.numpy(), expected.numpy(), 2 * 9 * 8)


def test_gradients_of_both_orders_come_through_the_fused_op(rng):
    model, x, e = block(rng)

    def orders():
        y = (model(x, e) ** 2).sum()
        xs = [x, e, model.conv1.weight, model.norm1.weight, model.conv2.weight]
        first = grad(y, xs, create_graph=True)
        second = grad((first[0] ** 2).sum(), xs)
        return [g.numpy() for g in (*first, *second)]

    expected = orders()
    with emulated(), use_kernels(**FUSED):
        found = orders()
    for ours, theirs in zip(found, expected, strict=True):
        assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_block_without_the_name_is_what_it_was(rng, dropout):
    model, x, e = block(rng, dropout=dropout)
    for mode in (True, False):
        model.train(mode)
        state = model.rng_state()
        y = model(x, e)
        model.load_rng_state(state)
        h = model.conv1(model.norm1(x))
        h = model.conv2(model.dropout(model.norm2(h, e)))
        assert np.array_equal(y.numpy(), (model.skip(x) + h).numpy())


def test_dropout_stands_between_the_norm_and_the_convolution(rng):
    model, x, e = block(rng, dropout=0.3)
    calls = []
    with emulated(), use_kernels(**FUSED), observe(calls.append), no_grad():
        model(x, e)
    assert [c.name for c in calls if c.name in (OP, "conv2d")] == [OP, "conv2d"]


def test_auto_takes_the_two_ops(rng):
    x, weight, bias, w = example((1, 4, 4, 4, 2, 2), rng)
    settings = {"num_groups": 2, "eps": 1e-5}
    with emulated():
        with use_kernels("auto"):
            assert explain(OP, x, weight, bias, w, **settings).endswith(
                "reference (numpy): its kernels run where they are asked for by name."
            )
        with use_kernels(**FUSED):
            assert "runs as k1_fused" in explain(OP, x, weight, bias, w, **settings)
        with use_kernels(**{OP: "k2_fused_mma"}), pytest.raises(KernelError, match="is fp32"):
            group_norm_silu_conv2d(x, 2, weight, bias, w)
        with use_kernels(**{OP: "k2_fused_mma"}), use_precision("bf16"):
            y = group_norm_silu_conv2d(x, 2, weight, bias, w)
    assert_close(y.numpy(), group_norm_silu_conv2d(x, 2, weight, bias, w).numpy(), 1 << 16)
    assert "by name" in explain_on_gpu(OP, x, weight, bias, w, **settings)

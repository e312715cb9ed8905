"""Laws of the ResBlock and the U-Net, and one small training."""

import numpy as np
import pytest

from minigen import Tensor, nn, no_grad
from minigen.gradcheck import gradcheck
from minigen.ops import mse_loss
from minigen.optim import AdamW

SMALL = {"sample_size": 8, "channels": (8, 12), "heads": 2, "num_groups": 4, "embedding_width": 10}
SMALL |= {"self_attention": (False, True), "cross_attention": (True, True)}


def unet(seed=0, dtype=np.float64, stir=True, **settings):
    """A small U-Net; `stir` moves the layers that start at 0, so that everything has an effect."""
    rng = np.random.default_rng(seed)
    model = nn.UNet(nn.UNetConfig(**SMALL | settings), rng=rng).astype(dtype)
    for p in model.parameters() if stir else ():
        p.data += 0.1 * rng.standard_normal(p.shape).astype(dtype)
    return model


def batch(N=3, dtype=np.float64, context_width=None):
    rng = np.random.default_rng(1)
    x, t = rng.standard_normal((N, 8, 8, 3)), rng.random(N)
    embedding = rng.standard_normal((N, 10))
    arrays = {"x": x, "t": t, "embedding": embedding}
    if context_width:
        arrays["context"] = rng.standard_normal((N, 5, context_width))
    return {name: a.astype(dtype) for name, a in arrays.items()}


# --------------------------------------------------------------------------------------- ResBlock


@pytest.mark.parametrize("out_channels", [4, 6])
def test_a_residual_block_starts_as_its_skip(out_channels):
    rng = np.random.default_rng(0)
    block = nn.ResBlock(4, out_channels, 3, num_groups=2, rng=rng).astype(np.float64)
    x = Tensor(rng.standard_normal((2, 5, 4, 4)))
    skip = x if out_channels == 4 else block.skip(x)
    assert np.array_equal(block(x, Tensor(np.ones((2, 3)))).data, skip.data)


def test_the_gradient_of_a_residual_block_is_right():
    rng = np.random.default_rng(0)
    block = nn.ResBlock(4, 6, 3, num_groups=2, rng=rng).astype(np.float64)
    for p in block.parameters():
        p.data += 0.3 * rng.standard_normal(p.shape)
    x, e = rng.standard_normal((2, 3, 4, 4)), rng.standard_normal((2, 3))
    gradcheck(lambda x, e: block(x, e), x, e, rng=rng, order=2)


def test_a_residual_block_without_embedding_takes_none():
    rng = np.random.default_rng(0)
    x, e = Tensor(np.ones((1, 4, 4, 8))), Tensor(np.ones((1, 3)))
    plain = nn.ResBlock(8, 8, rng=rng).astype(np.float64)
    assert plain(x).shape == x.shape
    for block, embedding in ((plain, e), (nn.ResBlock(8, 8, 3, rng=rng), None)):
        with pytest.raises(ValueError, match="exactly where embedding_width was given"):
            block(x, embedding)


# ------------------------------------------------------------------------------------------- UNet


@pytest.mark.parametrize("context_width", [None, 7])
def test_an_untrained_unet_predicts_zero(context_width):
    model = unet(stir=False, context_width=context_width)
    assert not model(**batch(context_width=context_width)).data.any()


@pytest.mark.parametrize("context_width", [None, 7])
def test_pictures_of_a_batch_do_not_see_each_other(context_width):
    model, arrays = unet(context_width=context_width), batch(context_width=context_width)
    order = np.array([2, 0, 1])
    y = model(**arrays).data
    permuted = model(**{name: a[order] for name, a in arrays.items()}).data
    np.testing.assert_allclose(permuted, y[order], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["x", "t", "embedding", "context"])
def test_every_input_matters(name):
    model, arrays = unet(context_width=7), batch(context_width=7)
    y = model(**arrays).data
    arrays[name] = arrays[name] + 0.1
    assert np.abs(model(**arrays).data - y).max() > 1e-4


def test_a_masked_token_does_not_matter():
    model, arrays = unet(context_width=7), batch(context_width=7)
    mask = np.arange(5) < np.array([[5], [3], [1]])
    y = model(**arrays, context_mask=mask).data
    arrays["context"][~mask] = 100.0
    assert np.array_equal(model(**arrays, context_mask=mask).data, y)


def test_every_parameter_gets_a_gradient():
    model = unet(context_width=7, mlp_ratio=2, blocks=2)
    (model(**batch(context_width=7)) ** 2).sum().backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.data.any()]
    # a key's bias adds the same to all scores of a query, which softmax takes out again
    assert [name for name in silent if not name.endswith("key.bias")] == []


def test_the_gradient_of_a_unet_is_right():
    model, arrays = unet(context_width=7), batch(N=2, context_width=7)
    x, e, context = arrays["x"], arrays["embedding"], arrays["context"]
    rng = np.random.default_rng(0)
    gradcheck(lambda x, e, c: model(x, arrays["t"], e, c), x, e, context, rng=rng)


def test_the_time_scale_is_the_unit_of_t():
    one, thousand = unet(time_scale=1.0), unet(time_scale=1000.0)
    arrays = batch()
    y = thousand(**arrays).data
    arrays["t"] = arrays["t"] * 1000
    np.testing.assert_allclose(one(**arrays).data, y, rtol=1e-9, atol=1e-12)


def test_integer_times_are_numbers_too():
    model, arrays = unet(time_scale=1.0), batch()
    y = model(**arrays | {"t": np.array([3.0, 0.0, 999.0])}).data
    assert np.array_equal(model(**arrays | {"t": np.array([3, 0, 999])}).data, y)


def test_float32_stays_float32():
    model = unet(dtype=np.float32, context_width=7)
    arrays = batch(dtype=np.float32, context_width=7)
    y = model(**arrays)
    y.sum().backward()
    assert {y.dtype, *(p.grad.dtype for p in model.parameters())} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("settings", "fewer"),
    [({"positions": False}, 12 * 16 * 3), ({"coordinates": False}, 2 * 9 * 8)],
    ids=["positions", "coordinates"],
)
def test_places_can_be_left_out(settings, fewer):
    def size(model):
        return sum(p.size for p in model.parameters())

    assert size(unet()) - size(unet(**settings)) == fewer


def test_a_config_from_json_is_the_same_config():
    config = nn.UNetConfig(**SMALL)
    lists = {n: list(v) if isinstance(v, tuple) else v for n, v in vars(config).items()}
    assert nn.UNetConfig(**lists) == config


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"self_attention": (True,)}, "self_attention has 1 entries, channels has 2"),
        ({"sample_size": 7}, "sample_size 7 cannot be halved 1 times"),
    ],
    ids=["levels", "size"],
)
def test_a_config_that_does_not_fit_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        nn.UNetConfig(**SMALL | settings)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": np.zeros((3, 8, 4, 3))}, r"x is \(3, 8, 4, 3\), expected \(N, 8, 8, 3\)"),
        ({"t": np.zeros(2)}, r"t is \(2,\), expected \(3,\)"),
        ({"context": np.zeros((3, 5, 7))}, "context is given, the config's context_width is None"),
    ],
    ids=["x", "t", "context"],
)
def test_inputs_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        unet()(**batch() | changes)


def test_a_unet_overfits_eight_pictures():
    """It learns to tell the picture from its number, through the embedding, in 60 steps."""
    rng = np.random.default_rng(0)
    model, x0 = unet(dtype=np.float32, stir=False), rng.standard_normal((8, 8, 8, 3), np.float32)
    codes = nn.Embedding(8, 10, rng=rng)
    optimizer = AdamW([*model.parameters(), *codes.parameters()], lr=1e-2)
    x, t = np.zeros_like(x0), np.zeros(8, np.float32)
    for _ in range(60):
        loss = mse_loss(model(x, t, codes(np.arange(8))), Tensor(x0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with no_grad():
        assert mse_loss(model(x, t, codes(np.arange(8))), Tensor(x0)).item() < 0.1


# ---------------------------------------------------------------------------------- LabelledUNet


def test_a_label_and_a_time_reach_every_patch():
    rng = np.random.default_rng(0)
    model = nn.LabelledUNet(3, (8, 16), size=8, rng=rng)
    for p in model.parameters():
        p.data += 0.1 * rng.standard_normal(p.shape).astype(np.float32)
    x = np.broadcast_to(rng.standard_normal((8, 8, 1)), (3, 8, 8, 1)).astype(np.float32)
    y = model(Tensor(x), np.array([0.5, 0.5, 0.9], np.float32), np.array([0, 3, 3])).data
    assert y.shape == x.shape
    assert np.abs(y[0] - y[1]).min() > 0
    assert np.abs(y[1] - y[2]).min() > 0


def test_an_untrained_labelled_unet_predicts_zero_and_knows_its_labels():
    model = nn.LabelledUNet(3, (8, 16), size=8, rng=np.random.default_rng(0))
    x, t = Tensor(np.ones((2, 8, 8, 1), np.float32)), np.array([0.1, 1.0], np.float32)
    assert not model(x, t, np.array([0, 3])).data.any()
    with pytest.raises(IndexError, match="indices are integers"):
        model(x, t, np.array([0, 4]))
    with pytest.raises(ValueError, match=r"2 pictures have labels \(1,\)"):
        model(x, t, np.array([0]))
    with pytest.raises(ValueError, match="size 9 is no multiple of patch 2"):
        nn.LabelledUNet(3, (8, 16), size=9, rng=np.random.default_rng(0))

"""Layers against PyTorch 2.13.0: see ../golden/make_golden_nn.py."""

from pathlib import Path

import numpy as np
import pytest
from close import assert_close

from minigen import Tensor, nn

GOLDEN = Path(__file__).parent.parent / "golden"
RNG = np.random.default_rng(0)
LAYERS = {
    "linear": (lambda: nn.Linear(7, 3, rng=RNG), {}),
    "conv2d": (lambda: nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=1, rng=RNG), {}),
    "conv_transpose2d": (lambda: nn.ConvTranspose2d(3, 4, 3, 2, 1, 1, rng=RNG), {}),
    "embedding": (lambda: nn.Embedding(6, 4, rng=RNG), {}),
    "layer_norm": (lambda: nn.LayerNorm(6), {}),
    "rms_norm": (lambda: nn.RMSNorm(6), {}),
    "group_norm": (lambda: nn.GroupNorm(3, 6), {}),
    "instance_norm": (lambda: nn.InstanceNorm2d(6), {}),
    "batch_norm": (lambda: nn.BatchNorm2d(6), {}),
    "attention_self": (lambda: nn.MultiHeadAttention(6, 3, rng=RNG), {}),
    "attention_causal": (lambda: nn.MultiHeadAttention(6, 2, rng=RNG), {"is_causal": True}),
    "attention_cross": (lambda: nn.MultiHeadAttention(6, 2, context_width=8, rng=RNG), {}),
    "transformer_block": (lambda: nn.TransformerBlock(6, 2, mlp_ratio=2, rng=RNG), {}),
    "res_block": (lambda: nn.ResBlock(4, 6, embedding_width=3, num_groups=2, rng=RNG), {}),
}
every_layer = pytest.mark.parametrize("name", LAYERS)
both_types = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


def load(name, dtype):
    """The golden arrays, those with a point in `dtype`."""
    with np.load(GOLDEN / f"nn_{name}.npz") as file:
        return {n: a.astype(dtype) if a.dtype.kind == "f" else a for n, a in file.items()}


def build(name, golden, dtype):
    layer = LAYERS[name][0]().astype(dtype)
    state = {n.removeprefix("w."): a for n, a in golden.items() if n.startswith("w.")}
    layer.load_state_dict(state, strict=name != "batch_norm")  # its buffers are tested below
    return layer


def run(name, dtype):
    """(golden arrays, layer, its inputs as Tensors, y)."""
    golden = load(name, dtype)
    layer = build(name, golden, dtype)
    keys = [k for k in ("x", "context", "embedding") if k in golden]
    inputs = {k: Tensor(golden[k], requires_grad=True) for k in keys} or {"": golden["indices"]}
    settings = LAYERS[name][1] | {k: golden[k] for k in ("mask",) if k in golden}
    return golden, layer, inputs, layer(*inputs.values(), **settings)


@every_layer
@both_types
def test_forward_is_pytorchs(name, dtype):
    golden, _, _, y = run(name, dtype)
    assert_close(y.data, golden["y"], terms=100)


@every_layer
@both_types
def test_gradients_are_pytorchs(name, dtype):
    golden, layer, inputs, y = run(name, dtype)
    y.backward(golden["g"])
    for key, x in inputs.items():
        if key:
            assert_close(x.grad.data, golden[f"g{key}"], terms=100)
    for key, p in layer.named_parameters():
        assert_close(p.grad.data, golden[f"gw.{key}"], terms=100)


@both_types
def test_batch_norm_follows_the_running_statistics_of_pytorch(dtype):
    golden = load("batch_norm", dtype)
    layer = build("batch_norm", golden, dtype)
    layer(golden["earlier"])
    layer(golden["x"])
    assert_close(layer.running_mean.data, golden["mean"], terms=100)
    assert_close(layer.running_var.data, golden["var"], terms=100)
    assert_close(layer.eval()(golden["x"]).data, golden["y_eval"], terms=100)

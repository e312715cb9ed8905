"""Writes nn_*.npz: layers and optimisers of PyTorch 2.13.0 in float64, in this library's layouts.

    python tests/golden/make_golden_nn.py

Each nn_<layer>.npz holds the inputs, "w.<name>" for each parameter under the name it has here, the
output "y", the upstream gradient "g", the gradients "g<input>" and "gw.<name>". nn_optimisers.npz
holds the gradients of six steps and the parameters after each. PyTorch is not needed to run the
tests.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

HERE = Path(__file__).parent
VERSION = "2.13.0"


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def first(x: torch.Tensor) -> torch.Tensor:
    """Channels last -> channels first."""
    return x.movedim(-1, 1)


def last(x: torch.Tensor) -> torch.Tensor:
    """Channels first -> channels last."""
    return x.movedim(1, -1)


def save(name: str, y, inputs: dict, weights: dict, extra: dict | None = None) -> None:
    """`weights`: our name -> (PyTorch's parameter, how to lay it and its gradient out)."""
    g = draw(*y.shape)
    y.backward(g)
    arrays = {"y": y, "g": g} | inputs | (extra or {})
    arrays |= {f"g{n}": x.grad for n, x in inputs.items() if x.dtype == torch.float64}
    for own, (p, layout) in weights.items():
        arrays |= {f"w.{own}": layout(p), f"gw.{own}": layout(p.grad)}
    np.savez_compressed(
        HERE / f"nn_{name}.npz", **{n: x.detach().numpy() for n, x in arrays.items()}
    )


def same(w):
    return w


def matrix(w):
    """(out, in) -> (in, out)."""
    return w.T


def leaf(*shape: int) -> torch.Tensor:
    return draw(*shape).requires_grad_()


def linear(name: str, layer: nn.Linear) -> dict:
    return {f"{name}weight": (layer.weight, matrix), f"{name}bias": (layer.bias, same)}


def affine(norm):
    """The norm, its scale and shift no longer 1 and 0."""
    with torch.no_grad():
        norm.weight.normal_(1.0, 0.3)
        if getattr(norm, "bias", None) is not None:
            norm.bias.normal_()
    return norm


def scale_and_shift(norm, name: str = "") -> dict:
    return {f"{name}weight": (norm.weight, same), f"{name}bias": (norm.bias, same)}


def make_simple() -> None:
    x, layer = leaf(2, 5, 7), nn.Linear(7, 3)
    save("linear", layer(x), {"x": x}, linear("", layer))

    x, layer = leaf(2, 7, 6, 3), nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=1)
    weights = {"weight": (layer.weight, lambda w: w.permute(2, 3, 1, 0))}
    save("conv2d", last(layer(first(x))), {"x": x}, weights | {"bias": (layer.bias, same)})

    x, layer = leaf(2, 4, 5, 3), nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, output_padding=1)
    weights = {"weight": (layer.weight, lambda w: w.permute(2, 3, 0, 1))}
    save(
        "conv_transpose2d", last(layer(first(x))), {"x": x}, weights | {"bias": (layer.bias, same)}
    )

    layer, indices = nn.Embedding(6, 4), torch.tensor([[1, 5, 1], [0, 1, 3]])
    save("embedding", layer(indices), {"indices": indices}, {"weight": (layer.weight, same)})


def make_norms() -> None:
    x, layer = leaf(2, 5, 6), affine(nn.LayerNorm(6))
    save("layer_norm", layer(x), {"x": x}, scale_and_shift(layer))

    x, layer = leaf(2, 5, 6), affine(nn.RMSNorm(6, eps=1e-6))
    save("rms_norm", layer(x), {"x": x}, {"weight": (layer.weight, same)})

    x, layer = leaf(2, 4, 3, 6), affine(nn.GroupNorm(3, 6))
    save("group_norm", last(layer(first(x))), {"x": x}, scale_and_shift(layer))

    x, layer = leaf(2, 4, 3, 6), affine(nn.InstanceNorm2d(6, affine=True))
    save("instance_norm", last(layer(first(x))), {"x": x}, scale_and_shift(layer))

    layer, x, earlier = affine(nn.BatchNorm2d(6)), leaf(3, 4, 2, 6), draw(3, 4, 2, 6) * 2 + 1
    with torch.no_grad():
        layer(first(earlier))
    y = last(layer(first(x)))
    extra = {"earlier": earlier, "mean": layer.running_mean.clone()}
    extra["var"] = layer.running_var.clone()
    extra["y_eval"] = last(layer.eval()(first(x))).detach()
    save("batch_norm", y, {"x": x}, scale_and_shift(layer), extra)


def attention_weights(layer: nn.MultiheadAttention) -> dict:
    """PyTorch keeps q, k and v in one matrix, or in three where their widths differ."""
    weights = linear("out.", layer.out_proj)
    for i, name in enumerate(("query", "key", "value")):
        rows = slice(i * layer.embed_dim, (i + 1) * layer.embed_dim)
        if layer.in_proj_weight is None:
            parameter = getattr(layer, f"{name[0]}_proj_weight")
            weights[f"{name}.weight"] = (parameter, matrix)
        else:
            weights[f"{name}.weight"] = (layer.in_proj_weight, lambda w, r=rows: w[r].T)
        weights[f"{name}.bias"] = (layer.in_proj_bias, lambda b, r=rows: b[r])
    return weights


def biased(layer: nn.MultiheadAttention) -> nn.MultiheadAttention:
    with torch.no_grad():
        layer.in_proj_bias.normal_()
        layer.out_proj.bias.normal_()
    return layer


def make_attention() -> None:
    x, layer = leaf(2, 5, 6), biased(nn.MultiheadAttention(6, 3, batch_first=True))
    save("attention_self", layer(x, x, x)[0], {"x": x}, attention_weights(layer))

    x, layer = leaf(2, 5, 6), biased(nn.MultiheadAttention(6, 2, batch_first=True))
    hidden = nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64)
    y = layer(x, x, x, attn_mask=hidden, is_causal=True)[0]
    save("attention_causal", y, {"x": x}, attention_weights(layer))

    x, context = leaf(2, 5, 6), leaf(2, 4, 8)
    layer = biased(nn.MultiheadAttention(6, 2, kdim=8, vdim=8, batch_first=True))
    mask = torch.tensor([[True, True, False, True], [True, False, False, False]])
    y = layer(x, context, context, key_padding_mask=~mask)[0]
    inputs = {"x": x, "context": context}
    save("attention_cross", y, inputs, attention_weights(layer), {"mask": mask})

    def gelu(x):
        return functional.gelu(x, approximate="tanh")

    layer = nn.TransformerEncoderLayer(
        6, 2, 12, dropout=0.0, activation=gelu, batch_first=True, norm_first=True
    )
    x = leaf(2, 5, 6)
    weights = scale_and_shift(affine(layer.norm1), "attention_norm.")
    weights |= scale_and_shift(affine(layer.norm2), "feed_forward_norm.")
    attention = attention_weights(biased(layer.self_attn))
    weights |= {f"attention.{key}": value for key, value in attention.items()}
    weights |= linear("feed_forward.inner.", layer.linear1)
    weights |= linear("feed_forward.outer.", layer.linear2)
    save("transformer_block", layer(x), {"x": x}, weights)


def make_res_block() -> None:
    x, embedding = leaf(2, 5, 4, 4), leaf(2, 3)
    norm1, conv1 = affine(nn.GroupNorm(2, 4)), nn.Conv2d(4, 6, 3, padding=1, bias=False)
    scale, shift, conv2 = nn.Linear(3, 6), nn.Linear(3, 6), nn.Conv2d(6, 6, 3, padding=1)
    skip = nn.Linear(4, 6)
    h = functional.group_norm(conv1(functional.silu(norm1(first(x)))), 2)
    h = h * (1 + scale(embedding))[:, :, None, None] + shift(embedding)[:, :, None, None]
    y = skip(x) + last(conv2(functional.silu(h)))

    def filters(w):
        return w.permute(2, 3, 1, 0)

    weights = {"conv1.weight": (conv1.weight, filters), "conv2.weight": (conv2.weight, filters)}
    weights |= {"conv2.bias": (conv2.bias, same)} | linear("skip.", skip)
    weights |= linear("norm2.scale.", scale) | linear("norm2.shift.", shift)
    weights |= scale_and_shift(norm1, "norm1.")
    save("res_block", y, {"x": x, "embedding": embedding}, weights)


OPTIMISERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "sgd_momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.02),
    "sgd_nesterov": lambda p: torch.optim.SGD(
        p, lr=0.1, momentum=0.8, nesterov=True, weight_decay=0.02
    ),
    "adam": lambda p: torch.optim.Adam(p, lr=0.05, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.03),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=0.1),
}


def make_optimisers() -> None:
    start, gradients = [draw(3, 4), draw(5)], [[draw(3, 4), draw(5)] for _ in range(6)]
    arrays = {"start.0": start[0], "start.1": start[1]}
    for step, pair in enumerate(gradients):
        arrays |= {f"gradient.{step}.{i}": g for i, g in enumerate(pair)}
    for name, make in OPTIMISERS.items():
        parameters = [x.clone().requires_grad_() for x in start]
        optimiser = make(parameters)
        for step, pair in enumerate(gradients):
            for p, g in zip(parameters, pair, strict=True):
                p.grad = g.clone()
            optimiser.step()
            for i, p in enumerate(parameters):
                arrays[f"{name}.{step}.{i}"] = p.detach().clone()
    np.savez_compressed(HERE / "nn_optimisers.npz", **{n: x.numpy() for n, x in arrays.items()})


if __name__ == "__main__":
    if not torch.__version__.startswith(VERSION):
        raise SystemExit(f"make_golden_nn: PyTorch {VERSION} expected, this is {torch.__version__}")
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    for make in (make_simple, make_norms, make_attention, make_res_block, make_optimisers):
        make()

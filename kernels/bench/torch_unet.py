"""The networks of the recipes in PyTorch, to be compared with: same function, same weights.

Written as a user of PyTorch writes them: modules on (N, C, H, W), 1x1 and 2x2 convolutions where
minigen has a linear layer over pixels, one projection for queries, keys and values, and PyTorch's
fused attention, group norm and silu. Nothing in here is slower than it has to be in eager mode.

    model = build(minigen_model)            NCHW, PyTorch's default
    model.to(memory_format=torch.channels_last)      the other layout; weights and values follow

Shapes: pictures (N, C, H, W), words (N, L), labels (N,), times (N,).
"""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812, as everywhere
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head attention; with a context_width queries read the context, else themselves.

    Shapes: x (N, L, D), context (N, S, context_width) -> (N, L, D).
    """

    def __init__(self, width: int, heads: int, context_width: int | None = None):
        super().__init__()
        self.heads = heads
        if context_width is None:
            self.qkv = nn.Linear(width, 3 * width)
        else:
            self.query = nn.Linear(width, width)
            self.key_value = nn.Linear(context_width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        if context is None:
            q, k, v = self.qkv(x).chunk(3, dim=-1)
        else:
            q, (k, v) = self.query(x), self.key_value(context).chunk(2, dim=-1)
        q, k, v = (y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v)  # (N, A, L, DH)
        return self.out(y.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Linear, gelu, Linear."""

    def __init__(self, width: int, mlp_ratio: float = 4):
        super().__init__()
        hidden = int(width * mlp_ratio)
        self.inner, self.outer = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(F.gelu(self.inner(x), approximate="tanh"))


class TransformerBlock(nn.Module):
    """Residual branches with the norm inside: self-attention, cross-attention, feed-forward."""

    def __init__(
        self,
        width: int,
        heads: int,
        mlp_ratio: float = 4,
        context_width: int | None = None,
        self_attention: bool = True,
    ):
        super().__init__()
        self.attention = self.cross = self.feed_forward = None
        if self_attention:
            self.attention_norm, self.attention = nn.LayerNorm(width), Attention(width, heads)
        if context_width:
            self.cross_norm = nn.LayerNorm(width)
            self.cross = Attention(width, heads, context_width)
        if mlp_ratio:
            self.feed_forward_norm = nn.LayerNorm(width)
            self.feed_forward = FeedForward(width, mlp_ratio)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        if self.attention is not None:
            x = x + self.attention(self.attention_norm(x))
        if self.cross is not None:
            x = x + self.cross(self.cross_norm(x), context)
        if self.feed_forward is not None:
            x = x + self.feed_forward(self.feed_forward_norm(x))
        return x


class PixelTransformer(nn.Module):
    """A TransformerBlock over the pixels of a picture, each with its learned position."""

    def __init__(self, config: Any, level: int, self_attention: bool):
        super().__init__()
        width, size = config.channels[level], config.sample_size // 2**level
        self.positions = nn.Parameter(torch.zeros(size * size, width)) if config.positions else None
        context_width = config.context_width if config.cross_attention[level] else None
        self.block = TransformerBlock(
            width, config.heads, config.mlp_ratio, context_width, self_attention
        )

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)  # (N, C, H, W) -> (N, H W, C)
        if self.positions is not None:
            tokens = tokens + self.positions
        y = self.block(tokens, context).transpose(1, 2).reshape(x.shape)  # a view, channels last
        return y.contiguous(memory_format=_layout(x))


def _layout(x: Tensor) -> torch.memory_format:
    last = x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


class ResBlock(nn.Module):
    """y = skip(x) + conv2(silu(AdaGN(conv1(silu(norm(x))), embedding)))."""

    def __init__(self, in_channels: int, out_channels: int, embedding_width: int, num_groups: int):
        super().__init__()
        self.num_groups = num_groups
        self.norm1 = nn.GroupNorm(num_groups, in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.Linear(embedding_width, 2 * out_channels)  # scale and shift
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        same = in_channels == out_channels
        self.skip = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.norm2(embedding)[:, :, None, None].chunk(2, dim=1)  # (N, O, 1, 1)
        h = self.conv1(F.silu(self.norm1(x)))
        h = F.group_norm(h, self.num_groups) * (1 + scale) + shift
        return self.skip(x) + self.conv2(F.silu(h))


class Stage(nn.Module):
    """A ResBlock, and behind it attention where the level has any."""

    def __init__(self, config: Any, level: int, in_channels: int, self_attention: bool):
        super().__init__()
        self.residual = ResBlock(
            in_channels, config.channels[level], config.embedding_width, config.num_groups
        )
        cross = config.context_width is not None and config.cross_attention[level]
        attends = self_attention or cross
        self.attention = PixelTransformer(config, level, self_attention) if attends else None

    def forward(self, x: Tensor, embedding: Tensor, context: Tensor | None) -> Tensor:
        x = self.residual(x, embedding)
        return x if self.attention is None else self.attention(x, context)


class Up(nn.Module):
    """Twice the size, by a 1x1 convolution and F.pixel_shuffle."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.linear = nn.Conv2d(in_channels, 4 * out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.linear(x), 2)


class Down(nn.Module):
    """Half the size: a 2x2 convolution of stride 2 is space_to_depth and a linear layer."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.linear = nn.Conv2d(in_channels, out_channels, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


class UNet(nn.Module):
    """minigen.nn.UNet by its config; dropout, which no recipe uses, is left out."""

    grid: Tensor

    def __init__(self, config: Any):
        super().__init__()
        self.config = config
        channels, width, top = config.channels, config.embedding_width, len(config.channels) - 1
        attends = config.self_attention
        self.time = nn.Sequential(
            nn.Linear(2 * channels[0], width), nn.SiLU(), nn.Linear(width, width)
        )
        extra = 2 if config.coordinates else 0
        self.input = nn.Conv2d(config.in_channels + extra, channels[0], 3, padding=1)
        self.down, self.shrink = nn.ModuleList(), nn.ModuleList()
        for level, C in enumerate(channels):
            for _ in range(config.blocks):
                self.down.append(Stage(config, level, C, attends[level]))
            if level < top:
                self.shrink.append(Down(C, channels[level + 1]))
        self.middle = Stage(config, top, channels[top], attends[top])
        self.middle_residual = ResBlock(channels[top], channels[top], width, config.num_groups)
        self.grow, self.up = nn.ModuleList(), nn.ModuleList()
        for level in range(top, -1, -1):
            for _ in range(config.blocks):
                self.up.append(Stage(config, level, 2 * channels[level], attends[level]))
            if level > 0:
                self.grow.append(Up(channels[level], channels[level - 1]))
        self.norm = nn.GroupNorm(config.num_groups, channels[0])
        self.output = nn.Conv2d(channels[0], config.out_channels, 3, padding=1)
        line = torch.linspace(-1, 1, config.sample_size)
        grid = torch.stack(torch.meshgrid(line, line, indexing="ij"))[None]  # (1, 2, H, W)
        self.register_buffer("grid", grid, persistent=False)
        half = channels[0]
        frequencies = torch.exp(-math.log(10000.0) / half * torch.arange(half))
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(
        self, x: Tensor, t: Tensor, embedding: Tensor | None = None, context: Tensor | None = None
    ) -> Tensor:
        e = self._embed(t, embedding)
        if self.config.coordinates:
            x = torch.cat([x, self.grid.expand(len(x), -1, -1, -1)], dim=1)
        down, up, levels = iter(self.down), iter(self.up), len(self.config.channels)
        h, skips = self.input(x), []
        for level in range(levels):
            for _ in range(self.config.blocks):
                h = next(down)(h, e, context)
                skips.append(h)
            if level < levels - 1:
                h = self.shrink[level](h)
        h = self.middle_residual(self.middle(h, e, context), e)
        for level in range(levels):
            for _ in range(self.config.blocks):
                h = next(up)(torch.cat([h, skips.pop()], dim=1), e, context)
            if level < levels - 1:
                h = self.grow[level](h)
        return self.output(F.silu(self.norm(h)))

    def _embed(self, t: Tensor, embedding: Tensor | None) -> Tensor:
        angles = (t * self.config.time_scale)[:, None] * self.frequencies
        e = self.time(torch.cat([angles.cos(), angles.sin()], dim=-1))
        return F.silu(e if embedding is None else e + embedding)


class TextEncoder(nn.Module):
    """Words (N, L) -> tokens (N, L, D), caption (N, E), layout (N, K, S, S)."""

    def __init__(self, config: Any):
        super().__init__()
        D, L, E = config.text_width, config.caption_length, config.embedding_width
        self.layout_shape = (config.layout_channels, config.layout_size, config.layout_size)
        self.word, self.position = nn.Embedding(config.vocabulary, D), nn.Embedding(L, D)
        self.blocks = nn.ModuleList(
            [TransformerBlock(D, config.text_heads) for _ in range(config.text_layers)]
        )
        self.norm = nn.LayerNorm(D)
        self.whole, self.caption = nn.Linear(L * D, 2 * E), nn.Linear(2 * E, E)
        self.layout = nn.Linear(2 * E, math.prod(self.layout_shape))

    def forward(self, words: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        tokens = self.word(words) + self.position.weight
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)
        h = F.silu(self.whole(tokens.flatten(1)))
        return tokens, self.caption(h), self.layout(h).unflatten(1, self.layout_shape)


class TextUNet(nn.Module):
    """The network of the scenes recipe: xt (N, 3, H, W), t (N,), words (N, L) -> (N, 3, H, W)."""

    def __init__(self, config: Any):
        super().__init__()
        self.config = config
        self.text, self.unet = TextEncoder(config), UNet(config.unet())

    def forward(self, xt: Tensor, t: Tensor, words: Tensor) -> Tensor:
        return self.given_text(xt, t, *self.text(words))

    def given_text(self, xt: Tensor, t: Tensor, *text: Tensor) -> Tensor:
        """The same from what the encoder made of the words, once for all steps of a painting."""
        (tokens, caption, layout), P = text, self.config.patch_size
        patches = F.pixel_unshuffle(xt, P)
        layout = F.interpolate(layout, scale_factor=patches.shape[-1] // layout.shape[-1])
        h = self.unet(torch.cat([patches, layout], dim=1), t, caption, tokens)
        return F.pixel_shuffle(h, P)


class GarmentUNet(nn.Module):
    """The network of the fashion_ddpm recipe: xt (N, 1, 28, 28), t (N,), labels (N,) -> as xt."""

    def __init__(self, config: Any, classes: int):
        super().__init__()
        self.label, self.unet = nn.Embedding(classes, config.embedding_width), UNet(config)

    def forward(self, xt: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        return F.pixel_shuffle(self.unet(F.pixel_unshuffle(xt, 2), t, self.label(labels)), 2)


# ----------------------------------------------------------------------------------------- weights

TABLES = ("word", "position", "positions", "label")  # of rows: not turned round as Linear's are
MERGED = {  # layers that are one in here
    r"(.*block\.attention|.*blocks\.\d+\.attention)\.(query|key|value)": "qkv",
    r"(.*\.cross)\.(key|value)": "key_value",
    r"(.*)\.norm2\.(scale|shift)": "norm2",
}


def build(model: Any) -> nn.Module:
    """The PyTorch twin of a minigen UNet, TextUNet or GarmentUNet, with its weights.

    Raises: TypeError for another network.
    """
    name = type(model).__name__
    if name == "TextUNet":
        twin: nn.Module = TextUNet(model.config)
    elif name == "GarmentUNet":
        twin = GarmentUNet(model.unet.config, len(model.label.weight))
    elif name == "UNet":
        twin = UNet(model.config)
    else:
        raise TypeError(f"build: got a {name}, expected a UNet, a TextUNet or a GarmentUNet")
    load_minigen(twin, model.state_dict())
    return twin


def load_minigen(model: nn.Module, state: Mapping[str, np.ndarray]) -> None:
    """Copy a minigen state_dict into a network of this file.

    Raises: RuntimeError, PyTorch's, where names or shapes do not fit.
    """
    parts: dict[str, list[np.ndarray]] = {}
    for name, a in state.items():
        parts.setdefault(_merged_name(name), []).append(_turned(name, a, model))
    merged = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    model.load_state_dict({name: torch.tensor(a) for name, a in merged.items()})


def _merged_name(name: str) -> str:
    """ "a.cross.key.weight" -> "a.cross.key_value.weight"."""
    layer, _, kind = name.rpartition(".")
    for pattern, merged in MERGED.items():
        if found := re.fullmatch(pattern, layer):
            return f"{found[1]}.{merged}.{kind}"
    return name


def _turned(name: str, a: np.ndarray, model: nn.Module) -> np.ndarray:
    """Filters (KH, KW, C, O) -> (O, C, KH, KW), Linear (in, out) -> (out, in)."""
    if name.startswith("text.layout."):  # pixels last: (..., S S K) -> (..., K S S)
        K, S, _ = model.get_submodule("text").layout_shape  # type: ignore[misc]
        a = np.moveaxis(a.reshape(*a.shape[:-1], S, S, K), -1, -3)
        a = a.reshape(*a.shape[:-3], K * S * S)
    if a.ndim == 4:
        return a.transpose(3, 2, 0, 1)
    if a.ndim != 2 or _any_part(name, TABLES):
        return a
    a = a.T
    if ".shrink." in f".{name}":
        return a.reshape(len(a), -1, 2, 2)  # (O, 4 C) -> (O, C, 2, 2), the order of pixel_unshuffle
    if ".grow." in f".{name}" or name.endswith("residual.skip.weight"):
        return a[:, :, None, None]  # a 1x1 convolution
    return a


def _any_part(name: str, parts: Iterable[str]) -> bool:
    return any(part in name.split(".") for part in parts)

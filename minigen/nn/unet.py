"""The U-Net of diffusion models: down to small pictures of many channels, and up beside that way.

    x (N, H, W, in_channels) -> input -> level 0 -> shrink -> level 1 -> shrink -> ... -> middle
    y (N, H, W, out_channels) <- output <- level 0 <- grow <- level 1 <- grow <- ... <- middle

On its way up a level reads what it gave on the way down, concatenated to what comes from below.

Time and class or text reach every ResBlock as one vector (AdaGN), a text's tokens the attention
levels as a context.

Source: Ho, Jain and Abbeel, 2020, appendix B, arXiv 2006.11239; Dhariwal and Nichol, 2021, section
3, arXiv 2105.05233; cross-attention Rombach et al., 2022, section 3.3, arXiv 2112.10752; resampling
by space_to_depth and pixel_shuffle Shi et al., 2016, arXiv 1609.05158, and Saharia et al., 2022,
appendix B, arXiv 2205.11487.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen.autograd import Tensor
from minigen.backend import array_module
from minigen.nn import init
from minigen.nn.blocks import ResBlock
from minigen.nn.conv import Conv2d
from minigen.nn.embedding import timestep_embedding
from minigen.nn.linear import Linear
from minigen.nn.module import Module, ModuleList, Parameter, Sequential
from minigen.nn.norm import GroupNorm
from minigen.nn.transformer import TransformerBlock
from minigen.ops import broadcast_to, concat, pixel_shuffle, silu, space_to_depth


@dataclass(frozen=True)
class UNetConfig:
    """The settings of a UNet; tuples have one entry for each level, the largest picture first."""

    in_channels: int = 3
    out_channels: int = 3
    sample_size: int = 16  # pixels along each side of the input
    channels: tuple[int, ...] = (64, 96, 128)
    blocks: int = 1  # ResBlocks of a level on the way down, and as many on the way up
    self_attention: tuple[bool, ...] = (False, True, True)
    cross_attention: tuple[bool, ...] = (False, True, True)  # only with a context_width
    heads: int = 4
    mlp_ratio: float = 0  # of the feed-forward branch at the attention levels; 0: none
    embedding_width: int = 256  # of the vector that modulates the ResBlocks
    context_width: int | None = None  # of the context's tokens; None: no context
    num_groups: int = 8  # of every group norm
    dropout: float = 0.0
    positions: bool = True  # a learned vector for each pixel, added at the attention levels
    coordinates: bool = True  # two channels with x and y in [-1, 1] beside the input's
    time_scale: float = 1000.0  # makes t 0 ... 1000: 1000 for t in [0, 1], 1 for DDPM's integers

    def __post_init__(self) -> None:
        levels = len(self.channels)
        for name in ("channels", "self_attention", "cross_attention"):
            entries = tuple(getattr(self, name))  # JSON gives lists
            object.__setattr__(self, name, entries)
            if len(entries) != levels:
                raise ValueError(
                    f"UNetConfig: {name} has {len(entries)} entries, channels has {levels}"
                )
        if self.sample_size % 2 ** (levels - 1):
            raise ValueError(
                f"UNetConfig: sample_size {self.sample_size} cannot be halved {levels - 1} times"
            )


class PixelTransformer(Module):
    """A TransformerBlock over the pixels of a picture, each with its learned position.

    Shapes: x (N, size, size, width), context (N, S, context_width) -> as x.
    """

    def __init__(
        self, config: UNetConfig, level: int, self_attention: bool, *, rng: np.random.Generator
    ):
        width, size = config.channels[level], config.sample_size // 2**level
        self.positions = (
            Parameter(init.normal((size * size, width), 0.2, rng=rng)) if config.positions else None
        )
        self.block = TransformerBlock(
            width,
            config.heads,
            config.mlp_ratio,
            config.context_width if config.cross_attention[level] else None,
            self_attention,
            config.dropout,
            rng=rng,
        )

    def forward(self, x: Tensor, context: Any, context_mask: Any) -> Tensor:
        N, H, W, C = x.shape
        tokens = x.reshape(N, H * W, C)
        if self.positions is not None:
            tokens = tokens + self.positions
        if self.block.cross is None:
            context = None
        return self.block(tokens, context, context_mask=context_mask).reshape(x.shape)


class Stage(Module):
    """A ResBlock, and behind it attention where the level has any."""

    def __init__(
        self,
        config: UNetConfig,
        level: int,
        in_channels: int,
        self_attention: bool,
        *,
        rng: np.random.Generator,
    ):
        self.residual = ResBlock(
            in_channels,
            config.channels[level],
            config.embedding_width,
            config.num_groups,
            config.dropout,
            rng=rng,
        )
        cross = config.context_width is not None and config.cross_attention[level]
        self.attention = (
            PixelTransformer(config, level, self_attention, rng=rng)
            if self_attention or cross
            else None
        )

    def forward(self, x: Tensor, embedding: Tensor, context: Any, context_mask: Any) -> Tensor:
        x = self.residual(x, embedding)
        return x if self.attention is None else self.attention(x, context, context_mask)


class Down(Module):
    """Half the size: each 2x2 square becomes a pixel, (N, H, W, C) -> (N, H/2, W/2, O)."""

    def __init__(self, in_channels: int, out_channels: int, *, rng: np.random.Generator):
        self.linear = Linear(4 * in_channels, out_channels, rng=rng)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(space_to_depth(x, 2))


class Up(Module):
    """Twice the size: each pixel becomes a 2x2 square, (N, H, W, C) -> (N, 2H, 2W, O)."""

    def __init__(self, in_channels: int, out_channels: int, *, rng: np.random.Generator):
        self.linear = Linear(in_channels, 4 * out_channels, rng=rng)

    def forward(self, x: Tensor) -> Tensor:
        return pixel_shuffle(self.linear(x), 2)


class UNet(Module):
    """Predicts a picture from a noisy one, the time, and what is known; untrained, it predicts 0.

    x              (N, H, W, in_channels), H = W = sample_size
    t              (N,) the time, see UNetConfig.time_scale
    embedding      (N, embedding_width), added to the time's vector: a class, a pooled text
    context        (N, S, context_width), read by the cross-attention; needed exactly where the
                   config has a context_width
    context_mask   (N, S) bool, True = a token, False = padding

    Shapes: -> (N, H, W, out_channels).
    """

    def __init__(self, config: UNetConfig, *, rng: np.random.Generator):
        self.config = config
        channels, width = config.channels, config.embedding_width
        attends, top = config.self_attention, len(channels) - 1
        self.time_width = 2 * channels[0]  # of the sinusoids
        self.time = Sequential(
            Linear(self.time_width, width, rng=rng), silu, Linear(width, width, rng=rng)
        )
        extra = 2 if config.coordinates else 0
        self.input = Conv2d(config.in_channels + extra, channels[0], 3, padding=1, rng=rng)
        self.down, self.shrink = ModuleList(), ModuleList()
        for level, C in enumerate(channels):
            for _ in range(config.blocks):
                self.down.append(Stage(config, level, C, attends[level], rng=rng))
            if level < top:
                self.shrink.append(Down(C, channels[level + 1], rng=rng))
        self.middle = Stage(config, top, channels[top], attends[top], rng=rng)
        self.middle_residual = ResBlock(
            channels[top], channels[top], width, config.num_groups, config.dropout, rng=rng
        )
        self.grow, self.up = ModuleList(), ModuleList()
        for level in range(top, -1, -1):
            for _ in range(config.blocks):
                self.up.append(Stage(config, level, 2 * channels[level], attends[level], rng=rng))
            if level > 0:
                self.grow.append(Up(channels[level], channels[level - 1], rng=rng))
        self.norm = GroupNorm(config.num_groups, channels[0], silu=True)
        self.output = init.zeroed(Conv2d(channels[0], config.out_channels, 3, padding=1, rng=rng))

    def forward(
        self, x: Any, t: Any, embedding: Any = None, context: Any = None, context_mask: Any = None
    ) -> Tensor:
        self._check(x, t, context)
        e = self._embed(t, embedding, x.dtype)  # (N, embedding_width)
        down, up = iter(self.down), iter(self.up)
        levels, blocks = len(self.config.channels), self.config.blocks
        h, skips = self.input(self._with_coordinates(x)), []
        for level in range(levels):
            for _ in range(blocks):
                h = next(down)(h, e, context, context_mask)
                skips.append(h)
            if level < levels - 1:
                h = self.shrink[level](h)  # (N, H, W, C) -> (N, H/2, W/2, C of the next level)
        h = self.middle_residual(self.middle(h, e, context, context_mask), e)
        for level in range(levels):
            for _ in range(blocks):
                h = next(up)(concat([h, skips.pop()], axis=-1), e, context, context_mask)
            if level < levels - 1:
                h = self.grow[level](h)  # (N, H, W, C) -> (N, 2H, 2W, C of the next level)
        return self.output(self.norm(h))

    def _embed(self, t: Any, embedding: Any, dtype: Any) -> Tensor:
        xp = array_module(self.input.weight.data)
        t = xp.asarray(t.data if isinstance(t, Tensor) else t, dtype) * self.config.time_scale
        e = self.time(timestep_embedding(t, self.time_width))
        return silu(e if embedding is None else e + embedding)

    def _with_coordinates(self, x: Any) -> Any:
        if not self.config.coordinates:
            return x
        N, H, W, _ = x.shape
        xp = array_module(self.input.weight.data)
        rows, columns = xp.meshgrid(xp.linspace(-1, 1, H), xp.linspace(-1, 1, W), indexing="ij")
        grid = xp.stack([rows, columns], axis=-1).astype(x.dtype)  # (H, W, 2)
        return concat([x, broadcast_to(Tensor(grid), shape=(N, H, W, 2))], axis=-1)

    def _check(self, x: Any, t: Any, context: Any) -> None:
        size, C = self.config.sample_size, self.config.in_channels
        if x.ndim != 4 or x.shape[1:] != (size, size, C):
            raise ValueError(f"UNet: x is {x.shape}, expected (N, {size}, {size}, {C})")
        if t.shape != x.shape[:1]:
            raise ValueError(f"UNet: t is {t.shape}, expected {x.shape[:1]}")
        if (context is None) != (self.config.context_width is None):
            raise ValueError(
                f"UNet: context is {'missing' if context is None else 'given'}, "
                f"the config's context_width is {self.config.context_width}"
            )

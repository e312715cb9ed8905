"""A U-Net that reads a caption: the network behind `minigen paint`.

Nichol et al., GLIDE: Towards Photorealistic Image Generation and Editing with Text-Guided Diffusion
Models, 2021, arXiv 2112.10741, section 2.3; cross-attention as in Rombach et al., High-Resolution
Image Synthesis with Latent Diffusion Models, 2021, arXiv 2112.10752, section 3.3.

The idea: a Transformer turns the words into vectors, and the U-Net sees them in three ways. Its
attention layers look words up where they need them; one vector for the whole caption joins the time
in every residual block; and a coarse layout, S x S pixels that the caption alone decides, lies
beside the noisy picture. At pure noise the layout is all there is to see.

    c, (N, L, D)                = Transformer(words)
    h                           = silu(W [c_1 ... c_L])          which word stands where
    e, (N, E)                   = W_e h                          joins the time in every block
    m, (N, S, S, K)             = W_m h                          the layout
    attention of the pixels       softmax(Q K^T / sqrt(DH)) V, K, V from c     2112.10752, 3.3
    prediction                  = U-Net([x_t, m], t, e, c)

Shapes: pictures (N, H, W, 3), times (N,), words (N, L) integers.

Differs from the papers in: words are tokens, and there are two dozen of them; the caption's vector
and layout come from all token vectors side by side, so that the order of the words counts from the
first step; the U-Net works on 2 x 2 patches, a quarter of the pixels. An empty caption, all
padding, stands for "no prompt" in classifier-free guidance (2207.12598).

Notebook: notebooks/04_text_to_image.ipynb. Recipe: minigen/recipes/scenes.py.
Derivation: docs/derivations/text_to_image.md.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen import nn
from minigen.autograd import Tensor, no_grad
from minigen.ops import concat, pixel_shuffle, space_to_depth, upsample


@dataclass(frozen=True)
class TextUNetConfig:
    """Sizes of the network."""

    vocabulary: int  # rows of the word table, the padding included
    caption_length: int = 14  # words; shorter captions are padded
    text_width: int = 128  # D: of a word's vector
    text_layers: int = 2
    text_heads: int = 4
    image_size: int = 32  # pixels
    patch_size: int = 2  # pixels: 32 x 32 x 3 becomes 16 x 16 x 12
    channels: tuple[int, ...] = (64, 96, 128)  # at 16, 8 and 4
    blocks: int = 1  # residual blocks a level
    attention: tuple[bool, ...] = (False, True, True)  # where pixels look at pixels and at words
    heads: int = 4
    embedding_width: int = 256  # E: time and caption
    layout_size: int = 8  # S: pixels of the caption's layout
    layout_channels: int = 16  # K

    def unet(self) -> nn.UNetConfig:
        pixels = 3 * self.patch_size**2
        return nn.UNetConfig(
            in_channels=pixels + self.layout_channels,
            out_channels=pixels,
            channels=self.channels,
            blocks=self.blocks,
            self_attention=self.attention,
            cross_attention=self.attention,
            heads=self.heads,
            embedding_width=self.embedding_width,
            context_width=self.text_width,
            sample_size=self.image_size // self.patch_size,
        )


class TextEncoder(nn.CaptionEncoder):
    """Words to what the U-Net reads: a Transformer without a causal mask, and three views of it.

    Shapes: words (N, L) -> tokens (N, L, D) for attention, caption (N, E) for the residual blocks,
    layout (N, S, S, K) for the first convolution.
    """

    def __init__(self, config: TextUNetConfig, *, rng: np.random.Generator):
        D, L, E = config.text_width, config.caption_length, config.embedding_width
        super().__init__(config.vocabulary, L, D, config.text_layers, config.text_heads, E, rng=rng)
        self.layout_shape = (config.layout_size, config.layout_size, config.layout_channels)
        self.layout = nn.Linear(2 * E, math.prod(self.layout_shape), rng=rng)

    def forward(  # type: ignore[override]
        self, words: np.ndarray
    ) -> tuple[Tensor, Tensor, Tensor]:
        tokens, h = self.views(words)  # (N, L, D), (N, 2 E): which word stands where
        return tokens, self.caption(h), self.layout(h).reshape(len(words), *self.layout_shape)


class TextUNet(nn.Module):
    """What a sampler needs to know about a noisy picture, given its caption.

    Shapes: xt (N, H, W, 3), t (N,), words (N, L), or what `read` made of them -> (N, H, W, 3).
    """

    def __init__(self, config: TextUNetConfig, *, rng: np.random.Generator):
        self.config = config
        self.text = TextEncoder(config, rng=rng)
        self.unet = nn.UNet(config.unet(), rng=rng)

    def read(self, words: np.ndarray) -> dict[str, np.ndarray]:
        """What `forward` makes of the words, to be given to it in their place.

        The same at every step of a painting: read once, all steps are spared the Transformer.
        """
        with no_grad():
            read = zip(("tokens", "caption", "layout"), self.text(words))
            return {name: x.data for name, x in read}

    def forward(
        self,
        xt: Tensor,
        t: np.ndarray,
        words: np.ndarray | None = None,
        *,
        tokens: Any = None,
        caption: Any = None,
        layout: Any = None,
    ) -> Tensor:
        P = self.config.patch_size
        read = (tokens, caption, layout) if words is None else self.text(words)
        tokens, caption, layout = (
            x if isinstance(x, Tensor) else Tensor(x) for x in read
        )  # (N, L, D), (N, E), (N, S, S, K)
        patches = space_to_depth(xt, P)  # (N, H/P, W/P, 3 P P)
        layout = upsample(layout, patches.shape[1] // layout.shape[1])  # (N, H/P, W/P, K)
        h = concat([patches, layout], axis=-1)
        return pixel_shuffle(self.unet(h, t, embedding=caption, context=tokens), P)

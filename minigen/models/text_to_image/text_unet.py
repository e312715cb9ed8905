"""A U-Net that reads a caption: the network behind `minigen paint`.

Nichol et al., GLIDE: Towards Photorealistic Image Generation and Editing with Text-Guided Diffusion
Models, 2021, arXiv 2112.10741, section 2.3; cross-attention as in Rombach et al., High-Resolution
Image Synthesis with Latent Diffusion Models, 2021, arXiv 2112.10752, section 3.3.

The idea: a Transformer turns the words into vectors. Attention layers of the U-Net look the words up
where they need them, and one vector for the whole caption joins the time in every residual block.

    text(words)      = words' vectors c (N, L, D), caption's vector e (N, E)
    attention to c   : softmax(Q K^T / sqrt(DH)) V,  Q from the pixels, K and V from c    2112.10752, 3.3
    v                = U-Net(x_t, t, e, c)

Shapes: pictures (N, H, W, 3), times (N,), words (N, L) integers.

Differs from the papers in: words are tokens, and there are two dozen of them; the caption's vector is a
linear map of all token vectors, not the last one, so that the order of the words is not averaged
away; the U-Net works on 2 x 2 patches, a quarter of the pixels. An empty caption, all padding,
stands for "no prompt" in classifier-free guidance (2207.12598).

Notebook: notebooks/03_text_to_image.ipynb. Recipe: minigen/recipes/scenes.py.
"""

from dataclasses import dataclass

import numpy as np

from minigen import nn
from minigen.autograd import Tensor
from minigen.ops import pixel_shuffle, space_to_depth


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

    def unet(self) -> nn.UNetConfig:
        pixels = 3 * self.patch_size**2
        return nn.UNetConfig(
            in_channels=pixels,
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


class TextEncoder(nn.Module):
    """Words to vectors: a Transformer without a causal mask.

    Shapes: words (N, L) -> (N, L, D) for attention, (N, E) for the residual blocks.
    """

    def __init__(self, config: TextUNetConfig, *, rng: np.random.Generator):
        D, L = config.text_width, config.caption_length
        self.word = nn.Embedding(config.vocabulary, D, rng=rng)
        self.position = nn.Embedding(L, D, rng=rng)
        self.blocks = nn.ModuleList(
            [nn.TransformerBlock(D, config.text_heads, rng=rng) for _ in range(config.text_layers)]
        )
        self.norm = nn.LayerNorm(D)
        self.whole = nn.Linear(L * D, config.embedding_width, rng=rng)

    def forward(self, words: np.ndarray) -> tuple[Tensor, Tensor]:
        N, L = words.shape
        h = self.word(words) + self.position(np.arange(L))  # (N, L, D)
        for block in self.blocks:
            h = block(h)
        h = self.norm(h)
        return h, self.whole(h.reshape(N, -1))  # (N, L, D), (N, E)


class TextUNet(nn.Module):
    """What a sampler needs to know about a noisy picture, given its caption.

    Shapes: xt (N, H, W, 3), t (N,), words (N, L) -> (N, H, W, 3).
    """

    def __init__(self, config: TextUNetConfig, *, rng: np.random.Generator):
        self.config = config
        self.text = TextEncoder(config, rng=rng)
        self.unet = nn.UNet(config.unet(), rng=rng)

    def forward(self, xt: Tensor, t: np.ndarray, words: np.ndarray) -> Tensor:
        context, embedding = self.text(words)  # (N, L, D), (N, E)
        patches = space_to_depth(xt, self.config.patch_size)  # (N, H/P, W/P, 3 P P)
        y = self.unet(patches, t, embedding=embedding, context=context)
        return pixel_shuffle(y, self.config.patch_size)  # (N, H, W, 3)

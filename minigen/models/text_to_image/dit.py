"""DiT: a Transformer in the place of the U-Net.

William Peebles, Saining Xie, Scalable Diffusion Models with Transformers, 2022, arXiv 2212.09748.

The idea: cut the noisy picture into squares, and let a plain Transformer over these tokens say what
the picture is without noise. Nothing in it knows that pictures have two directions, but for the
vector of its place that each token begins with. Time and condition steer every block by the scale
and shift of its norms and by gates on its branches, which are all 0 at the start: a deep network
that begins as the identity.

    tokens        = squares of P x P pixels, linear, plus a vector for the place        section 3.2
    e             = silu(time(t) + caption)
    h             = h + gate_1(e) attention((1 + scale_1(e)) norm(h) + shift_1(e))      adaLN-Zero
    h             = h + cross(norm(h), words)
    h             = h + gate_2(e) mlp((1 + scale_2(e)) norm(h) + shift_2(e))            adaLN-Zero
    prediction    = squares of linear((1 + scale(e)) norm(h) + shift(e))

Shapes: pictures (N, H, W, C), times (N,) in [0, 1], words (N, L) integers.

Differs from the paper in: a caption, not a class. One vector of all of it joins the time in e, as
the class does there, and each block looks the words up by cross-attention as well, which the paper
tried in the place of adaLN-Zero; its last layer starts at 0 too. Pixels, not latents; any loss, not
DDPM's alone; no learned variance. The vectors of the places start as the paper's sinusoids and are
learned. An empty caption stands for "no prompt" in classifier-free guidance (2207.12598).

Notebook: notebooks/24_latent_diffusion.ipynb. Recipe: minigen/recipes/dit.py.
Derivation: docs/derivations/dit.md.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen import nn
from minigen.autograd import Tensor, no_grad


@dataclass(frozen=True)
class DiTConfig:
    """Sizes of the network."""

    vocabulary: int  # rows of the word table, the padding included
    caption_length: int = 14  # words; shorter captions are padded
    text_width: int = 128  # of a word's vector
    text_layers: int = 2
    text_heads: int = 4
    image_size: int = 32  # pixels
    image_channels: int = 3
    patch_size: int = 4  # P, pixels: 32 x 32 x 3 becomes 64 tokens of 48 numbers
    width: int = 192  # D: of a token
    layers: int = 6  # blocks
    heads: int = 6
    mlp_ratio: float = 4.0
    embedding_width: int = 256  # of e: time and caption


class DiTBlock(nn.Module):
    """Self-attention and feed-forward layer within adaLN-Zero, and a look at the words between.

    Shapes: h (N, L, D), e (N, E), words (N, S, text_width) -> as h.
    """

    def __init__(self, config: DiTConfig, *, rng: np.random.Generator):
        D, E, A = config.width, config.embedding_width, config.heads
        self.around_attention = nn.AdaLNZero(D, E, rng=rng)
        self.attention = nn.MultiHeadAttention(D, A, rng=rng)
        self.cross_norm = nn.LayerNorm(D)
        self.cross = nn.MultiHeadAttention(D, A, config.text_width, rng=rng)
        nn.init.zeroed(self.cross.out)
        self.around_feed_forward = nn.AdaLNZero(D, E, rng=rng)
        self.feed_forward = nn.FeedForward(D, config.mlp_ratio, rng=rng)

    def forward(self, h: Any, e: Any, words: Any) -> Tensor:
        y = self.attention(self.around_attention.before(h, e))
        h = self.around_attention.after(h, y, e)
        h = h + self.cross(self.cross_norm(h), words)
        y = self.feed_forward(self.around_feed_forward.before(h, e))
        return self.around_feed_forward.after(h, y, e)


class DiT(nn.Module):
    """What a sampler needs to know about a noisy picture, given its caption; untrained, it says 0.

    Shapes: xt (N, H, W, C), t (N,), words (N, L), or what `read` made of them -> (N, H, W, C).
    """

    def __init__(self, config: DiTConfig, *, rng: np.random.Generator):
        self.config = config
        D, E = config.width, config.embedding_width
        square = config.image_size, config.image_channels, config.patch_size
        self.text = nn.CaptionEncoder(
            config.vocabulary,
            config.caption_length,
            config.text_width,
            config.text_layers,
            config.text_heads,
            E,
            rng=rng,
        )
        self.time = nn.TimeEmbedding(E, rng=rng)
        self.patches = nn.Patches(*square, D, rng=rng)
        self.blocks = nn.ModuleList([DiTBlock(config, rng=rng) for _ in range(config.layers)])
        self.unpatch = nn.Unpatch(*square, D, E, rng=rng)

    def read(self, words: np.ndarray) -> dict[str, np.ndarray]:
        """What `forward` makes of the words, to be given to it in their place.

        The same at every step of a painting: read once, all steps are spared the Transformer.
        """
        with no_grad():
            tokens, caption = self.text(words)
        return {"tokens": tokens.data, "caption": caption.data}

    def forward(
        self,
        xt: Any,
        t: Any,
        words: np.ndarray | None = None,
        *,
        tokens: Any = None,
        caption: Any = None,
    ) -> Tensor:
        if words is not None:
            tokens, caption = self.text(words)  # (N, L, text_width), (N, E)
        e = self.time(t, caption)  # (N, E)
        h = self.patches(xt)  # (N, (H / P)^2, D)
        for block in self.blocks:
            h = block(h, e, tokens)
        return self.unpatch(h, e)  # (N, H, W, C)

"""MMDiT: words and squares of pixels in one attention, each with weights of its own.

Patrick Esser, Sumith Kulal, Andreas Blattmann, Rahim Entezari, Jonas Müller, Harry Saini and
others, Scaling Rectified Flow Transformers for High-Resolution Image Synthesis (Stable Diffusion
3), 2024, arXiv 2403.03206.

The idea: cross-attention lets the picture look at the words, but never the words at the picture.
Here both are rows of tokens that go through the network side by side: two Transformers with weights
of their own, since words and pixels are not alike, joined in every block by one attention over all
tokens of both. Each head's queries and keys are brought to one length, so that no score can grow
without end.

    e                   = silu(time(t) + caption)                                       section 4
    q, k, v             = linear of (1 + scale(e)) norm(tokens) + shift(e), for pixels x, words c
    q, k                = rms_norm(q), rms_norm(k), head by head                    section 5.3.2
    [y_x, y_c]          = softmax([q_x, q_c] [k_x, k_c]^T / sqrt(DH)) [v_x, v_c]          figure 2
    x                   = x + gate(e) W_x y_x,   then + gate(e) mlp_x(...)
    c                   = c + gate(e) W_c y_c,   then + gate(e) mlp_c(...)
    training            z_t = (1 - t) x0 + t eps, logit(t) normal                 (13), (19)

Shapes: pictures (N, H, W, C), times (N,) in [0, 1], words (N, L) integers.

Differs from the paper in: the words come from one small Transformer that is trained along, not from
three large frozen ones; pixels, not latents; D is not 64 times the layers. The vectors of the
places start as sinusoids and are learned. An empty caption stands for "no prompt" in
classifier-free guidance (2207.12598).

Notebook: notebooks/24_latent_diffusion.ipynb. Recipe: minigen/recipes/mmdit.py.
Derivation: docs/derivations/mmdit.md.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen import nn
from minigen.autograd import Tensor, no_grad
from minigen.ops import concat, scaled_dot_product_attention


@dataclass(frozen=True)
class MMDiTConfig:
    """Sizes of the network."""

    vocabulary: int  # rows of the word table, the padding included
    caption_length: int = 14  # words; shorter captions are padded
    text_width: int = 128  # of a word's vector
    text_layers: int = 1  # before the words meet the picture
    text_heads: int = 4
    image_size: int = 32  # pixels
    image_channels: int = 3
    patch_size: int = 4  # pixels: 32 x 32 x 3 becomes 64 tokens of 48 numbers
    width: int = 192  # D: of a token, of either kind
    layers: int = 6  # blocks
    heads: int = 6
    mlp_ratio: float = 4.0
    embedding_width: int = 256  # of e: time and caption

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"MMDiT: width {self.width} does not split into {self.heads} heads")


class Stream(nn.Module):
    """One side of a block, the pixels' or the words': all weights, but no attention.

    is_last  of the words in the last block, which nobody reads behind it: keys and values only

    Shapes: tokens (N, L, D), e (N, E); heads (N, A, L, DH).
    """

    def __init__(self, config: MMDiTConfig, is_last: bool = False, *, rng: np.random.Generator):
        D, E = config.width, config.embedding_width
        self.heads, self.is_last = config.heads, is_last
        self.key, self.value = nn.Linear(D, D, rng=rng), nn.Linear(D, D, rng=rng)
        self.key_norm = nn.RMSNorm(D // config.heads)
        if is_last:
            self.norm = nn.AdaLN(D, E, eps=1e-6, rng=rng)
            return
        self.around_attention = nn.AdaLNZero(D, E, rng=rng)
        self.query, self.out = nn.Linear(D, D, rng=rng), nn.Linear(D, D, rng=rng)
        self.query_norm = nn.RMSNorm(D // config.heads)
        self.around_feed_forward = nn.AdaLNZero(D, E, rng=rng)
        self.feed_forward = nn.FeedForward(D, config.mlp_ratio, rng=rng)

    def project(self, tokens: Any, e: Any) -> tuple[Any, Tensor, Tensor]:
        """Queries, keys and values of this side, head by head; no queries of what is last."""
        h = self.norm(tokens, e) if self.is_last else self.around_attention.before(tokens, e)
        k, v = self.key_norm(self._split(self.key(h))), self._split(self.value(h))
        return (None if self.is_last else self.query_norm(self._split(self.query(h)))), k, v

    def forward(self, tokens: Any, y: Any, e: Any) -> Tensor:
        """The tokens after attention has answered y (N, A, L, DH)."""
        y = self.out(y.transpose(0, 2, 1, 3).reshape(tokens.shape))
        h = self.around_attention.after(tokens, y, e)
        y = self.feed_forward(self.around_feed_forward.before(h, e))
        return self.around_feed_forward.after(h, y, e)

    def _split(self, x: Tensor) -> Tensor:
        N, L, D = x.shape
        return x.reshape(N, L, self.heads, D // self.heads).transpose(0, 2, 1, 3)  # (N, A, L, DH)


class JointBlock(nn.Module):
    """Two streams and one attention over the tokens of both: figure 2b.

    Shapes: x (N, L, D) pixels, c (N, S, D) words, e (N, E) -> x and c as they came; of the last
    block c is None.
    """

    def __init__(self, config: MMDiTConfig, is_last: bool = False, *, rng: np.random.Generator):
        self.pixels = Stream(config, rng=rng)
        self.words = Stream(config, is_last, rng=rng)

    def queries_and_keys(self, x: Any, c: Any, e: Any) -> tuple[Tensor, Tensor, Tensor]:
        """q, k and v of all tokens, the pixels' before the words': (N, A, L + S, DH)."""
        (q_x, *rest_x), (q_c, *rest_c) = self.pixels.project(x, e), self.words.project(c, e)
        q = q_x if q_c is None else concat([q_x, q_c], axis=2)
        k, v = (concat(pair, axis=2) for pair in zip(rest_x, rest_c))
        return q, k, v

    def forward(self, x: Any, c: Any, e: Any) -> tuple[Tensor, Tensor | None]:
        L = x.shape[1]
        y = scaled_dot_product_attention(*self.queries_and_keys(x, c, e))  # (N, A, L + S, DH)
        if self.words.is_last:
            return self.pixels(x, y, e), None
        return self.pixels(x, y[:, :, :L], e), self.words(c, y[:, :, L:], e)


class MMDiT(nn.Module):
    """What a sampler needs to know about a noisy picture, given its caption; untrained, it says 0.

    Shapes: xt (N, H, W, C), t (N,), words (N, L), or what `read` made of them -> (N, H, W, C).
    """

    def __init__(self, config: MMDiTConfig, *, rng: np.random.Generator):
        self.config = config
        D, E, last = config.width, config.embedding_width, config.layers - 1
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
        self.context = nn.Linear(config.text_width, D, rng=rng)
        self.time = nn.TimeEmbedding(E, rng=rng)
        self.patches = nn.Patches(*square, D, rng=rng)
        self.blocks = nn.ModuleList(
            [JointBlock(config, i == last, rng=rng) for i in range(config.layers)]
        )
        self.unpatch = nn.Unpatch(*square, D, E, rng=rng)

    def read(self, words: np.ndarray) -> dict[str, np.ndarray]:
        """What `forward` makes of the words before they meet the picture, for all steps at once."""
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
        x, c = self.patches(xt), self.context(tokens)  # (N, (H / P)^2, D), (N, L, D)
        for block in self.blocks:
            x, c = block(x, c, e)
        return self.unpatch(x, e)  # (N, H, W, C)

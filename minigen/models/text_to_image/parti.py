"""Parti: a caption is translated into a picture, from the language of words to that of codes.

Jiahui Yu, Yuanzhong Xu, Jing Yu Koh, Thang Luong, Gunjan Baid, Zirui Wang, Vijay Vasudevan,
Alexander Ku, Yinfei Yang, Burcu Karagol Ayan, Ben Hutchinson, Wei Han, Zarana Parekh, Xin Li, Han
Zhang, Jason Baldridge, Yonghui Wu, Scaling Autoregressive Models for Content-Rich Text-to-Image
Generation, 2022, arXiv 2206.10789. Encoder and decoder: Vaswani et al., 2017, arXiv 1706.03762.

The idea: text to image is a translation, so it is done by what translates: an encoder reads the
whole caption, both ways, and a decoder writes code after code and looks at the caption from
every layer. A tenth of the captions is empty in training, which makes classifier-free guidance
possible. Of several pictures of a caption, a judge then picks the best.

    c   = encoder(words)
    L   = mean over i of -ln p(z_i | z_1, ..., z_{i-1}, c)                          section 2.1
    l_i = l_without + scale (l_with - l_without)                                    section 2.2
    x*  = argmax over candidates x of score(x, caption)                             section 2.2

Shapes: words (N, L), 0 behind the last; codes (N, h, w) below K; c (N, L, C); logits (N, h w, K).

Differs from the paper in: the tokeniser is an argument, anything that has tokenise(x) -> codes and
decode(codes) -> x; in the recipe a VQ-VAE, in the paper a ViT-VQGAN of 8192 codes with a network
that enlarges its pictures. The encoder is not trained on text alone first. Every place sees all
places before; the paper's decoder has layers that see few rows. The judge is any function
score(pictures, captions), in the paper CoCa.

Notebook: notebooks/23_text_tokens.ipynb. Recipe: minigen/recipes/parti.py.
Derivation: docs/derivations/parti.md.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen import nn
from minigen.autograd import Tensor, no_grad
from minigen.backend import Array, array_module
from minigen.nn.cached import Cache, read
from minigen.ops import cross_entropy
from minigen.samplers.by_token import doubled, draw_in_turn

Score = Callable[[np.ndarray, Sequence[str]], np.ndarray]  # pictures (N, ...), N captions -> (N,)
Paint = Callable[[Sequence[str]], np.ndarray]  # N captions -> N pictures


@dataclass(frozen=True)
class PartiConfig:
    """Sizes of the network."""

    vocabulary: int = 32  # words, 0 among them: none
    caption_length: int = 14  # L
    text_width: int = 128  # C, of a word's vector
    text_layers: int = 2  # of the encoder
    grid: tuple[int, int] = (8, 8)  # h and w, codes down and across
    codes: int = 512  # K of the tokeniser
    width: int = 192  # D, channels of a code in the decoder
    layers: int = 5  # of the decoder
    heads: int = 6
    mlp_ratio: float = 4  # hidden channels of the feed-forward layers, in widths


class Parti(nn.Module):
    """Words (N, L) and codes (N, h, w) -> logits (N, h w, K) of each code, given those before.

    autoencoder  has tokenise(x) -> codes and decode(codes) -> x, and does not learn here
    """

    def __init__(self, config: PartiConfig, autoencoder: Any, *, rng: np.random.Generator):
        self.config, self.autoencoder = config, autoencoder
        c, D, (h, w) = config, config.width, config.grid
        self.text = nn.TextTransformer(
            c.vocabulary, c.caption_length, c.text_width, c.text_layers, c.heads, rng=rng
        )
        self.code = nn.Embedding(c.codes + 1, D, rng=rng)  # the last one says: begin
        self.row, self.column = nn.Embedding(h, D, rng=rng), nn.Embedding(w, D, rng=rng)
        self.blocks: Any = nn.ModuleList(
            [
                nn.TransformerBlock(D, c.heads, c.mlp_ratio, c.text_width, rng=rng)
                for _ in range(c.layers)
            ]
        )
        self.norm = nn.LayerNorm(D)
        self.code_logits = nn.Linear(D, c.codes, rng=rng)

    def forward(self, words: Array, codes: Array) -> Tensor:
        c = self.text(words)  # (N, L, C)
        x = self.inputs(codes.reshape(len(codes), -1)[:, :-1])  # (N, h w, D)
        for block in self.blocks:
            x = block(x, context=c, is_causal=True)
        return self.code_logits(self.norm(x))

    def inputs(self, before: Array, first: int = 0) -> Tensor:
        """What the decoder reads at the places from `first` on, after `before`: (N, l) ->
        (N, l + 1 - first, D), the code before and the place that is to be filled.
        """
        xp, K, w = array_module(before), self.config.codes, self.config.grid[1]
        begin = xp.full((len(before), 1), K, before.dtype)
        tokens = xp.concatenate([begin, before], axis=1)[:, first:]
        places = np.arange(first, before.shape[1] + 1)
        return self.code(tokens) + self.row(places // w) + self.column(places % w)

    def next_logits(self, before: Array, cache: Cache) -> Tensor:
        """Logits of the code after those in `before`: (N, l) -> (N, K); the cache has the caption.

        Raises: ValueError as nn/cached.py says.
        """
        x = self.inputs(before, cache.length)
        hs = read(self.blocks, [x[:, k] for k in range(x.shape[1])], cache)
        return self.code_logits(self.norm(hs[-1]))

    def cache(self, words: Array) -> Cache:
        """An empty one, for pictures of these captions."""
        with no_grad():
            return Cache(self.blocks, len(words), math.prod(self.config.grid), self.text(words))


def log_prob(model: Parti, words: Array, codes: Array) -> Tensor:
    """ln p(codes | words) of each row, in nats.

    Shapes: words (N, L), codes (N, h, w) -> (N,).
    """
    tokens = codes.reshape(len(codes), -1)
    return -cross_entropy(model(words, codes), tokens, "none").sum(axis=1)


def loss(model: Parti, x: Array, words: Array) -> tuple[Tensor, dict[str, float]]:
    """Nats a code, the mean over codes and pictures; section 2.1.

    Shapes: x (N, H, W, C), words (N, L) -> a scalar, {"codes_loss"}: the same, for the log.
    """
    with no_grad():
        codes = model.autoencoder.tokenise(x)
    total = cross_entropy(model(words, codes), codes.reshape(len(codes), -1))
    return total, {"codes_loss": total.item()}


def sample(
    model: Parti,
    words: np.ndarray,
    rng: np.random.Generator,
    *,
    guidance_scale: float = 1.0,
    temperature: float = 1.0,
    top_k: int | None = None,
    callback: Callable[[float], None] | None = None,
) -> np.ndarray:
    """A picture for each caption, drawn code by code and decoded.

    guidance_scale, temperature, top_k, callback  as in samplers/by_token.py

    Shapes: words (N, L) -> (N, H, W, C) float32 in [-1, 1].
    """
    cache = model.cache(doubled(words, guidance_scale))
    codes = draw_in_turn(
        lambda before: model.next_logits(before, cache).data,
        len(words),
        math.prod(model.config.grid),
        rng,
        guidance_scale=guidance_scale,
        temperature=temperature,
        top_k=top_k,
        callback=callback,
    )
    with no_grad():
        return model.autoencoder.decode(codes.reshape(len(words), *model.config.grid)).data


def best_of(paint: Paint, score: Score, captions: Sequence[str], candidates: int) -> np.ndarray:
    """The picture of each caption that `score` likes best among `candidates`; section 2.2.

    paint  captions -> a picture for each, other ones at each call
    score  (pictures, captions) -> (N,), more is better; equally good ones: the first

    Shapes: -> (N, ...), as `paint` gives them.
    Raises: ValueError for fewer than 1 candidate, or scores that are not one for each picture.
    """
    if candidates < 1:
        raise ValueError(f"best_of: candidates is {candidates}, expected 1 or more")
    best = paint(captions)
    if candidates == 1:
        return best
    top = _scores(score, best, captions)
    for _ in range(candidates - 1):
        pictures = paint(captions)
        found = _scores(score, pictures, captions)
        better = found > top
        best = np.where(better.reshape(-1, *[1] * (best.ndim - 1)), pictures, best)
        top = np.where(better, found, top)
    return best


def _scores(score: Score, pictures: np.ndarray, captions: Sequence[str]) -> np.ndarray:
    found = np.asarray(score(pictures, captions), np.float64)
    if found.shape != (len(pictures),) or not np.isfinite(found).all():
        raise ValueError(
            f"best_of: got scores of shape {found.shape}, expected {len(pictures)} finite numbers"
        )
    return found

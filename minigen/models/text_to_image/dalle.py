"""DALL-E: caption and picture as one row of tokens, which one Transformer continues.

Aditya Ramesh, Mikhail Pavlov, Gabriel Goh, Scott Gray, Chelsea Voss, Alec Radford, Mark Chen, Ilya
Sutskever, Zero-Shot Text-to-Image Generation, 2021, arXiv 2102.12092. The relaxation of the codes:
Jang, Gu, Poole, 2016, arXiv 1611.01144; Maddison, Mnih, Teh, 2016, arXiv 1611.00712.

The idea: a discrete autoencoder makes a few dozen codes of a picture, and then a language model
learns rows of words and codes together: it continues a caption with a picture. Choosing a code has
no gradient, so the autoencoder learns with a soft choice that hardens as its temperature falls.

    ln p(x, y) >= E_q(z | x) [ln p(x | y, z) - beta KL(q(y, z | x) || p(y, z))]                 (1)
    z~       = softmax((logits + r) / tau),  r_k = -ln(-ln u_k),  u_k even in 0..1    section 2.1
    L        = 1/8 mean of -ln p(word | words before)
             + 7/8 mean of -ln p(code | caption, codes before)                        section 2.2

In stage one, p(y, z) of eq. 1 is even over the codes and the caption y is left out; in stage two
the autoencoder stands still and the Transformer is p(y, z). tau falls from 1 to 1/16 and beta rises
from 0 along half cosines. The means over places weigh a word and a code as the paper does, whatever
their numbers.

Shapes: x (N, H, W, C); codes (N, h, w) below K; words (N, L), 0 where there is none, which is a
token of its own at each place; the row has L + h w places.

Differs from the paper in: p(x | z) is normal with one fixed deviation, not logit-Laplace with a
learned one, eq. 2: of drawn pictures without noise that learns to be sure of backgrounds and to
take objects for noise. The logits of the codes are their distances from a vector, as in a VQ-VAE,
so that codes with alike meanings are near each other and mixtures of them mean something. Every
place sees all places before, at every layer, in the place of rows, columns and neighbourhoods in
turn. A tenth of the captions is empty, so that classifier-free guidance works
(samplers/by_token.py), where the paper re-ranks 512 pictures. The autoencoder has group norm and
silu; float32 throughout.

Notebook: notebooks/23_text_tokens.ipynb. Recipe: minigen/recipes/dalle.py.
Derivation: docs/derivations/dalle.md.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen import nn
from minigen.autograd import Tensor, no_grad
from minigen.backend import Array, array_module, move
from minigen.metrics.codes import perplexity
from minigen.nn.autoencoder import Decoder, Encoder
from minigen.nn.cached import Cache, read
from minigen.ops import concat, cross_entropy, log_softmax, softmax
from minigen.optim.optimizer import Optimizer
from minigen.samplers.by_token import doubled, draw_in_turn


@dataclass(frozen=True)
class DiscreteVAEConfig:
    """Sizes of the autoencoder, and how it learns."""

    in_channels: int = 3
    channels: tuple[int, ...] = (32, 64)  # every level halves the picture: 32 pixels to 8
    blocks: int = 1  # residual blocks of a level
    codes: int = 512  # K; 8192 in the paper
    code_width: int = 16  # D, numbers of a code
    deviation: float = 0.05  # of p(x | z), in units of a picture's numbers, which are in [-1, 1]
    beta: float = 1.0  # weight of the KL once it has risen; 6.6 in the paper, 1 is eq. 1 itself
    beta_share: float = 0.05  # of the annealing in which it rises; 5,000 of 150,000 in the paper
    tau: float = 1 / 16  # the last temperature, as in the paper
    anneal_steps: int = 1000  # updates until then; 150,000 in the paper


class DiscreteVAE(nn.Module):
    """Pictures (N, H, W, C) in [-1, 1] to codes (N, h, w), and back."""

    def __init__(self, config: DiscreteVAEConfig, *, rng: np.random.Generator):
        c, self.config = config, config
        sizes = (c.in_channels, c.channels, c.code_width, c.blocks)
        self.encoder = Encoder(*sizes, rng=rng)
        self.codebook = nn.Parameter(nn.init.normal((c.codes, c.code_width), 1.0, rng=rng))
        self.decoder = Decoder(*sizes, rng=rng)
        self.annealed = nn.Parameter(np.zeros((), np.float32))  # 0 .. 1, moved by Annealing

    def logits(self, x: Any) -> Tensor:
        """Of each code at each place: -|z - e_k|^2 / sqrt(D), without |z|^2, which all codes share.

        Shapes: (N, H, W, C) -> (N, h, w, K).
        """
        z, e = self.encoder(x), self.codebook  # (N, h, w, D), (K, D)
        distances = (e * e).sum(axis=1) - 2 * (z @ e.transpose(1, 0))  # (N, h, w, K)
        return distances * -(self.config.code_width**-0.5)

    def tokenise(self, x: Any) -> Array:
        """The likeliest code of each place: (N, H, W, C) -> (N, h, w) integers."""
        return self.logits(x).data.argmax(axis=-1)

    def decode(self, codes: Array) -> Tensor:
        """Pictures of codes: (N, h, w) integers -> (N, H, W, C).

        Raises: ValueError where they are no integers from 0 to K - 1.
        """
        K = len(self.codebook)
        if codes.dtype.kind not in "iu" or not 0 <= int(codes.min()) <= int(codes.max()) < K:
            raise ValueError(f"DiscreteVAE: decode takes codes, integers from 0 to {K - 1}")
        return self.decoder(Tensor(self.codebook.data[codes]))


class Annealing(Optimizer):
    """Counts the updates: `annealed` goes from 0 to 1 in `anneal_steps` of them.

    An optimiser, so that a training that goes on finds the temperature that it left.
    """

    def __init__(self, model: DiscreteVAE):
        super().__init__([("annealed", model.annealed)], lr=1.0)
        self.by = 1 / model.config.anneal_steps

    def step(self) -> None:
        self.steps += 1
        for p in self.parameters.values():
            p.data[...] = min(1.0, self.steps * self.by)


def annealing(config: DiscreteVAEConfig, share: float) -> tuple[float, float]:
    """(tau, beta) when `share` of the annealing is done: half cosines, appendix A.2."""

    def along(first: float, last: float, share: float) -> float:
        return last + (first - last) * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))

    return along(1.0, config.tau, share), along(0.0, config.beta, share / config.beta_share)


def gumbel_softmax(logits: Tensor, tau: float, rng: np.random.Generator) -> Tensor:
    """A soft draw of softmax(logits), which hardens as tau falls: its argmax is a draw at any tau.

    Shapes: (..., K) -> (..., K), every row sums to 1.
    """
    # -ln u is exponential for an even u in 0..1; never 0, of which there is no logarithm
    e = np.maximum(rng.standard_exponential(logits.shape, np.float32), np.float32(1e-30))
    r = array_module(logits.data).asarray(-np.log(e), logits.dtype)
    return softmax((logits + r) * (1 / tau))


def autoencoder_loss(
    model: DiscreteVAE, x: Array, rng: np.random.Generator
) -> tuple[Tensor, dict[str, float]]:
    """Eq. 1 with an even p(z), its sign turned, over the numbers of a picture, without constants:

        error / (2 deviation^2) + beta KL / numbers

    Shapes: x (N, H, W, C) -> a scalar, {"squared_error", "kl" in nats a code, "perplexity"}.
    Raises: ValueError for pictures of another shape, or outside [-1, 1].
    """
    config = model.config
    tau, beta = annealing(config, float(move(model.annealed.data, "cpu")))
    logits = model.logits(Tensor(x))  # (N, h, w, K)
    made = model.decoder(gumbel_softmax(logits, tau, rng) @ model.codebook)
    error = ((made - x) ** 2).mean()
    log_q = log_softmax(logits)
    kl = (softmax(logits) * (log_q + math.log(config.codes))).sum(axis=-1).mean()  # of a place
    places = logits.size // config.codes
    total = error * (0.5 / config.deviation**2) + kl * (beta * places / x.size)  # eq. 1
    uses = np.bincount(move(logits.data.argmax(axis=-1), "cpu").reshape(-1))
    return total, {
        "squared_error": error.item(),
        "kl": kl.item(),
        "perplexity": perplexity(uses),
    }


# ------------------------------------------------------------------------- words and codes in a row


@dataclass(frozen=True)
class DALLEConfig:
    """Sizes of the Transformer."""

    vocabulary: int = 32  # words, 0 among them: none
    caption_length: int = 14  # L
    grid: tuple[int, int] = (8, 8)  # h and w, codes down and across
    codes: int = 512  # K of the autoencoder
    width: int = 192  # D, channels of a token
    layers: int = 6
    heads: int = 6
    mlp_ratio: float = 4  # hidden channels of the feed-forward layers, in widths
    words_weight: float = 1 / 8  # of the words' loss, as in the paper; the codes' is 7/8


class DALLE(nn.Module):
    """Words (N, L) and codes (N, h, w) -> logits of each, given all before.

    autoencoder  has tokenise(x) -> codes and decode(codes) -> x, and does not learn here
    """

    def __init__(self, config: DALLEConfig, autoencoder: Any, *, rng: np.random.Generator):
        self.config, self.autoencoder = config, autoencoder
        V, L, D, (h, w) = config.vocabulary, config.caption_length, config.width, config.grid
        self.word = nn.Embedding(V + L + 1, D, rng=rng)  # V + l: none at place l; the last: begin
        self.position = nn.Embedding(L + 1, D, rng=rng)
        self.code = nn.Embedding(config.codes, D, rng=rng)
        self.row, self.column = nn.Embedding(h, D, rng=rng), nn.Embedding(w, D, rng=rng)
        self.blocks: Any = nn.ModuleList(
            [
                nn.TransformerBlock(D, config.heads, config.mlp_ratio, rng=rng)
                for _ in range(config.layers)
            ]
        )
        self.norm = nn.LayerNorm(D)
        self.word_logits = nn.Linear(D, V, rng=rng)
        self.code_logits = nn.Linear(D, config.codes, rng=rng)

    def forward(self, words: Array, codes: Array) -> tuple[Tensor, Tensor]:
        """Logits (N, L, V) of the words and (N, h w, K) of the codes."""
        L, before = self.config.caption_length, codes.reshape(len(codes), -1)[:, :-1]
        x = concat([self.read_words(words), self.read_codes(before)], axis=1)  # (N, L + h w, D)
        for block in self.blocks:
            x = block(x, is_causal=True)
        y = self.norm(x)
        return self.word_logits(y[:, :L]), self.code_logits(y[:, L:])  # the last word tells code 1

    def read_words(self, words: Array) -> Tensor:
        """What the Transformer reads of a caption: begin, then its words; (N, L) -> (N, L + 1, D).

        Raises: ValueError for captions of another length.
        """
        V, L = self.config.vocabulary, self.config.caption_length
        if words.ndim != 2 or words.shape[1] != L:
            raise ValueError(f"DALLE: words are {words.shape}, expected (N, {L})")
        xp = array_module(words)
        tokens = xp.where(words == 0, V + xp.arange(L), words)
        begin = xp.full((len(words), 1), V + L, tokens.dtype)
        return self.word(xp.concatenate([begin, tokens], axis=1)) + self.position(np.arange(L + 1))

    def read_codes(self, codes: Array, first: int = 0) -> Tensor:
        """The same of the codes from place `first` on: (N, l) -> (N, l, D)."""
        places = np.arange(first, first + codes.shape[1])
        w = self.config.grid[1]
        return self.code(codes) + self.row(places // w) + self.column(places % w)

    def next_logits(self, words: Array, before: Array, cache: Cache) -> Tensor:
        """Logits of the code after those in `before`: (N, L), (N, l) -> (N, K).

        Raises: ValueError as nn/cached.py says.
        """
        L = self.config.caption_length
        known = max(cache.length - L - 1, 0)  # codes that the cache has read
        x = self.read_codes(before[:, known:], known)
        if not cache.length:
            x = concat([self.read_words(words), x], axis=1)
        hs = read(self.blocks, [x[:, k] for k in range(x.shape[1])], cache)
        return self.code_logits(self.norm(hs[-1]))

    def cache(self, n: int) -> Cache:
        """An empty one, for `n` rows."""
        h, w = self.config.grid
        return Cache(self.blocks, n, self.config.caption_length + h * w)


def log_prob(model: DALLE, words: Array, codes: Array) -> tuple[Tensor, Tensor]:
    """ln p(words) and ln p(codes | words) of each row, in nats.

    Shapes: words (N, L), codes (N, h, w) -> (N,), (N,).
    """
    of_words, of_codes = model(words, codes)
    tokens = codes.reshape(len(codes), -1)
    text = cross_entropy(of_words, words, "none").sum(axis=1)
    return -text, -cross_entropy(of_codes, tokens, "none").sum(axis=1)


def loss(model: DALLE, x: Array, words: Array) -> tuple[Tensor, dict[str, float]]:
    """Nats a token, words and codes weighed as the paper does; and both of them.

    Shapes: x (N, H, W, C), words (N, L) -> a scalar, {"words_loss", "codes_loss"}.
    """
    with no_grad():
        codes = model.autoencoder.tokenise(x)
    of_words, of_codes = model(words, codes)
    text = cross_entropy(of_words, words)
    picture = cross_entropy(of_codes, codes.reshape(len(codes), -1))
    share = model.config.words_weight
    total = text * share + picture * (1 - share)
    return total, {"words_loss": text.item(), "codes_loss": picture.item()}


def sample(
    model: DALLE,
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
    read_words = doubled(words, guidance_scale)
    cache = model.cache(len(read_words))
    codes = draw_in_turn(
        lambda before: model.next_logits(read_words, before, cache).data,
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

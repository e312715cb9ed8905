"""CLIP: a picture and its caption become two arrows that point the same way.

Radford et al., Learning Transferable Visual Models From Natural Language Supervision, 2021, arXiv
2103.00020, section 2.3 and figure 3; the loss as in van den Oord et al., 2018, arXiv 1807.03748.

The idea: one network reads pictures, another captions, and both answer with a vector of length 1.
Of N pictures and N captions, N^2 ways to put them together, only N are right: each picture has to
find its caption among N by the cosine between the vectors, each caption its picture. What comes
out measures how well any words fit any picture, and so judges painters, ranks what they paint, and
sorts pictures into classes that nobody trained it for.

    I_e = normalise(W_i image(pictures))
    T_e = normalise(W_t text(words))                                             figure 3
    logits = I_e T_e^T exp(t),    exp(t) <= 100                            figure 3, section 2.5
    loss = (cross_entropy(logits, n) + cross_entropy(logits^T, n)) / 2           figure 3

Who knows nothing has the loss ln N, that of a guess. Two captions of a batch may be the same
words; the one is then no wrong answer for the other's picture, and its logit is taken out of the
sum. (A caption that says less, "a red circle", may be true of another red circle as well. That
is not seen here: such rows ask for the impossible, and the loss ends above 0.)

Shapes: pictures (N, H, W, 3), words (N, L) -> embeddings (N, E), logits (N, N).

Differs from the paper in: pictures of 32 pixels and captions of a dozen words; the picture's tower
is a small ResNet with the paper's attention pooling, and a Transformer block as in its ViT between
both. Whether a thing is left of another is lost in a mean over places, so patches know their place
and look at each other before they are pooled. The recipe begins with a temperature of 0.03: in a
training of thousands of steps the paper's 0.07 has no time to come down.

Recipe: minigen/recipes/clip.py. Notebook: notebooks/22_clip.ipynb.
Derivation: docs/derivations/clip.md.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen import nn
from minigen.autograd import Tensor, no_grad
from minigen.backend import Array, array_module
from minigen.ops import concat, cross_entropy, exp, space_to_depth

MAX_SCALE = 100.0  # of the logits, section 2.5
NEVER = -1e4  # a logit that no softmax sees, beside others of at most MAX_SCALE


@dataclass(frozen=True)
class CLIPConfig:
    """Sizes of both towers."""

    vocabulary: int  # rows of the word table, the padding included
    caption_length: int  # L, numbers of the longest caption
    image_size: int = 32  # pixels
    patch_size: int = 4  # pixels of a patch that the Transformer sees: 8 x 8 of them
    stem: int = 48  # channels at half the size, before the patches
    width: int = 128  # D, of a patch's or a word's vector
    image_layers: int = 1  # Transformer blocks over the patches
    text_layers: int = 2  # over the words
    heads: int = 4
    embedding_width: int = 128  # E, of what is compared
    temperature: float = 0.07  # 1 / exp(t) at the start, section 2.5

    def __post_init__(self) -> None:
        if self.patch_size < 2 or self.patch_size % 2 or self.image_size % self.patch_size:
            raise ValueError(
                f"CLIPConfig: patch_size is {self.patch_size}, expected an even number that "
                f"divides image_size, {self.image_size}"
            )


class ImageTower(nn.Module):
    """Pictures to vectors: (N, H, W, 3) in [-1, 1] -> (N, E), of any length.

    The pooling is one attention whose query is the mean of all patches; each head may look at
    other places (section 2.4).
    """

    def __init__(self, config: CLIPConfig, *, rng: np.random.Generator):
        D, P = config.width, config.patch_size
        self.shape = (config.image_size, config.image_size, 3)
        self.patch_size = P
        self.input = nn.Linear(3 * 2 * 2, config.stem, rng=rng)
        self.stem = nn.ResBlock(config.stem, config.stem, rng=rng)
        self.patches = nn.Linear(config.stem * (P // 2) ** 2, D, rng=rng)
        self.block = nn.ResBlock(D, D, rng=rng)
        self.position = nn.Embedding((config.image_size // P) ** 2, D, rng=rng)
        self.blocks = nn.ModuleList(
            [nn.TransformerBlock(D, config.heads, rng=rng) for _ in range(config.image_layers)]
        )
        self.norm = nn.LayerNorm(D)
        self.pool = nn.MultiHeadAttention(D, config.heads, rng=rng)
        self.output = nn.Linear(D, config.embedding_width, bias=False, rng=rng)  # W_i

    def forward(self, x: Any) -> Tensor:
        if x.shape[1:] != self.shape:
            raise ValueError(f"CLIP: pictures are {x.shape}, expected (N, *{self.shape})")
        h = self.stem(self.input(space_to_depth(x, 2)))  # (N, H/2, W/2, stem)
        h = self.patches(space_to_depth(h, self.patch_size // 2))  # (N, H/P, W/P, D)
        h = self.block(h).reshape(len(h), -1, h.shape[-1])  # (N, L, D)
        h = h + self.position(np.arange(h.shape[1]))
        for block in self.blocks:
            h = block(h)
        h = self.norm(h)
        mean = h.mean(axis=1, keepdims=True)  # (N, 1, D)
        pooled = self.pool(mean, concat([mean, h], axis=1))  # (N, 1, D)
        return self.output(pooled[:, 0])


class TextTower(nn.TextTransformer):
    """Words to vectors: (N, L) integers -> (N, E), what the caption's end has seen.

    An end is put behind the longest captions too. A word sees those before it, so the padding
    behind the end is never looked at.
    """

    def __init__(self, config: CLIPConfig, *, rng: np.random.Generator):
        D, L = config.width, config.caption_length
        super().__init__(config.vocabulary, L + 1, D, config.text_layers, config.heads, rng=rng)
        self.output = nn.Linear(D, config.embedding_width, bias=False, rng=rng)  # W_t

    def forward(self, words: np.ndarray) -> Tensor:  # type: ignore[override]
        if words.ndim != 2 or words.shape[1] >= self.length:
            raise ValueError(
                f"CLIP: words are {words.shape}, expected (N, up to {self.length - 1})"
            )
        N = len(words)
        ended = np.concatenate([words, np.zeros((N, 1), words.dtype)], axis=1)  # (N, L + 1)
        h = super().forward(ended, is_causal=True)  # (N, L + 1, D)
        xp = array_module(h.data)
        end = xp.asarray((ended == 0).argmax(axis=1))  # (N,), of the first 0
        return self.output(h[xp.arange(N), end])


class CLIP(nn.Module):
    """Both towers and the temperature: pictures (N, H, W, 3), words (M, L) -> logits (N, M)."""

    def __init__(self, config: CLIPConfig, *, rng: np.random.Generator):
        self.config = config
        self.image = ImageTower(config, rng=rng)
        self.text = TextTower(config, rng=rng)
        self.log_scale = nn.Parameter(np.full(1, -math.log(config.temperature), np.float32))  # t

    def encode_image(self, pictures: Any) -> Tensor:
        """I_e: (N, H, W, 3) in [-1, 1] -> (N, E), each of length 1."""
        return normalise(self.image(pictures if isinstance(pictures, Tensor) else Tensor(pictures)))

    def encode_text(self, words: np.ndarray) -> Tensor:
        """T_e: (N, L) -> (N, E), each of length 1."""
        return normalise(self.text(words))

    def scale(self) -> Tensor:
        """exp(t), at most 100. Beyond it the gradient goes on as if there were no limit.

        So t can come back, which it could not if the limit had no slope.
        """
        t = self.log_scale
        beyond = array_module(t.data).maximum(t.data - math.log(MAX_SCALE), 0)
        return exp(t - beyond)

    def forward(self, pictures: Any, words: np.ndarray) -> Tensor:
        return self.encode_image(pictures) @ self.encode_text(words).transpose(1, 0) * self.scale()


def normalise(x: Tensor) -> Tensor:
    """Each row divided by its length."""
    return x / ((x * x).sum(axis=-1, keepdims=True) + 1e-24) ** 0.5


def loss(model: CLIP, pictures: Array, words: np.ndarray) -> tuple[Tensor, dict[str, float]]:
    """The mean of both cross-entropies, nats; and the scale, and ln N, which a guess would have."""
    logits = model(pictures, words)
    return symmetric_cross_entropy(logits, words), {
        "scale": model.scale().item(),
        "guess": math.log(len(words)),
    }


def symmetric_cross_entropy(logits: Tensor, words: np.ndarray) -> Tensor:
    """Row n belongs to column n, and column n to row n; the same words elsewhere do not count."""
    N, xp = len(words), array_module(logits.data)
    same = (words[:, None] == words[None]).all(axis=-1) & ~np.eye(N, dtype=bool)  # (N, N)
    logits = logits + xp.asarray(np.where(same, NEVER, 0).astype(logits.dtype))
    target = xp.arange(N)
    return 0.5 * (cross_entropy(logits, target) + cross_entropy(logits.transpose(1, 0), target))


def similarity(model: CLIP, pictures: Array, words: np.ndarray) -> Array:
    """Cosines of each picture with each caption, (N, M); no gradient."""
    with no_grad():
        return (model.encode_image(pictures) @ model.encode_text(words).transpose(1, 0)).data

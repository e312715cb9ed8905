"""ImageGPT: a picture's probability, token by token, by a Transformer that looks back only.

Chen, Radford, Child, Wu, Jun, Luan, Sutskever, Generative Pretraining from Pixels, 2020 (ICML);
Vaswani et al., Attention Is All You Need, 2017, arXiv 1706.03762; Radford et al., Language Models
are Unsupervised Multitask Learners (GPT-2), 2019 (the block with its norms inside).

The idea: lay the picture out as a row of tokens and let a language model read it. Attention with a
causal mask lets each place look at everything before it, as far away as it may be, and nothing says
which tokens are neighbours in the picture: the network learns that from its positions.

    p(x) = prod_i p(x_i | x_1, ..., x_{i-1})                                      Chen et al. (1)
    n    = layer_norm(h);  a = h + attention(n);  h' = a + mlp(layer_norm(a))

Shapes: pictures (N, H, W, 1) of the numbers 0 and 1; tokens (N, L), L = (H / PH) (W / PW); logits
(N, L, V) with V = 2^(PH PW).

Differs from the paper in: pixels are black or white, and a token is a block of PH x PW of them
in the place of one of 512 colours. A position is the sum of a learned row and a learned column
(Child et al., Sparse Transformers, 2019, section 6, arXiv 1904.10509), as two places of one column
have something in common from the start. A norm before the logits, as GPT-2 has it.

Recipe: minigen/recipes/mnist_image_gpt.py. Derivation: docs/derivations/image_gpt.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen import nn
from minigen.autograd import Tensor, no_grad
from minigen.backend import Array, array_module, move
from minigen.data.tokens import draw_tokens, from_tokens, to_tokens
from minigen.nn.cached import Cache, read
from minigen.ops import concat, cross_entropy

Callback = Callable[[float], None]  # (share of the pictures that is drawn)


@dataclass(frozen=True)
class ImageGPTConfig:
    """Sizes of the network."""

    shape: tuple[int, int] = (28, 28)  # height and width of a picture, pixels
    patch: tuple[int, int] = (1, 1)  # PH and PW, height and width of a token, pixels
    width: int = 128  # D, channels of a token
    layers: int = 4
    heads: int = 4  # A
    mlp_ratio: float = 4  # hidden channels of the feed-forward layers, in widths

    def __post_init__(self) -> None:
        (H, W), (PH, PW) = self.shape, self.patch
        if H % PH or W % PW:
            raise ValueError(f"image_gpt: no blocks of {self.patch} make up {H} x {W} pixels")

    @property
    def grid(self) -> tuple[int, int]:
        """Tokens down and across."""
        return self.shape[0] // self.patch[0], self.shape[1] // self.patch[1]

    @property
    def symbols(self) -> int:
        """V, the values of a token."""
        return 2 ** (self.patch[0] * self.patch[1])


class ImageGPT(nn.Module):
    """Tokens (N, L) -> logits (N, L, V) of each token, given those before."""

    def __init__(self, config: ImageGPTConfig, *, rng: np.random.Generator):
        self.config, D = config, config.width
        self.token = nn.Embedding(config.symbols + 1, D, rng=rng)  # the last one says: begin
        self.row = nn.Embedding(config.grid[0], D, rng=rng)
        self.column = nn.Embedding(config.grid[1], D, rng=rng)
        self.blocks: Any = nn.ModuleList(
            [
                nn.TransformerBlock(D, config.heads, config.mlp_ratio, rng=rng)
                for _ in range(config.layers)
            ]
        )
        self.norm = nn.LayerNorm(D)
        self.logits = nn.Linear(D, config.symbols, rng=rng)

    def forward(self, tokens: Array) -> Tensor:
        x = self.inputs(tokens[:, :-1])  # (N, L, D)
        for block in self.blocks:
            x = block(x, is_causal=True)
        return self.logits(self.norm(x))

    def inputs(self, before: Array, first: int = 0) -> Tensor:
        """What the network reads at the places from `first` on, after `before` (N, L - 1)."""
        config = self.config
        begin = array_module(before).full((len(before), 1), config.symbols)
        tokens = concat([begin, before], axis=1).data[:, first:]
        places = np.arange(first, before.shape[1] + 1)
        where = self.row(places // config.grid[1]) + self.column(places % config.grid[1])
        return self.token(tokens) + where  # (N, L - first, D)

    def next_logits(self, before: Array, cache: Cache) -> Tensor:
        """The logits of the token after those in `before`: (N, L - 1) -> (N, V).

        Places that the cache holds are not computed again, which changes no bit: nn/cached.py.
        """
        x = self.inputs(before, cache.length)
        hs = read(self.blocks, [x[:, k] for k in range(x.shape[1])], cache)  # (N, D) each
        return self.logits(self.norm(hs[-1]))

    def cache(self, n: int) -> Cache:
        """An empty one, for `n` pictures."""
        return Cache(self.blocks, n, self.config.grid[0] * self.config.grid[1])


def log_prob(model: ImageGPT, x: Array) -> Tensor:
    """log p(x) of each picture in nats, exact: eq. 1.

    Shapes: x (N, H, W, 1) -> (N,).
    Raises: ValueError for numbers other than 0 and 1, or pictures of another shape.
    """
    config, (H, W) = model.config, model.config.shape
    if x.shape[1:] != (H, W, 1):
        raise ValueError(f"log_prob: got pictures {x.shape}, expected (N, {H}, {W}, 1)")
    tokens = to_tokens(move(x, "cpu"), config.patch).reshape(len(x), -1)
    return -cross_entropy(model(tokens), tokens, "none").sum(axis=1)


def loss(model: ImageGPT, x: Array) -> Tensor:
    """Nats per picture, mean over the batch."""
    return -log_prob(model, x).mean()


def sample(
    model: ImageGPT,
    n: int,
    rng: np.random.Generator,
    *,
    given: np.ndarray | None = None,
    rows: int = 0,
    temperature: float = 1.0,
    use_cache: bool = True,
    callback: Callback | None = None,
) -> np.ndarray:
    """Draw `n` pictures, from the first token to the last.

    given, rows  pictures whose first `rows` rows of pixels are kept: the rest is completed
    temperature  below 1: likelier pictures, less varied
    use_cache    False: everything before is computed again for each token; the same pictures

    Shapes: -> (n, H, W, 1) float32 of 0 and 1.
    Raises: ValueError for rows that no block divides, or that are not given.
    Cost: one place of the network for each token; without the cache, half the square of them.
    """
    config = model.config
    if rows % config.patch[0]:
        raise ValueError(f"sample: rows is {rows}, expected a multiple of {config.patch[0]}")
    if rows and (given is None or len(given) != n or given.shape[1] < rows):
        got = None if given is None else given.shape
        raise ValueError(f"sample: given is {got}, expected {n} pictures of {rows} rows or more")
    down, across = config.grid
    tokens = np.zeros((n, down * across), np.int64)
    first = rows // config.patch[0] * across
    if first and given is not None:
        tokens[:, :first] = to_tokens(given[:, :rows], config.patch).reshape(n, -1)
    cache = model.cache(n)
    with no_grad():
        for i in range(first, down * across):
            logits = model.next_logits(tokens[:, :i], cache if use_cache else model.cache(n))
            tokens[:, i] = draw_tokens(logits.numpy(), rng, temperature)
            if callback:
                callback((i + 1) / (down * across))
    return from_tokens(tokens.reshape(n, down, across), config.patch)

"""Gated PixelCNN: a picture's probability, pixel by pixel, by convolutions that look back only.

van den Oord, Kalchbrenner, Vinyals, Espeholt, Graves, Kavukcuoglu, Conditional Image Generation
with PixelCNN Decoders, 2016, arXiv 1606.05328; van den Oord, Kalchbrenner, Kavukcuoglu, Pixel
Recurrent Neural Networks, 2016, arXiv 1601.06759 (the masks A and B).

The idea: the probability of a picture is the product of those of its pixels, each given the pixels
above it and to its left. One stack of convolutions looks at the rows above, another at the own row
so far and, at every layer, at the first; so all pixels before are seen, and none after. All factors
are computed at once where the picture is known; drawing goes pixel by pixel.

    p(x) = prod_i p(x_i | x_1, ..., x_{i-1})                                  1606.05328 (1)
    y    = tanh(W_f * x + V_f h) sigmoid(W_g * x + V_g h)                     1606.05328 (2), (4)

Mask A, of the first layer, leaves out the pixel itself; mask B, of the others, lets it see what was
computed at its place. As everything masked would stand behind the last seen row or column, the
filters are made without it, and the picture is padded on the one side only.

Shapes: pictures (N, H, W, 1) of the numbers 0 ... levels - 1; tokens (N, h, w), h = H / patch;
logits (N, h, w, V) with V = levels^(patch patch).

Differs from the paper in: a "pixel" may be a block of patch x patch pixels, whose joint value is
one of V symbols. The likelihood of the picture stays exact, and the network has patch^2 times fewer
places to compute at. patch = 1 is the paper.

Recipe: minigen/recipes/mnist_pixel_cnn.py. Derivation: docs/derivations/pixel_cnn.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen import nn
from minigen.autograd import Tensor, no_grad
from minigen.backend import Array, array_module, move
from minigen.data.tokens import draw_tokens, from_tokens, to_tokens
from minigen.ops import cross_entropy, gated_tanh, pad, relu, space_to_depth

Callback = Callable[[float], None]  # (share of the pictures that is drawn)


@dataclass(frozen=True)
class PixelCNNConfig:
    """Sizes of the network; the kernels' are odd."""

    channels: int = 64  # C, of each stack
    layers: int = 8  # the first with mask A included
    kernel_size: int = 3  # of the layers with mask B
    first_kernel_size: int = 7  # of the layer with mask A
    head: int = 128  # channels before the logits
    patch: int = 1  # pixels along an edge of what is drawn at once
    levels: int = 2  # values of a pixel
    classes: int = 0  # labels that the pictures depend on; 0: none

    def __post_init__(self) -> None:
        if not (self.kernel_size % 2 and self.first_kernel_size % 2):
            sizes = (self.kernel_size, self.first_kernel_size)
            raise ValueError(f"PixelCNNConfig: kernel sizes are {sizes}, expected odd ones")

    @property
    def symbols(self) -> int:
        """V, the values of a token."""
        return self.levels ** (self.patch * self.patch)


class GatedLayer(nn.Module):
    """Figure 2 of the paper: one layer of the vertical and of the horizontal stack.

    Shapes: (N, h, w, in_channels) -> (N, h, w, channels), in each stack.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel_size: int,
        mask: str,
        classes: int = 0,
        *,
        rng: np.random.Generator,
    ):
        self.mask, self.back = mask, kernel_size // 2  # rows above, or columns to the left
        seen = self.back + (mask == "B")  # with mask B also the own one
        self.vertical = nn.Conv2d(in_channels, 2 * channels, (seen, kernel_size), rng=rng)
        self.horizontal = nn.Conv2d(in_channels, 2 * channels, (1, seen), bias=False, rng=rng)
        self.link = nn.Linear(2 * channels, 2 * channels, rng=rng)
        self.out = nn.Linear(channels, channels, rng=rng)
        self.label = nn.Embedding(classes, 4 * channels, rng=rng) if classes else None

    def above(self, v: Tensor, labels: Array | None) -> tuple[Tensor, Tensor]:
        """The vertical stack: (what the horizontal one is told, the same gated)."""
        v = v[:, :-1] if self.mask == "A" else v
        v = pad(v, pad_width=((0, 0), (self.back, 0), (self.back, self.back), (0, 0)))
        v = self.vertical(v)  # (N, h, w, 2 C)
        link = self.link(v)
        if self.label is not None:  # V h, eq. 4
            bias = self.label(labels).reshape(len(v), 1, 1, -1)  # (N, 1, 1, 4 C)
            half = bias.shape[-1] // 2
            v, link = v + bias[..., :half], link + bias[..., half:]
        return link, gated_tanh(v)  # eq. 2

    def along(self, h: Tensor, link: Tensor) -> Tensor:
        """The horizontal stack."""
        seen = h[:, :, :-1] if self.mask == "A" else h
        seen = pad(seen, pad_width=((0, 0), (0, 0), (self.back, 0), (0, 0)))
        y = self.out(gated_tanh(self.horizontal(seen) + link))  # (N, h, w, C)
        return y if self.mask == "A" else h + y


class PixelCNN(nn.Module):
    """Pictures (N, H, W, 1) -> logits (N, h, w, V) of each token, given those before."""

    def __init__(self, config: PixelCNNConfig, *, rng: np.random.Generator):
        self.config, C = config, config.channels
        self.layers: Any = nn.ModuleList(
            [
                GatedLayer(C, C, config.kernel_size, "B", config.classes, rng=rng)
                if i
                else GatedLayer(
                    config.patch**2, C, config.first_kernel_size, "A", config.classes, rng=rng
                )
                for i in range(config.layers)
            ]
        )
        self.hidden = nn.Linear(C, config.head, rng=rng)
        self.logits = nn.Linear(config.head, config.symbols, rng=rng)

    def forward(self, x: Array, labels: Array | None = None) -> Tensor:
        return self.along(x, self.above(x, labels))

    def above(self, x: Array, labels: Array | None = None) -> list[Tensor]:
        """What each layer's horizontal stack learns of the rows above: (N, h, w, 2 C) each.

        Raises: ValueError for labels that are missing, too many, or not asked for.
        """
        expected = (len(x),) if self.config.classes else None
        if (got := None if labels is None else labels.shape) != expected:
            raise ValueError(f"pixel_cnn: got labels {got}, expected {expected}")
        v, links = self._scaled(x), []
        for layer in self.layers:
            link, v = layer.above(v, labels)
            links.append(link)
        return links

    def along(self, x: Array, links: list[Tensor]) -> Tensor:
        """Logits by what the own row holds and `links` tell; for all rows, or for some."""
        h = self._scaled(x)
        for layer, link in zip(self.layers, links, strict=True):
            h = layer.along(h, link)
        return self.logits(relu(self.hidden(relu(h))))

    def _scaled(self, x: Array) -> Tensor:
        """Numbers as -1 ... 1, the pixels of a block as its channels: (N, h, w, patch^2)."""
        weight = self.logits.weight.data
        x = array_module(weight).asarray(x, weight.dtype)
        return space_to_depth(x * (2 / (self.config.levels - 1)) - 1, self.config.patch)


def log_prob(model: PixelCNN, x: Array, labels: Array | None = None) -> Tensor:
    """log p(x) of each picture in nats, exact: eq. 1.

    Shapes: x (N, H, W, 1), labels (N,) -> (N,).
    Raises: ValueError for numbers that are none of the levels, or H and W that no block divides.
    """
    config = model.config
    tokens = to_tokens(move(x, "cpu"), config.patch, config.levels)
    return -cross_entropy(model(x, labels), tokens, "none").sum(axis=(1, 2))


def loss(model: PixelCNN, x: Array, labels: Array | None = None) -> Tensor:
    """Nats per picture, mean over the batch."""
    return -log_prob(model, x, labels).mean()


def sample(
    model: PixelCNN,
    n: int,
    rng: np.random.Generator,
    shape: tuple[int, int] = (28, 28),
    *,
    labels: np.ndarray | None = None,
    given: np.ndarray | None = None,
    rows: int = 0,
    temperature: float = 1.0,
    callback: Callback | None = None,
) -> np.ndarray:
    """Draw `n` pictures, from the first token to the last.

    shape        height and width
    labels       (n,), for a model with classes
    given, rows  pictures whose first `rows` rows of pixels are kept: the rest is completed
    temperature  below 1: likelier pictures, less varied

    Shapes: -> (n, *shape, 1) float32, numbers 0 ... levels - 1.
    Raises: ValueError for rows that no block divides, or that are not given.
    Cost: the vertical stack runs once a row, the horizontal one, on that row alone, at each token.
    """
    patch, levels = model.config.patch, model.config.levels
    if rows % patch:
        raise ValueError(f"sample: rows is {rows}, expected a multiple of {patch}, the patch")
    if rows and (given is None or len(given) != n or given.shape[1] < rows):
        got = None if given is None else given.shape
        raise ValueError(f"sample: given is {got}, expected {n} pictures of {rows} rows or more")
    x = np.zeros((n, *shape, 1), np.float32)
    if given is not None:
        x[:, :rows] = given[:, :rows]
    with no_grad():
        for top in range(rows, shape[0], patch):
            own = slice(top, top + patch)
            links = [link[:, -1:] for link in model.above(x[:, : top + patch], labels)]
            for left in range(0, shape[1], patch):
                logits = model.along(x[:, own], links)[:, 0, left // patch]  # (n, V)
                tokens = draw_tokens(logits.numpy(), rng, temperature)
                x[:, own, left : left + patch] = from_tokens(tokens[:, None, None], patch, levels)
            if callback:
                callback((top + patch) / shape[0])
    return x

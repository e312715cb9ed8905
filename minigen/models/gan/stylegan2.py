"""StyleGAN2: a generator whose every layer is told the style, and coarse and fine can be mixed.

Karras, Laine, Aittala, Hellsten, Lehtinen, Aila, Analyzing and Improving the Image Quality of
StyleGAN, 2019, arXiv 1912.04958; Karras, Laine, Aila, A Style-Based Generator Architecture for
Generative Adversarial Networks, 2018, arXiv 1812.04948, for the mapping, mixing and truncation;
Karras, Aittala, Hellsten, Laine, Lehtinen, Aila, Training Generative Adversarial Networks with
Limited Data, 2020, arXiv 2006.06676, for classes.

The idea: the picture does not begin with z. It begins with learned numbers, the same for all, and
z, bent by a small network into a style w, says at every layer how strongly each of its channels
counts. Early layers decide on shape, late ones on texture, so that two styles can share a picture.
What no style should decide, where the grain lies, is fresh noise at each layer.

    w       = f(z / |z|),   s = A w + b                             1812.04948, section 2
    w'_kio  = s_i w_kio                                                         1912.04958, (1)
    w''_kio = w'_kio / sqrt(sum over i, k of w'_kio^2 + eps)                    (3)
    D: E softplus(D(G(z))) + E softplus(-D(x)),   now and then  gamma / 2 E |dD(x) / dx|^2
    G: E softplus(-D(G(z))),   now and then  (|J_w^T y| - a)^2,  y ~ N(0, I)    (4)
    w      <- mean + psi (w - mean)                                 1812.04948, appendix B

With classes, z is joined by what a label is turned into, D has a vote for each class, of which that
of the picture's own counts (2006.06676, appendix B), and `mean` is that of a class.

Each picture has filters of its own by (1) and (3). As s_i only scales an input and the root only an
output, the shared filter does for all: scale, convolve, divide.

Shapes: z (N, latents + classes), the label as 0 and 1 behind the numbers; styles ws (N, layers,
styles), pictures (N, size, size, colours) in [-1, 1], logits (N,).

Differs from the papers in: few channels, two or three scales (the smallest is size / 2^levels, 7
for 28); pictures grow by lines between pixels after the first convolution of a scale and shrink by
means of four, in the place of binomial filters; the mean style is taken anew from many z when it is
asked for; projection has no noise maps, and starts from the nearest of many styles; a label has one
linear layer, and D's votes are another.

Recipe: minigen/recipes/fashion_stylegan2.py. Derivation: docs/derivations/stylegan2.md.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from minigen import nn
from minigen.autograd import Tensor, grad, no_grad
from minigen.backend import Array
from minigen.nn.equalised import EqualisedConv2d, EqualisedLinear
from minigen.nn.penalty import r1_penalty
from minigen.nn.styled import EPS, GAIN, StyledConv, ToColours, activate
from minigen.ops import avg_pool2d, bce_with_logits, concat, sigmoid, sqrt, upsample, where
from minigen.optim.running_mean import follow

Augment = Callable[[Tensor, np.random.Generator], Tensor]


@dataclass(frozen=True)
class StyleGAN2Config:
    """Sizes of the two networks."""

    size: int = 28  # pixels along each side, halved for each scale but the first
    colours: int = 1  # channels of a picture
    classes: int = 0  # that G and D are told; 0 for none
    latents: int = 64  # numbers in z
    styles: int = 64  # numbers in w
    mapping_layers: int = 4  # 8 in the paper
    mapping_lr: float = 0.01  # the mapping's learning rate, of the others'
    g_channels: tuple[int, ...] = (64, 48, 24)  # at 7, 14 and 28 pixels
    d_channels: tuple[int, ...] = (24, 48, 64)  # at 28, 14 and 7 pixels
    group: int = 4  # pictures whose spread D is told
    mixing: float = 0.9  # share of pictures with two styles, in training

    def __post_init__(self) -> None:
        scales = len(self.g_channels)
        if not scales == len(self.d_channels) > 0:
            raise ValueError("stylegan2: g_channels and d_channels are expected to be as many")
        if self.size % 2 ** (scales - 1):
            raise ValueError(f"stylegan2: {self.size} pixels cannot be halved {scales - 1} times")

    @property
    def layers(self) -> int:
        """Styles that a picture takes: two a scale."""
        return 2 * len(self.g_channels)


def minibatch_stddev(x: Tensor, group: int) -> Tensor:
    """One more channel: the standard deviation among `group` pictures, its mean over all numbers.

    It shows D that pictures are too alike. Picture n is in a group with n + N / group, ...; where
    `group` does not divide N, the next smaller number that does.

    Shapes: (N, H, W, C) -> (N, H, W, C + 1).
    Source: Karras et al., 2017, section 3, arXiv 1710.10196.
    """
    N, H, W, C = x.shape
    group = next(g for g in range(min(group, N), 0, -1) if N % g == 0)
    y = x.reshape(group, N // group, H * W * C)
    y = y - y.mean(axis=0, keepdims=True)
    spread = sqrt((y * y).mean(axis=0) + EPS).mean(axis=-1)  # (N / group,)
    spread = spread.reshape(1, N // group, 1, 1, 1)
    ones = np.ones((group, N // group, H, W, 1), x.dtype)
    return concat([x, (spread * ones).reshape(N, H, W, 1)])


# ---------------------------------------------------------------------------------------- networks


class Generator(nn.Module):
    """z -> ws -> pictures."""

    def __init__(self, config: StyleGAN2Config, *, rng: np.random.Generator):
        self.config, self.latents, self.classes = config, config.latents, config.classes
        c, styles = config.g_channels, config.styles
        widths = [config.latents, *[styles] * config.mapping_layers]
        if config.classes:
            self.label = EqualisedLinear(config.classes, config.latents, rng=rng)
            widths[0] *= 2
        self.mapping = nn.ModuleList(
            [EqualisedLinear(i, o, lr=config.mapping_lr, rng=rng) for i, o in pairwise(widths)]
        )
        side = config.size // 2 ** (len(c) - 1)
        self.start = nn.Parameter(rng.standard_normal((1, side, side, c[0])).astype(np.float32))
        self.first = nn.ModuleList(
            [
                StyledConv(styles, before, here, grow=i > 0, rng=rng)
                for i, (before, here) in enumerate(zip((c[0], *c), c))
            ]
        )
        self.second = nn.ModuleList(
            [StyledConv(styles, here, here, grow=False, rng=rng) for here in c[1:]]
        )
        self.colours = nn.ModuleList(
            [ToColours(styles, here, config.colours, rng=rng) for here in c]
        )

    def style(self, z: Any) -> Tensor:
        """w of z: (N, latents + classes) -> (N, styles)."""
        w = _of_length_one(z[:, : self.latents])
        if self.classes:
            w = concat([w, _of_length_one(self.label(z[:, self.latents :]))])
        for layer in self.mapping:
            w = activate(layer(w))
        return w

    def styles(self, z: Any) -> Tensor:
        """The same w for every layer: (N, latents + classes) -> (N, layers, styles)."""
        w = self.style(z)
        ones = np.ones((1, self.config.layers, 1), w.dtype)
        return w.reshape(len(w), 1, -1) * ones

    def paint(self, ws: Any, rng: np.random.Generator | None = None) -> Tensor:
        """Pictures of styles; without `rng` there is no grain.

        Shapes: ws (N, layers, styles) -> (N, size, size, colours).
        """
        N = len(ws)
        x = self.start * np.ones((N, 1, 1, 1), self.start.dtype)
        x = self.first[0](x, ws[:, 0], rng)
        picture = self.colours[0](x, ws[:, 1])
        for i in range(1, len(self.first)):
            x = self.first[i](x, ws[:, 2 * i - 1], rng)  # twice the size
            x = self.second[i - 1](x, ws[:, 2 * i], rng)
            picture = upsample(picture, 2, "bilinear") + self.colours[i](x, ws[:, 2 * i + 1])
        return picture

    def forward(self, z: Any, rng: np.random.Generator | None = None) -> Tensor:
        return self.paint(self.styles(z), rng)


def _of_length_one(z: Any) -> Tensor:
    """z over its root mean square."""
    return z / sqrt((z * z).mean(axis=-1, keepdims=True) + EPS)


class Discriminator(nn.Module):
    """Pictures (N, size, size, colours), labels (N, classes) of 0 and 1 -> logits (N,)."""

    def __init__(self, config: StyleGAN2Config, *, rng: np.random.Generator):
        c, self.group = config.d_channels, config.group
        pairs = list(pairwise(c))
        self.start = EqualisedConv2d(1, config.colours, c[0], rng=rng)
        self.first = nn.ModuleList([EqualisedConv2d(3, here, here, rng=rng) for here, _ in pairs])
        self.second = nn.ModuleList(
            [EqualisedConv2d(3, here, after, rng=rng) for here, after in pairs]
        )
        self.skip = nn.ModuleList(
            [EqualisedConv2d(1, here, after, rng=rng) for here, after in pairs]
        )
        side = config.size // 2 ** (len(c) - 1)
        self.last = EqualisedConv2d(3, c[-1] + 1, c[-1], rng=rng)
        self.hidden = EqualisedLinear(side * side * c[-1], c[-1], rng=rng)
        self.vote = EqualisedLinear(c[-1], max(config.classes, 1), rng=rng)

    def forward(self, x: Any, labels: Any = None) -> Tensor:
        h = activate(self.start(x))
        for first, second, skip in zip(self.first, self.second, self.skip):
            half = avg_pool2d(h, 2)
            h = activate(second(avg_pool2d(activate(first(h)), 2)))  # (N, H / 2, W / 2, O)
            h = (h + skip(half)) * (1 / GAIN)
        h = activate(self.last(minibatch_stddev(h, self.group)))
        h = activate(self.hidden(h.reshape(len(h), -1)))
        votes = self.vote(h)  # (N, classes), or (N, 1)
        return (votes if labels is None else votes * labels).sum(axis=1)


class StyleGAN2(nn.Module):
    """Both networks, and the mean length that the path penalty compares with."""

    def __init__(self, config: StyleGAN2Config, *, rng: np.random.Generator):
        self.G, self.D = Generator(config, rng=rng), Discriminator(config, rng=rng)
        self.path_length = nn.Parameter(np.zeros(1, np.float32))


# ------------------------------------------------------------------------------------------ losses


def latents(G: Generator, n: int, rng: np.random.Generator, labels: Array | None = None) -> Tensor:
    """z ~ N(0, I), and behind it the labels, at random if none are given, as 0 and 1.

    Shapes: labels (n,) integers -> (n, latents + classes), of the type of the weights.
    """
    z = rng.standard_normal((n, G.latents), np.float32)
    if G.classes:
        labels = rng.integers(G.classes, size=n) if labels is None else labels
        z = np.concatenate([z, one_hot(labels, G.classes)], axis=1)
    return Tensor(z.astype(G.start.dtype))


def one_hot(labels: Array, classes: int) -> Array:
    """(N,) integers -> (N, classes) of 0 and 1."""
    return np.eye(classes, dtype=np.float32)[labels]


def draw_styles(G: Generator, n: int, rng: np.random.Generator) -> tuple[Tensor, Any]:
    """Styles of `n` new z, and their labels; a share changes to another z's at a random layer.

    Shapes: -> (n, layers, styles), (n, classes) or None.
    Source: 1812.04948, section 3.1.
    """
    config, z = G.config, latents(G, n, rng)
    ws, labels = G.styles(z), z.data[:, G.latents :] if G.classes else None
    if config.mixing == 0:
        return ws, labels
    cut = rng.integers(1, config.layers, n)
    cut[rng.random(n) >= config.mixing] = config.layers
    early = np.arange(config.layers) < cut[:, None]  # (n, layers)
    other = latents(G, n, rng, None if labels is None else labels.argmax(axis=1))
    return where(early[:, :, None], ws, G.styles(other)), labels


def as_they_are(x: Tensor, rng: np.random.Generator) -> Tensor:
    """No augmentation."""
    return x


def discriminator_loss(
    model: StyleGAN2,
    x: Array,
    rng: np.random.Generator,
    augment: Augment = as_they_are,
    labels: Array | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """softplus(-D(x)) + softplus(D(G(z))), means over the batch, of augmented pictures.

    Numbers for the log: the mean probability of being real that D gives to real ones and to fakes.

    Shapes: x (N, size, size, colours), labels (N, classes) of 0 and 1 -> a scalar Tensor.
    """
    with no_grad():
        ws, drawn = draw_styles(model.G, len(x), rng)
        fake = model.G.paint(ws, rng)
    on_real = model.D(augment(Tensor(x), rng), labels)
    on_fake = model.D(augment(fake, rng), drawn)
    loss = bce_with_logits(on_real, 1.0) + bce_with_logits(on_fake, 0.0)
    with no_grad():
        numbers = {"D_real": sigmoid(on_real).mean(), "D_fake": sigmoid(on_fake).mean()}
    return loss, {name: value.item() for name, value in numbers.items()}


def generator_loss(
    model: StyleGAN2, x: Array, rng: np.random.Generator, augment: Augment = as_they_are
) -> Tensor:
    """softplus(-D(G(z))) with len(x) fakes."""
    ws, labels = draw_styles(model.G, len(x), rng)
    return bce_with_logits(model.D(augment(model.G.paint(ws, rng), rng), labels), 1.0)


def r1_loss(
    model: StyleGAN2,
    x: Array,
    rng: np.random.Generator,
    gamma: float = 1.0,
    every: int = 16,
    augment: Augment = as_they_are,
    labels: Array | None = None,
) -> Tensor:
    """every gamma / 2 E |dD(x) / dx|^2: what a penalty in each step does, if taken each `every`.

    Source: section 3.1, lazy regularisation.
    """
    return r1_penalty(lambda x: model.D(augment(x, rng), labels), x, gamma * every)


def path_length_loss(
    model: StyleGAN2, x: Array, rng: np.random.Generator, weight: float = 2.0, every: int = 8
) -> tuple[Tensor, dict[str, float]]:
    """every weight E (|J_w^T y| - a)^2, half as many fakes as x: equal steps of w should change a
    picture equally. a is the running mean of |J_w^T y|, model.path_length.

    |J^T y|^2 is summed over the numbers of w, its mean over layers; y ~ N(0, I / pixels).

    Source: eq. 4 and section 3.2.
    """
    ws, _ = draw_styles(model.G, max(1, len(x) // 2), rng)
    picture = model.G.paint(ws, rng)
    y = rng.standard_normal(picture.shape).astype(picture.dtype)
    y /= math.sqrt(picture.shape[1] * picture.shape[2])
    (J,) = grad((picture * y).sum(), [ws], create_graph=True)  # (N, layers, styles)
    lengths = sqrt((J * J).sum(axis=2).mean(axis=1) + EPS)  # (N,)
    off = lengths - model.path_length.data
    moved = follow(model.path_length, float(lengths.data.mean()))
    return (off * off).mean() * (weight * every) + moved, {"path": float(lengths.data.mean())}


# ---------------------------------------------------------------------------------------- pictures


def mean_styles(G: Generator, n: int = 4096, seed: int = 0) -> Array:
    """The mean of w over `n` z, of each class: (classes, styles), or (1, styles)."""
    rng, means = np.random.default_rng(seed), []
    with no_grad():
        for label in range(max(G.classes, 1)):
            z = latents(G, n, rng, np.full(n, label) if G.classes else None)
            means.append(G.style(z).data.mean(axis=0))
    return np.stack(means)


def truncated(G: Generator, ws: Array, psi: float, labels: Array | None = None) -> Array:
    """mean + psi (w - mean): with psi < 1 less is dared, with psi = 0 all pictures are one.

    Shapes: ws (N, layers, styles), labels (N,) integers where there are classes -> as ws.
    """
    if psi == 1:
        return ws
    mean = mean_styles(G)[np.zeros(len(ws), int) if labels is None else labels][:, None]
    return mean + np.float32(psi) * (ws - mean)


def sample(
    model: StyleGAN2,
    n: int,
    rng: np.random.Generator,
    truncation_psi: float = 1.0,
    labels: Array | None = None,
) -> Array:
    """`n` pictures of new z, (n, size, size, colours) in about [-1, 1], each with one style."""
    G = model.G
    with no_grad():
        z = latents(G, n, rng, labels)
        drawn = z.data[:, G.latents :].argmax(axis=1) if G.classes else None
        ws = truncated(G, G.styles(z).data, truncation_psi, drawn)
        return G.paint(Tensor(ws), rng).data


def mixed(coarse: Array, fine: Array, crossover: int) -> Array:
    """Layers before `crossover` from one, the others from the other: two of (N, layers, styles)."""
    layers = coarse.shape[1]
    if not 0 <= crossover <= layers:
        raise ValueError(f"mixed: crossover is {crossover}, expected 0 to {layers}")
    return np.concatenate([coarse[:, :crossover], fine[:, crossover:]], axis=1)

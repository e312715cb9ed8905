"""AdaIN: any style in one pass, by giving the maps of the content the statistics of the style.

Xun Huang, Serge Belongie, Arbitrary Style Transfer in Real-time with Adaptive Instance
Normalization, 2017, arXiv 1703.06868.

The idea: the mean and the deviation of every map over the picture say much of what Gram matrices
say of a style. So they are simply put in the place of the content's own, and a decoder, trained
once, paints the picture that has such maps. Every style costs one pass, and as maps can be mixed,
there is a slider from the content to the style, and one from style to style.

    AdaIN(x, y) = sigma(y) (x - mu(x)) / sigma(x) + mu(y)       mu, sigma of each map          (8)
    t = AdaIN(f(c), f(s));   T(c, s) = g(t)                     f encoder, g decoder      (9, 10)
    L = L_c + lambda L_s + kappa |g(f(c)) - c|^2                                             (11)
    L_c = |f(g(t)) - t|^2                                                                    (12)
    L_s = sum_i |mu(phi_i(g(t))) - mu(phi_i(s))|^2 + |sigma(...) - sigma(...)|^2             (13)
    T(c, s, strength) = g((1 - strength) f(c) + strength t)                                  (14)
    T(c, s_1 .. s_K, w) = g(sum_k w_k AdaIN(f(c), f(s_k)))                                   (15)

Shapes: c (N, H, W, 3) and s (N, h, w, 3) in [-1, 1]; f (N, H / 4, W / 4, C) at relu3_2.

Differs from the paper in: the differences in (12, 13) are squared, and relative to the squares of t
and of the style's statistics, picture by picture and layer by layer, so that no loud style
outweighs the others; kappa, by which the content's own maps give back the content; maps of relu3_2
of a small VGG, trained on drawn textures, in the place of relu4_1; at use the picture is mirrored
beyond its border rather than inside every layer.

Recipe: minigen/recipes/adain.py. Command: `minigen stylize --method adain`.
Derivation: docs/derivations/style.md. Notebook: notebooks/20_style.ipynb.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen import nn
from minigen.autograd import Tensor, no_grad
from minigen.nn import init
from minigen.ops import concat, relu, sqrt, upsample

EPS = 1e-5  # beside a variance
MARGIN = 16  # pixels mirrored beyond every border; more than the decoder sees from there


@dataclass(frozen=True)
class AdaINConfig:
    """Of the decoder and its training."""

    layer: str = "relu3_2"  # whose maps are restyled
    style_layers: tuple[str, ...] = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")  # phi_i
    channels: tuple[int, ...] = (128, 64, 32)  # of the decoder at 1/4, 1/2 and full size
    style_weight: float = 10.0  # lambda
    pixel_weight: float = 10.0  # kappa: without style nothing changes, and a decoder learns sooner


class Decoder(nn.Module):
    """Maps -> pictures: two convolutions at every size, the maps doubled in between.

    Shapes: (N, h, w, channels[0]) -> (N, h 2^(L-1), w 2^(L-1), 3) for L sizes.
    """

    def __init__(self, channels: Sequence[int], *, rng: np.random.Generator):
        self.convs: Any = nn.ModuleList()  # of Conv2d
        for own, following in zip(channels, [*channels[1:], 3]):
            for ins, outs in ((own, own), (own, following)):
                conv = nn.Conv2d(ins, outs, 3, padding=1, rng=rng)
                conv.weight.data[...] = init.he_normal(conv.weight.shape, rng=rng)
                self.convs.append(conv)
        conv.weight.data *= 0.3  # the first pictures are grey

    def forward(self, h: Tensor) -> Tensor:
        last = len(self.convs) - 1
        for i, conv in enumerate(self.convs):
            h = conv(h) if i == last else relu(conv(h))
            if i % 2 and i != last:
                h = upsample(h, 2)
        return h


class AdaIN(nn.Module):
    """An encoder, whose weights are not trained, and the decoder."""

    def __init__(self, encoder: Any, config: AdaINConfig, *, rng: np.random.Generator):
        encoder.check([config.layer, *config.style_layers])
        self.config, self.encoder = config, encoder
        self.decoder = Decoder(config.channels, rng=rng)

    def maps(self, x: Any) -> Tensor:
        """f(x): the maps that are restyled."""
        return self.encoder.layers(Tensor(x), [self.config.layer])[self.config.layer]


def statistics(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of every map over the picture: (N, h, w, C) -> (N, 1, 1, C) each."""
    mu = maps.mean(axis=(1, 2), keepdims=True)
    centred = maps - mu
    return mu, sqrt((centred * centred).mean(axis=(1, 2), keepdims=True) + EPS)


def adain(x: Tensor, y: Tensor) -> Tensor:
    """x with the mean and deviation that every map has in y (8).

    Shapes: x (N, H, W, C), y (N, h, w, C) -> (N, H, W, C).
    """
    (mu_x, sigma_x), (mu_y, sigma_y) = statistics(x), statistics(y)
    return (x - mu_x) / sigma_x * sigma_y + mu_y


def loss(model: AdaIN, content: np.ndarray, style: np.ndarray) -> tuple[Tensor, dict[str, float]]:
    """L (11), and its parts for the log; contents and styles in pairs.

    Shapes: (N, H, W, 3) each -> a scalar Tensor.
    """
    config = model.config
    with no_grad():
        styles = model.encoder.layers(Tensor(style), {config.layer, *config.style_layers})
        c = model.maps(content)
        t = adain(c, styles[config.layer])  # eq. 9
    both = model.decoder(concat([t, c], axis=0))
    painted, same = both[: len(content)], both[len(content) :]  # eq. 10
    maps = model.encoder.layers(painted, {config.layer, *config.style_layers})
    of_content = relative(maps[config.layer], t)  # eq. 12
    of_style = Tensor(np.zeros((), painted.dtype))
    for name in config.style_layers:
        ours, theirs = (concat(statistics(m[name]), axis=-1) for m in (maps, styles))
        of_style = of_style + relative(ours, theirs) * (1 / len(config.style_layers))  # eq. 13
    change = same - content
    of_pixels = (change * change).mean()
    total = of_content + of_style * config.style_weight + of_pixels * config.pixel_weight  # eq. 11
    parts = {"content": of_content, "style": of_style, "pixels": of_pixels}
    return total, {name: part.item() for name, part in parts.items()}


def relative(x: Tensor, target: Tensor) -> Tensor:
    """|x - target|^2 / |target|^2 of each picture, the mean over the batch: (N, ..) -> a scalar."""
    difference = x - target.data
    share = 1 / (target.data**2).sum(axis=(1, 2, 3), keepdims=True)  # (N, 1, 1, 1)
    return (difference * difference * share).sum() * (1 / len(x))


def stylize(
    model: AdaIN,
    content: np.ndarray,
    styles: Sequence[np.ndarray],
    *,
    weights: Sequence[float] | None = None,
    strength: float = 1.0,
) -> np.ndarray:
    """The content in a mixture of styles (14, 15).

    weights   w_k of the styles, brought to the sum 1; equal where they are None
    strength  0 is the content, 1 the style; between them a mixture of maps

    Shapes: content (1, H, W, 3), styles (1, h, w, 3) each, of any sizes -> (1, H, W, 3) in [-1, 1].
    Raises: ValueError for a style that is smaller than what a number of the maps sees; weights or
    a strength that cannot be.
    """
    w = np.ones(len(styles)) if weights is None else np.asarray(weights, np.float64)
    if w.shape != (len(styles),) or not len(w) or not (w >= 0).all() or not 0 < w.sum() < np.inf:
        raise ValueError(
            f"adain: {len(styles)} styles have the weights {weights}, expected one each, not all 0"
        )
    if not 0 <= strength <= 1:
        raise ValueError(f"adain: strength is {strength}, expected 0 to 1")
    field = model.encoder.receptive_field(model.config.layer)
    for style in styles:
        if min(style.shape[1:3]) < field:
            raise ValueError(
                f"adain: a style picture is {style.shape[2]} x {style.shape[1]} pixels, a number "
                f"of {model.config.layer} sees {field}: give a larger one"
            )
    _, H, W, _ = content.shape
    margins = [(MARGIN, MARGIN + -n % 4) for n in (H, W)]
    with no_grad():
        c = model.maps(np.pad(content, [(0, 0), *margins, (0, 0)], mode="symmetric"))
        mixed = c * (1 - strength)  # eq. 14
        for style, share in zip(styles, w / w.sum()):
            mixed = mixed + adain(c, model.maps(style)) * float(strength * share)  # eq. 15
        painted = model.decoder(mixed).data
    return np.clip(painted[:, MARGIN : MARGIN + H, MARGIN : MARGIN + W], -1, 1)

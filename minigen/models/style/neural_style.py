"""Neural style transfer: a picture is changed until it shows one's things in another's manner.

Leon A. Gatys, Alexander S. Ecker, Matthias Bethge, A Neural Algorithm of Artistic Style, 2015,
arXiv 1508.06576.

The idea: the maps of a deep layer say what is in a picture and about where; which maps answer
together, at whatever place, says what its surface is like. So what is to be kept of the content are
maps, what is to be taken from the style are the products of maps, summed over the picture. Both are
differences that can be differentiated by the pixels, and the pixels are what is trained.

    L_content = 1/2 sum_ij (F_ij - P_ij)^2         F of the picture, P of the content        (1)
    G_ij = sum_k F_ik F_jk                         i, j maps, k places                       (3)
    E_l = 1 / (4 C^2 M^2) sum_ij (G_ij - A_ij)^2   A of the style, C maps, M places          (4)
    L_style = sum_l w_l E_l                                                                  (5)
    L = alpha L_content + beta L_style + gamma L_tv                                          (7)

Shapes: pictures (1, H, W, 3) in [-1, 1]; maps of a layer (1, h, w, C); Gram matrices (1, C, C).

Differs from the paper in: G is divided by the number of places, so that the style may have another
size. Both differences are relative, L_content = sum (F - P)^2 / sum P^2 and w_l E_l =
sum (G - A)^2 / (L sum A^2) for L layers, so that one alpha and beta suit every network. A total
variation L_tv (Mahendran and Vedaldi, 2014, arXiv 1412.0035, eq. 6) calms the pixels. By default it
starts from the content instead of noise. Colours can be kept (`keep_colours`).

Features: minigen/recipes/texture_features.py, or a VGG of yours. Command: `minigen stylize`.
Derivation: docs/derivations/style.md. Notebook: notebooks/20_style.ipynb.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from minigen.autograd import Tensor, no_grad
from minigen.nn import Parameter
from minigen.optim import LBFGS, Adam

_log = logging.getLogger("minigen")
TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


class Features(Protocol):
    """A network that tells its layers: minigen/models/features/vgg.py."""

    @property
    def names(self) -> tuple[str, ...]: ...

    def layers(self, x: Tensor, names: Any) -> dict[str, Tensor]: ...

    def receptive_field(self, name: str) -> int: ...


@dataclass(frozen=True)
class NeuralStyleConfig:
    """What is asked of the picture, and how it is found."""

    content_weight: float = 1.0  # alpha
    style_weight: float = 60.0  # beta; more means less of the content
    variation_weight: float = 1.0  # gamma
    optimizer: str = "lbfgs"  # or "adam"
    steps: int = 150
    lr: float = 0.04  # of Adam; a picture goes from -1 to 1
    start: str = "content"  # or "noise"
    content_layer: str | None = None  # None: relu4_2, or the one before the deepest style layer
    style_layers: tuple[str, ...] | None = None  # None: the first of every block

    def __post_init__(self) -> None:
        if self.optimizer not in ("lbfgs", "adam"):
            raise ValueError(
                f"neural_style: optimizer is {self.optimizer!r}, expected lbfgs or adam"
            )
        if self.start not in ("content", "noise"):
            raise ValueError(f"neural_style: start is {self.start!r}, expected content or noise")
        for name in ("content_weight", "style_weight", "variation_weight"):
            if not getattr(self, name) >= 0:
                raise ValueError(
                    f"neural_style: {name} is {getattr(self, name)}, expected 0 or more"
                )
        if self.steps < 1:
            raise ValueError(f"neural_style: steps is {self.steps}, expected at least 1")


def gram(maps: Tensor) -> Tensor:
    """Which maps answer together: G_ij = 1/M sum_k F_ik F_jk over M places (3).

    Shapes: (N, h, w, C) -> (N, C, C).
    """
    N, h, w, C = maps.shape
    F = maps.reshape(N, h * w, C)
    return F.transpose(0, 2, 1) @ F * (1 / (h * w))


def content_loss(maps: Tensor, target: np.ndarray) -> Tensor:
    """sum (F - P)^2 / sum P^2 (1), 0 where nothing has changed."""
    difference = maps - target
    return (difference * difference).sum() * float(1 / max((target**2).sum(), 1e-12))


def style_loss(maps: dict[str, Tensor], targets: dict[str, np.ndarray]) -> Tensor:
    """The mean over layers of sum (G - A)^2 / sum A^2 (4, 5): 0 for the style itself.

    Shapes: maps (N, h, w, C), targets (1, C, C).
    """
    total: Any = 0.0
    for name, A in targets.items():
        difference = gram(maps[name]) - A
        share = float(1 / (len(targets) * max((A**2).sum(), 1e-12)))
        total = total + (difference * difference).sum() * share
    return total


def total_variation(x: Tensor) -> Tensor:
    """The mean square of the steps between neighbours, down and across."""
    down, across = x[:, 1:] - x[:, :-1], x[:, :, 1:] - x[:, :, :-1]
    return (down * down).mean() + (across * across).mean()


def style_layers(vgg: Features, picture: np.ndarray, layers: Sequence[str] | None) -> list[str]:
    """The layers in which a style is measured: those whose numbers see no more than the picture.

    A number that sees beyond the border sees the padding, and its Gram matrix tells of that.

    Raises: ValueError where the picture is smaller than what the first of them sees.
    """
    wanted = list(layers) if layers else _firsts(vgg)
    size = min(picture.shape[1:3])
    fits = [name for name in wanted if vgg.receptive_field(name) <= size]
    if not fits:
        raise ValueError(
            f"style: the style picture is {picture.shape[2]} x {picture.shape[1]} pixels, a number "
            f"of {wanted[0]} sees {vgg.receptive_field(wanted[0])}: give a larger one"
        )
    if len(fits) < len(wanted):
        _log.warning(
            "style: the style picture is %d x %d pixels, too small for %s; it is measured in %s",
            *(picture.shape[2], picture.shape[1]),
            *(", ".join(part) for part in ([n for n in wanted if n not in fits], fits)),
        )
    return fits


def content_layer(vgg: Features, layer: str | None) -> str:
    """relu4_2 as in the paper; in a network without it the layer before the last block's first."""
    if layer:
        return layer
    if "relu4_2" in vgg.names:
        return "relu4_2"
    return vgg.names[max(0, [*vgg.names].index(_firsts(vgg)[-1]) - 1)]


def check_size(content: np.ndarray, layers: Sequence[str]) -> None:
    """Raises: ValueError for a content of which a layer would have no pixel left."""
    deepest = max(int(name.partition("_")[0].removeprefix("relu")) for name in layers)
    _, H, W, _ = content.shape
    if min(H, W) < 2 ** (deepest - 1):
        raise ValueError(
            f"style: the content is {W} x {H} pixels, block {deepest} of the network halves it "
            f"{deepest - 1} times: give one of at least {2 ** (deepest - 1)}"
        )


def _firsts(vgg: Features) -> list[str]:
    """The first layer of every block."""
    return [name for name in vgg.names if name.endswith("_1")]


def style_targets(
    vgg: Features,
    styles: Sequence[np.ndarray],
    weights: Sequence[float] | None = None,
    layers: Sequence[str] | None = None,
) -> dict[str, np.ndarray]:
    """The Gram matrices to come to: those of the styles (1, H, W, 3), mixed by their weights.

    Raises: ValueError for weights that are negative, all 0, or not one for each style.
    """
    shares = mixture(len(styles), weights)
    common = [n for n in vgg.names if all(n in style_layers(vgg, s, layers) for s in styles)]
    targets: dict[str, np.ndarray] = {}
    with no_grad():
        for style, share in zip(styles, shares):
            for name, maps in vgg.layers(Tensor(style), common).items():
                targets[name] = targets.get(name, 0) + share * gram(maps).data
    return targets


def mixture(n: int, weights: Sequence[float] | None) -> np.ndarray:
    """Shares of n styles, of sum 1; equal ones where none are given.

    Raises: ValueError for weights that are negative, all 0, or not one for each style.
    """
    shares = np.ones(n) if weights is None else np.asarray(weights, np.float64)
    if n == 0 or shares.shape != (n,) or not (shares >= 0).all() or not 0 < shares.sum() < np.inf:
        raise ValueError(
            f"style: {n} styles have the weights {weights}, expected one each, not all 0"
        )
    return (shares / shares.sum()).astype(np.float32)


Callback = Callable[[int, dict[str, float], np.ndarray], None]


def transfer(
    vgg: Features,
    content: np.ndarray,
    styles: Sequence[np.ndarray],
    config: NeuralStyleConfig,
    rng: np.random.Generator,
    *,
    weights: Sequence[float] | None = None,
    callback: Callback | None = None,
) -> np.ndarray:
    """The content's things in the styles' manner.

    weights   of the styles; equal where they are None
    callback  called as callback(step, {"total": ..., "content": ..., "style": ...}, picture so far)
              after every step, and for step 0 before the first

    Shapes: content (1, H, W, 3), styles (1, h, w, 3) each -> (1, H, W, 3), float32 in [-1, 1].
    Raises: ValueError for a picture that is too small, or weights that do not fit.
    """
    targets = style_targets(vgg, styles, weights, config.style_layers)
    layer = content_layer(vgg, config.content_layer)
    check_size(content, [layer, *targets])
    with no_grad():
        kept = vgg.layers(Tensor(content), [layer])[layer].data
    noise = rng.uniform(-0.3, 0.3, content.shape).astype(np.float32)
    x = Parameter(content.copy() if config.start == "content" else noise)
    numbers: dict[str, float] = {}

    def loss() -> Tensor:
        maps = vgg.layers(x, {layer, *targets})
        parts = [content_loss(maps[layer], kept), style_loss(maps, targets), total_variation(x)]
        factors = (config.content_weight, config.style_weight, config.variation_weight)
        total = Tensor(np.float32(0))
        for part, factor in zip(parts, factors):
            total = total + part * factor  # eq. 7
        names = ("total", "content", "style", "variation")
        numbers.update(zip(names, [total.item(), *(part.item() for part in parts)]))
        return total

    def tell(step: int) -> None:
        if callback is not None:
            callback(step, dict(numbers), np.clip(x.data, -1, 1))

    with no_grad():
        loss()
    tell(0)
    lbfgs, adam = LBFGS([x]), Adam([x], config.lr)
    for step in range(1, config.steps + 1):
        if config.optimizer == "lbfgs":
            lbfgs.step(loss)
            if lbfgs.converged:
                break
        else:
            adam.zero_grad()
            loss().backward()
            adam.step()
            np.clip(x.data, -1, 1, out=x.data)
        tell(step)
    return np.clip(x.data, -1, 1)


def keep_colours(picture: np.ndarray, content: np.ndarray) -> np.ndarray:
    """The picture's brightness with the content's colours: Y of one, I and Q of the other.

    Shapes: (..., 3) in [-1, 1] each -> the same.
    Source: Gatys et al., Preserving Color in Neural Artistic Style Transfer, 2016, section 3.2,
    arXiv 1606.05897.
    """
    y, iq = picture @ TO_YIQ[:1].T, content @ TO_YIQ[1:].T
    rgb = np.concatenate([y, iq], axis=-1) @ np.linalg.inv(TO_YIQ).T
    return np.clip(rgb, -1, 1).astype(picture.dtype)


def brightness(picture: np.ndarray) -> np.ndarray:
    """Y in all three channels: what is transferred where colours are kept, (..., 3) -> (..., 3)."""
    return (picture @ TO_YIQ[:1].T).repeat(3, axis=-1).astype(picture.dtype)

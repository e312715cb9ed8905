"""VGG: small filters in a row, the picture halved now and then; what style is measured in.

Karen Simonyan, Andrew Zisserman, Very Deep Convolutional Networks for Large-Scale Image
Recognition, 2014, arXiv 1409.1556.

The idea: a 3 x 3 filter sees three pixels, two in a row see five, and after a pooling everything
sees twice as far. So the first layers answer to lines and colours, the middle ones to textures, the
last ones to shapes, and each has one map for every thing it looks for. Nothing but convolution,
relu and pooling is in it, which makes it easy to go back from what a layer sees to the picture.

    h = relu(conv(h))            convs[b] times in block b, channels[b] maps: layers relu{b}_{i}
    h = avg_pool(h, 2)           between blocks
    votes = mean over pixels of the last h, times W, plus b                     (`VGGClassifier`)

Shapes: pictures (N, H, W, 3) in [-1, 1] -> relu{b}_{i} (N, H / 2^(b-1), W / 2^(b-1), channels[b]).

Differs from the paper in: the mean in the place of the maximum in pooling, as arXiv 1508.06576
proposes for painting; a mean and one linear layer in the place of three; by default 0.46 million
weights in five convolutions. `from_torchvision` reads the weights of the VGGs that others trained.

Recipe: minigen/recipes/texture_features.py. Derivation: docs/derivations/style.md.
Notebook: notebooks/20_style.ipynb.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen import nn
from minigen.autograd import Tensor
from minigen.nn import init
from minigen.ops import avg_pool2d, bce_with_logits, relu

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
KEY = re.compile(r"features\.(\d+)\.(weight|bias)")


@dataclass(frozen=True)
class VGGConfig:
    """Sizes of the network."""

    channels: tuple[int, ...] = (32, 64, 128, 192)  # of the maps of each block
    convs: tuple[int, ...] = (1, 1, 2, 1)  # convolutions of each block
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)  # taken from a picture that goes from 0 to 1 ...
    std: tuple[float, ...] = (0.5, 0.5, 0.5)  # ... which is then divided by this

    def __post_init__(self) -> None:
        if len(self.channels) != len(self.convs) or not all(n > 0 for n in self.convs):
            raise ValueError(f"vgg: {self.channels} channels do not fit {self.convs} convolutions")


class VGG(nn.Module):
    """Pictures (N, H, W, 3) in [-1, 1] -> maps. Layers are called as in papers, relu3_1."""

    def __init__(self, config: VGGConfig, *, rng: np.random.Generator):
        self.config = config
        self.convs: Any = nn.ModuleList()  # of Conv2d
        ins = 3
        for outs, count in zip(config.channels, config.convs):
            for _ in range(count):
                conv = nn.Conv2d(ins, outs, 3, padding=1, rng=rng)
                conv.weight.data[...] = init.he_normal(conv.weight.shape, rng=rng)
                self.convs.append(conv)
                ins = outs

    @property
    def names(self) -> tuple[str, ...]:
        """All layers, the first one first."""
        counts = enumerate(self.config.convs, 1)
        return tuple(f"relu{block}_{i}" for block, n in counts for i in range(1, n + 1))

    def layers(self, x: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
        """The maps of the layers that are asked for; those behind the last are not computed.

        Raises: ValueError for a layer that there is not.
        """
        wanted = self.check(names)
        mean, std = (np.asarray(a, x.dtype) for a in (self.config.mean, self.config.std))
        h, found, block = x * (0.5 / std) + (0.5 - mean) / std, {}, 1
        for name, conv in zip(self.names, self.convs):
            if not name.startswith(f"relu{block}_"):
                h, block = avg_pool2d(h, 2), block + 1
            h = relu(conv(h))  # (N, H / 2^(block-1), W / 2^(block-1), channels)
            if name in wanted:
                found[name] = h
            if len(found) == len(wanted):
                break
        return found

    def forward(self, x: Tensor) -> Tensor:
        """The maps of the last layer."""
        return self.layers(x, self.names[-1:])[self.names[-1]]

    def check(self, names: Iterable[str]) -> set[str]:
        """Raises: ValueError for a layer that there is not."""
        wanted = set(names)
        if missing := sorted(wanted - set(self.names)):
            raise ValueError(f"vgg: there is no layer {missing[0]!r}; {', '.join(self.names)} are")
        return wanted

    def receptive_field(self, name: str) -> int:
        """How many pixels in a row one number of a layer sees.

        A 3 x 3 filter adds 2 steps, a pooling 1, where a step is 2^(block-1) pixels.
        """
        self.check([name])
        field, step, block = 1, 1, 1
        for own in self.names:
            if not own.startswith(f"relu{block}_"):
                field, step, block = field + step, 2 * step, block + 1
            field += 2 * step
            if own == name:
                break
        return field


class VGGClassifier(nn.Module):
    """Pictures -> votes for each of `labels` things, of which several may be seen at once."""

    def __init__(self, config: VGGConfig, labels: int, *, rng: np.random.Generator):
        self.vgg = VGG(config, rng=rng)
        self.vote = nn.Linear(config.channels[-1], labels, rng=rng)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.vgg(x))

    def head(self, maps: Tensor) -> Tensor:
        """Votes of the last layer's maps: (N, h, w, C) -> (N, labels)."""
        return self.vote(maps.mean(axis=(1, 2)))


def loss(model: VGGClassifier, x: np.ndarray, seen: np.ndarray) -> Tensor:
    """Binary cross-entropy in nats a label, mean over labels and pictures; seen (N, labels)."""
    return bce_with_logits(model(Tensor(x)), seen)


def balance(model: VGGClassifier, pictures: Iterable[np.ndarray]) -> None:
    """Scale every filter in place so that its mean answer to the pictures is 1; votes stay.

    relu(a x) = a relu(x) for a > 0: dividing a filter and its bias by m, and multiplying the
    weights that read its map by m, changes no later layer. So no map outweighs others in a Gram
    matrix by chance. A filter that never answers stays as it is.

    Shapes: pictures is an iterable of (N, H, W, 3), so that not all maps exist at once.

    Source: Gatys, Ecker and Bethge, 2015, section 2, arXiv 1505.07376.
    """
    vgg, sums = model.vgg, dict.fromkeys(model.vgg.names, 0.0)
    count = 0
    for x in pictures:
        count += len(x)
        for name, maps in vgg.layers(Tensor(x), vgg.names).items():
            sums[name] = sums[name] + maps.data.mean(axis=(1, 2)).sum(axis=0)
    scale = np.ones(3, np.float32)  # of the maps that a layer reads
    for name, conv in zip(vgg.names, vgg.convs):
        means = np.asarray(sums[name] / count, conv.weight.dtype)
        own = np.where(means > 1e-6, means, np.ones_like(means))
        conv.weight.data *= scale[:, None]
        conv.weight.data /= own
        conv.bias.data /= own
        scale = own
    model.vote.weight.data *= scale[:, None]


# ------------------------------------------------------------------------- weights of other people


def from_torchvision(arrays: Mapping[str, np.ndarray]) -> VGG:
    """A VGG-11, 13, 16 or 19 without batch norm, from the arrays of torchvision's state dict.

    `features.0.weight` (O, C, 3, 3), `features.0.bias` (O,), ...: convolutions stand two places
    apart, where a pooling lies between them three. The linear layers are left out. Its pictures are
    normalised by ImageNet's mean and deviation.

    Raises: ValueError for arrays of other names or shapes, with the first one that does not fit.
    """
    places = sorted({int(m[1]) for name in arrays if (m := KEY.fullmatch(name))})
    if not places or places[0] != 0:
        raise ValueError("vgg: expected arrays called features.0.weight, features.0.bias, ...")
    counts, ins = [1], 3
    for place, before in zip(places[1:], places):
        if place - before not in (2, 3):
            raise ValueError(
                f"vgg: after features.{before} comes features.{place}, expected {before + 2} or, "
                f"behind a pooling, {before + 3}; VGGs with batch norm are not read"
            )
        counts = [*counts[:-1], counts[-1] + 1] if place - before == 2 else [*counts, 1]
    weights: list[tuple[np.ndarray, np.ndarray]] = []
    for place in places:
        weight, bias = (_array(arrays, f"features.{place}.{kind}") for kind in ("weight", "bias"))
        if weight.ndim != 4 or weight.shape[1:] != (ins, 3, 3) or bias.shape != weight.shape[:1]:
            raise ValueError(
                f"vgg: features.{place} has a weight {weight.shape} and a bias {bias.shape}, "
                f"expected (O, {ins}, 3, 3) and (O,)"
            )
        weights.append((weight.transpose(2, 3, 1, 0), bias))  # (O, C, KH, KW) -> (KH, KW, C, O)
        ins = len(bias)
    lasts = np.cumsum(counts) - 1
    channels = tuple(len(weights[i][1]) for i in lasts)
    if any(len(bias) != channels[np.searchsorted(lasts, i)] for i, (_, bias) in enumerate(weights)):
        raise ValueError("vgg: the convolutions of one block differ in their channels")
    config = VGGConfig(channels, tuple(counts), IMAGENET_MEAN, IMAGENET_STD)
    vgg = VGG(config, rng=np.random.default_rng(0))
    for conv, (weight, bias) in zip(vgg.convs, weights):
        conv.weight.data[...], conv.bias.data[...] = weight, bias
    return vgg


def _array(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if name not in arrays:
        raise ValueError(f"vgg: {name} is missing")
    return arrays[name]


def freeze(vgg: VGG) -> VGG:
    """The network with weights that want no gradient: only pictures are to be changed."""
    for parameter in vgg.parameters():
        parameter.requires_grad = False
    return vgg.eval()

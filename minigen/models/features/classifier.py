"""A small residual network that classifies: the judge of what a painted picture shows.

He, Zhang, Ren, Sun, Identity Mappings in Deep Residual Networks, 2016, arXiv 1603.05027; Lin, Chen,
Yan, Network In Network, 2013, arXiv 1312.4400 (the mean over the picture before the vote); Wu and
He, Group Normalization, 2018, arXiv 1803.08494.

The idea: every level halves the picture and lets residual blocks of two convolutions add to it what
they find, the mean over the picture forgets where things are, and a linear layer votes. What the
vote is taken on are the features by which the metrics compare sets of pictures.

    h = silu(conv(x))
    h = W space_to_depth(h);  h = h + conv(silu(norm(conv(silu(norm(h))))))     at each level
    features = mean over pixels of silu(norm(h));  logits = features W + b

Shapes: pictures (N, 28, 28, 1) -> features (N, 128) -> logits (N, 10).

Differs from the papers in: few blocks, silu in the place of relu, 2 x 2 pixels merged in the place
of a stride. Group norm rather than batch norm, so that the verdict on a picture does not depend on
the pictures beside it.

Recipe: minigen/recipes/classifier.py.
Derivation: docs/derivations/metrics.md.
"""

from dataclasses import dataclass

import numpy as np

from minigen import nn
from minigen.autograd import Tensor
from minigen.ops import cross_entropy, silu, space_to_depth


@dataclass(frozen=True)
class ClassifierConfig:
    """Sizes of the network."""

    in_channels: int = 1
    classes: int = 10
    stem: int = 16  # channels at full size, 28 pixels
    channels: tuple[int, ...] = (64, 128)  # at 14 and 7 pixels: every level halves the picture
    blocks: tuple[int, ...] = (1, 2)  # residual blocks of a level


class Classifier(nn.Module):
    """Pictures (N, H, W, C) in [-1, 1] -> logits (N, classes)."""

    def __init__(self, config: ClassifierConfig, *, rng: np.random.Generator):
        outs, ins = config.channels, (config.stem, *config.channels[:-1])
        self.stem = nn.Conv2d(config.in_channels, config.stem, 3, padding=1, rng=rng)
        self.shrink = nn.ModuleList(
            [nn.Linear(4 * i, o, rng=rng) for i, o in zip(ins, outs, strict=True)]
        )
        self.blocks = nn.ModuleList(
            [
                nn.Sequential(*[nn.ResBlock(o, o, rng=rng) for _ in range(blocks)])
                for o, blocks in zip(outs, config.blocks, strict=True)
            ]
        )
        self.norm = nn.GroupNorm(8, outs[-1], silu=True)
        self.vote = nn.Linear(outs[-1], config.classes, rng=rng)

    def features(self, x: Tensor) -> Tensor:
        """(N, H, W, C) -> (N, channels[-1])."""
        x = silu(self.stem(x))  # (N, H, W, stem)
        for shrink, blocks in zip(self.shrink, self.blocks, strict=True):
            x = blocks(shrink(space_to_depth(x, 2)))  # (N, H / 2, W / 2, channels)
        return self.norm(x).mean(axis=(1, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.vote(self.features(x))


def loss(model: Classifier, x: np.ndarray, labels: np.ndarray) -> Tensor:
    """Cross-entropy in nats, mean over the batch."""
    return cross_entropy(model(Tensor(x)), labels)

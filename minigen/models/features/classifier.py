"""A small convolutional classifier: the judge that says which garment a painted picture shows.

Lin, Chen, Yan, Network In Network, 2013, arXiv 1312.4400 (the mean over the picture before the
vote); Wu and He, Group Normalization, 2018, arXiv 1803.08494.

The idea: convolutions with stride 2 trade resolution for channels, the mean over the picture
forgets where things are, and a linear layer votes.

    h = relu(norm(conv(h))), three times;  features = mean over pixels;  logits = features W + b

Shapes: pictures (N, 28, 28, 1) -> logits (N, 10).

Differs from the papers in: three convolutions of 3 x 3 and no more. Group norm rather than batch
norm, so that the verdict on a picture does not depend on the pictures beside it.

Recipe: minigen/recipes/fashion_classifier.py.
"""

from dataclasses import dataclass

import numpy as np

from minigen import nn
from minigen.autograd import Tensor
from minigen.ops import cross_entropy, relu


@dataclass(frozen=True)
class ClassifierConfig:
    """Sizes of the network."""

    in_channels: int = 1
    classes: int = 10
    channels: tuple[int, ...] = (32, 64, 128)  # at 28, 14 and 7


class Classifier(nn.Module):
    """Pictures (N, H, W, C) in [-1, 1] -> logits (N, classes)."""

    def __init__(self, config: ClassifierConfig, *, rng: np.random.Generator):
        ins = (config.in_channels, *config.channels[:-1])
        self.convs = nn.ModuleList(
            [
                nn.Conv2d(i, o, 3, stride=1 if level == 0 else 2, padding=1, bias=False, rng=rng)
                for level, (i, o) in enumerate(zip(ins, config.channels, strict=True))
            ]
        )
        self.norms = nn.ModuleList([nn.GroupNorm(8, o) for o in config.channels])
        self.vote = nn.Linear(config.channels[-1], config.classes, rng=rng)

    def features(self, x: Tensor) -> Tensor:
        """(N, H, W, C) -> (N, channels[-1])."""
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = relu(norm(conv(x)))  # (N, H / 2, W / 2, channels), the first at full size
        return x.mean(axis=(1, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.vote(self.features(x))


def loss(model: Classifier, x: np.ndarray, labels: np.ndarray) -> Tensor:
    """Cross-entropy in nats, mean over the batch."""
    return cross_entropy(model(Tensor(x)), labels)

"""Eight points on a circle, and a network small enough to learn them in seconds."""

from itertools import pairwise

import numpy as np

from minigen import nn
from minigen.autograd import Tensor
from minigen.ops import concat, silu
from minigen.optim import Adam

ANGLES = np.arange(8) * 2 * np.pi / 8
RING = 3 * np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=-1).astype(np.float32)  # (8, 2)
CLASSES = 3


class Net(nn.Module):
    """(N, 2), (N,) -> (N, 2): four layers that see the point, the time, and perhaps a class."""

    def __init__(self, rng, time_scale):
        self.time_scale = time_scale  # t * time_scale is 0 ... 1
        widths = (2 + 16 + CLASSES, 64, 64, 64)
        self.inner = nn.ModuleList([nn.Linear(i, o, rng=rng) for i, o in pairwise(widths)])
        self.out = nn.Linear(64, 2, rng=rng)

    def forward(self, xt, t, label=None):
        classes = np.zeros((len(t), CLASSES), np.float32)
        if label is not None:
            classes[np.arange(len(t)), label] = 1
        time = nn.timestep_embedding(10 * self.time_scale * t.astype(np.float32), 16, 10.0)
        h = concat([xt, time, Tensor(classes)])  # (N, 2 + 16 + CLASSES)
        for layer in self.inner:
            h = silu(layer(h))
        return self.out(h)


def fit(model, loss, steps=800):
    """Adam with a falling learning rate on `loss(which points)`; returns the losses."""
    optimizer, values = Adam(model.parameters(), lr=0.01), []
    for step in range(steps):
        optimizer.lr = 0.01 * (1 - step / steps)
        optimizer.zero_grad()
        value = loss(np.arange(256) % 8)
        value.backward()
        optimizer.step()
        values.append(value.item())
    return np.array(values)


def nearest(x):
    """Distance to the nearest of the points, and the share of samples at each of them.

    Points spread evenly over the circle would be at 0.59 in the median.
    """
    distances = np.linalg.norm(x[:, None] - RING, axis=-1)  # (N, 8)
    return distances.min(1), np.bincount(distances.argmin(1), minlength=8) / len(x)

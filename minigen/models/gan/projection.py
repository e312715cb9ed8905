"""Projection: the style with which a StyleGAN2 generator paints a given picture.

Karras, Laine, Aittala, Hellsten, Lehtinen, Aila, Analyzing and Improving the Image Quality of
StyleGAN, 2019, section 5 and appendix D, arXiv 1912.04958.

The idea: walk down the distance between the picture that is painted and the one that is wanted, by
w and not by the weights. Noise on w, large at first and gone after three quarters of the way, keeps
the walk from the nearest hole. What a generator can paint comes back nearly as it was, and with its
w it can be mixed, truncated and walked from; what it cannot comes back as something else.

    w~  = w + N(0, (noise sigma_w (1 - t / ramp)^2)^2),   t from 0 to 1, ramp 3/4        appendix D
    L   = mean of (G(w~) - x)^2  [+ distance(G(w~), x)]

Shapes: x (N, size, size, colours) in [-1, 1] -> styles (N, layers, styles).

Differs from the paper in: the start is the nearest of many drawn styles rather than their mean; the
squared error stands beside or in the place of LPIPS, which needs a network of its own and may be
given as `distance`; there are no noise maps, the picture has no grain. `per_layer` lets the layers
have styles of their own, which fits better, and is no longer a style that z could give.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from tqdm import trange

from minigen import nn
from minigen.autograd import Tensor, no_grad
from minigen.backend import Array
from minigen.optim import Adam
from minigen.schedules import warmup_cosine

RAMP = 0.75  # of the way, after which w has no noise
Distance = Callable[[Tensor, Array], Tensor]  # painted, wanted (N, H, W, C) -> a scalar


def project(
    G: Any,
    x: Array,
    rng: np.random.Generator,
    draw: Callable[[Any, int, np.random.Generator], Tensor],
    *,
    steps: int = 300,
    lr: float = 0.1,
    noise: float = 0.05,
    starts: int = 500,
    per_layer: bool = False,
    distance: Distance | None = None,
) -> Array:
    """Styles of the pictures x.

    G, draw    G has styles(z) and paint(ws), and draw(G, n, rng) are z, as in stylegan2.py
    noise      of w at first, in parts of the spread of styles
    starts     styles that are tried as a start
    per_layer  whether each layer may have a style of its own

    Shapes: x (N, size, size, colours) -> (N, layers, styles).
    Raises: ValueError for pictures of another shape, or outside [-1, 1].
    """
    with no_grad():
        tried = G.styles(draw(G, starts, rng)).data
        painted = G.paint(Tensor(tried)).data
    if x.shape[1:] != painted.shape[1:]:
        raise ValueError(f"project: pictures {x.shape[1:]}, the generator's {painted.shape[1:]}")
    if not np.abs(x).max() <= 1:
        raise ValueError(f"project: pixels from {x.min():.4g} to {x.max():.4g}, expected -1 to 1")
    far = ((x.reshape(len(x), 1, -1) - painted.reshape(1, starts, -1)) ** 2).sum(axis=2)
    sigma = float(tried[:, 0].std(axis=0).mean())
    ws = tried[far.argmin(axis=1)]  # (N, layers, styles)
    w = nn.Parameter(ws if per_layer else ws[:, :1])
    ones = np.ones((1, ws.shape[1], 1), np.float32)
    adam = Adam([w], lr)
    for step in trange(steps, desc="projecting", disable=None, leave=False):
        fade = max(0.0, 1 - step / steps / RAMP) ** 2
        adam.lr = lr * warmup_cosine(step, steps, warmup_steps=steps // 20)
        adam.zero_grad()
        shaken = w + rng.standard_normal(w.shape, np.float32) * np.float32(noise * sigma * fade)
        made = G.paint(shaken * ones)
        loss = ((made - x) ** 2).sum() * (1 / x[0].size)  # each picture walks by itself
        if distance is not None:
            loss = loss + distance(made, x)
        loss.backward()
        adam.step()
    return w.data * ones


def psnr(made: Array, x: Array) -> Array:
    """Peak signal over noise in decibels: 10 log10(2^2 / mean of (made - x)^2), in [-1, 1].

    Shapes: two of (N, H, W, C) -> (N,).
    """
    error = ((np.clip(made, -1, 1) - x) ** 2).reshape(len(x), -1).mean(axis=1)
    return 10 * np.log10(4 / np.maximum(error, 1e-12))

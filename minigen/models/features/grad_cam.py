"""What a convolutional network sees, drawn: its filters, its maps, and what a vote rests on.

Ramprasaath R. Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization, 2016, arXiv 1610.02391.

The idea: a vote is a function of the last maps, which still know where things are. A map counts as
much as the vote would grow if all of it grew; the sum of the maps, each times what it counts,
is bright where the picture speaks for the vote. What speaks against it is cut off.

    alpha_k = 1/Z sum_ij dy / dA_k[i, j]                                                      (1)
    heat = relu(sum_k alpha_k A_k)                                                             (2)

Shapes: maps A (N, h, w, C), votes y (N, labels) -> heat (N, h, w).

Follows the paper exactly. Where the vote is a linear layer after the mean over the picture, as in
VGGClassifier, alpha is the layer's row divided by Z: the class activation map of arXiv 1512.04150.

Recipe: minigen/recipes/texture_features.py. Derivation: docs/derivations/style.md.
Notebook: notebooks/20_style.ipynb.
"""

from collections.abc import Callable

import numpy as np

from minigen.autograd import Tensor, grad, no_grad
from minigen.ops import upsample


def grad_cam(maps: np.ndarray, head: Callable[[Tensor], Tensor], labels: np.ndarray) -> np.ndarray:
    """Where the maps speak for the vote `labels[n]` of picture n, the largest of each picture 1.

    Shapes: maps (N, h, w, C), head (N, h, w, C) -> (N, L), labels (N,) -> (N, h, w).
    """
    A = Tensor(maps, requires_grad=True)
    votes = head(A)[np.arange(len(maps)), np.asarray(labels)]  # (N,)
    (gradient,) = grad(votes.sum(), [A])
    alpha = gradient.data.mean(axis=(1, 2), keepdims=True)  # eq. 1
    heat = np.maximum((alpha * maps).sum(axis=-1), 0)  # eq. 2
    top = heat.max(axis=(1, 2), keepdims=True)
    return heat / np.where(top > 0, top, 1)


def overlay(images: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """The pictures, as bright as the heat, and a fifth where there is none.

    Shapes: images uint8 (N, H, W, 3), heat (N, h, w) of 0 to 1, H a multiple of h.
    """
    with no_grad():
        fine = upsample(Tensor(heat[..., None]), images.shape[1] // heat.shape[1], "bilinear").data
    return np.rint(images * (0.2 + 0.8 * np.clip(fine, 0, 1))).astype(np.uint8)


def filter_pictures(weight: np.ndarray) -> np.ndarray:
    """The filters that read a picture, 0 as grey, the largest weight of each at full brightness.

    Shapes: weight (KH, KW, 3, O) -> uint8 (O, KH, KW, 3).
    """
    w = np.asarray(weight).transpose(3, 0, 1, 2)  # (O, KH, KW, 3)
    top = np.abs(w).max(axis=(1, 2, 3), keepdims=True)
    return np.rint((w / np.where(top > 0, top, 1) + 1) * 127.5).astype(np.uint8)


def activation_pictures(maps: np.ndarray) -> np.ndarray:
    """The maps of one picture, each in greys of its own: (h, w, C) -> uint8 (C, h, w, 3)."""
    m = np.asarray(maps).transpose(2, 0, 1)[..., None]  # (C, h, w, 1)
    low = m.min(axis=(1, 2), keepdims=True)
    range_ = m.max(axis=(1, 2), keepdims=True) - low
    grey = (m - low) / np.where(range_ > 0, range_, 1)
    return np.rint(grey * 255).astype(np.uint8).repeat(3, axis=-1)

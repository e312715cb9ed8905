"""Differentiable augmentation: what D is shown, real or fake, is changed at random beforehand.

Zhao, Liu, Lin, Zhu, Han, Differentiable Augmentation for Data-Efficient GAN Training, 2020,
arXiv 2006.10738.

The idea: of a small training set D soon knows every picture, and what it then tells G is worth
nothing. Changing the real pictures only would teach G the changes. So real and fake ones are
changed alike, D never sees one as it is, and G learns through the change: it is made of ops.

    L_D = E f(-D(T(x))) + E f(D(T(G(z)))),   L_G = E f(-D(T(G(z))))                  (4), (5)

    colour       brightness + u, u in [-1/2, 1/2]; distance from each pixel's grey times u, from the
                 picture's mean times u + 1/2, u in [0, 2] and [0, 1]
    translation  by up to an eighth of the size, what comes in is 0
    cutout       a square of half the size becomes 0

Shapes: (N, H, W, C) -> the same.

Differs from the paper in: pictures of one colour have brightness and contrast, no saturation.
"""

import numpy as np

from minigen.autograd import Tensor
from minigen.ops import matmul

POLICIES = ("colour", "translation", "cutout")


def diff_augment(x: Tensor, rng: np.random.Generator, policy: tuple[str, ...] = POLICIES) -> Tensor:
    """Each picture changed by itself, in the order of `policy`.

    Raises: ValueError for a policy that there is not.
    """
    for name in policy:
        if name not in POLICIES:
            raise ValueError(f"diff_augment: {name!r}, expected some of {', '.join(POLICIES)}")
        x = {"colour": colour, "translation": translation, "cutout": cutout}[name](x, rng)
    return x


def colour(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Brightness, saturation where there are colours, contrast."""
    bright, saturation, contrast = (
        rng.random((len(x), 1, 1, 1), np.float32).astype(x.dtype) for _ in range(3)
    )
    x = x + (bright - 0.5)
    if x.shape[-1] > 1:
        grey = x.mean(axis=3, keepdims=True)
        x = grey + (x - grey) * (2 * saturation)
    mean = x.mean(axis=(1, 2, 3), keepdims=True)
    return mean + (x - mean) * (contrast + 0.5)


def translation(x: Tensor, rng: np.random.Generator, ratio: float = 1 / 8) -> Tensor:
    """Moved down and across, each by a product with a matrix that has its ones beside the diagonal.

    moved[h] = x[h - d], 0 where there is no such row.
    """
    N, H, W, C = x.shape

    def moves(size: int) -> np.ndarray:
        far = round(size * ratio)
        d = rng.integers(-far, far + 1, N)
        places = np.arange(size)
        return (places[:, None] - d[:, None, None] == places).astype(x.dtype)  # (N, size, size)

    down, across = moves(H), moves(W)
    y = matmul(down, x.reshape(N, H, W * C)).reshape(N, H, W, C)
    return matmul(across[:, None], y)  # (N, 1, W, W) times (N, H, W, C)


def cutout(x: Tensor, rng: np.random.Generator, ratio: float = 1 / 2) -> Tensor:
    """A square around a random pixel becomes 0."""
    N, H, W, _ = x.shape
    half = (round(H * ratio) // 2, round(W * ratio) // 2)

    def hit(size: int, half: int) -> np.ndarray:
        centre = rng.integers(0, size, N)[:, None]
        return np.abs(np.arange(size) - centre + 0.5) < half + 0.25  # (N, size)

    hole = hit(H, half[0])[:, :, None] & hit(W, half[1])[:, None, :]  # (N, H, W)
    return x * (~hole[..., None]).astype(x.dtype)
